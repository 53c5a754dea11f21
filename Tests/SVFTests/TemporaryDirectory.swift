import Glibc
import SystemSupport

/// Runs `body` with a new directory, and removes it with the files in it.
func withTemporaryDirectory(_ body: (String) throws -> Void) throws {
  var template = Array("/tmp/t2d-svf-XXXXXX".utf8CString)
  let path = unsafe template.withUnsafeMutableBufferPointer { buffer -> String? in
    guard let base = buffer.baseAddress, unsafe mkdtemp(base) != nil else { return nil }
    return unsafe String(cString: base)
  }
  guard let path else { throw SystemCallError("make a temporary directory") }
  defer {
    for name in (try? entries(path)) ?? [] {
      if unsafe unlink("\(path)/\(name)") != 0 { unsafe rmdir("\(path)/\(name)") }
    }
    unsafe rmdir(path)
  }
  try body(path)
}

/// The names in a directory, sorted.
func entries(_ path: String) throws -> [String] {
  guard let directory = unsafe opendir(path) else { throw SystemCallError("list", path) }
  defer { unsafe closedir(directory) }
  var names: [String] = []
  while let entry = unsafe readdir(directory) {
    let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
      unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
    }
    if name != "." && name != ".." { names.append(name) }
  }
  return names.sorted()
}

func readAll(_ path: String) throws -> [UInt8] {
  let file = try FileDescriptor.open(path)
  return try file.bytes(at: 0, count: 1 << 20)
}

func writeAll(_ path: String, _ bytes: [UInt8]) throws {
  let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC)
  try file.write(all: bytes)
}
