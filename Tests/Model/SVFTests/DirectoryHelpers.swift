import Glibc
import SystemSupport

/// The names in a directory, sorted.
func entries(_ path: String) throws -> [String] {
  try FileSystem.entries(path).compactMap(\.text).sorted()
}

func readAll(_ path: String) throws -> [UInt8] {
  let file = try FileDescriptor.open(path)
  return try file.bytes(at: 0, count: 1 << 20)
}

func writeAll(_ path: String, _ bytes: [UInt8]) throws {
  let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC)
  try file.write(all: bytes)
}
