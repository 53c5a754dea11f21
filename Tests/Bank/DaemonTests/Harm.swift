import Glibc
import SystemSupport
import Testing

/// What a disk does to a file.
enum Harm: CaseIterable {
  case flip, truncate, delete

  /// Of a file, whatever its mode is; flips a bit of its last value.
  func apply(to path: String) throws {
    switch self {
    case .flip:
      let file = try FileDescriptor.open(path, O_RDWR)
      let size = try file.status().size
      var byte = try file.bytes(at: size - 2, count: 1)[0] ^ 1
      #expect(unsafe pwrite(file.number, &byte, 1, off_t(size - 2)) == 1)
    case .truncate:
      let file = try FileDescriptor.open(path, O_RDWR)
      #expect(ftruncate(file.number, off_t(try file.status().size - 3)) == 0)
    case .delete: try FileSystem.remove(path)
    }
  }
}
