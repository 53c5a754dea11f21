import Glibc
import SystemSupport

extension FileSystem {
  /// A second name for a file; fails where the name is taken.
  static func link(_ path: String, as name: String) throws(SystemCallError) {
    try systemCall("link", "\(path)' as '\(name)") { unsafe Glibc.link(path, name) }
  }
}

extension SystemCallError {
  /// The name is taken.
  var isExisting: Bool { number == EEXIST }
}

extension FileDescriptor {
  func setMode(_ mode: UInt32) throws(SystemCallError) {
    try systemCall("set the mode") { fchmod(number, mode) }
  }
}
