import Glibc

struct SplitMix {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

struct TestFailure: Error { let text: String }

/// A fresh directory that is removed afterwards with the files in it.
func withTemporaryDirectory<Result>(_ body: (String) throws -> Result) throws -> Result {
  var template = Array("/tmp/t2d-formats-XXXXXX".utf8CString)
  let made = unsafe template.withUnsafeMutableBufferPointer {
    unsafe mkdtemp($0.baseAddress).map { unsafe String(cString: $0) }
  }
  guard let path = made else { throw TestFailure(text: "mkdtemp: errno \(errno)") }
  defer {
    for name in (try? fileNames(in: path)) ?? [] { unlink(path + "/" + name) }
    rmdir(path)
  }
  return try body(path)
}

func fileNames(in directory: String) throws -> [String] {
  guard let stream = unsafe opendir(directory) else { throw TestFailure(text: "opendir: errno \(errno)") }
  defer { unsafe closedir(stream) }
  var names: [String] = []
  while let entry = unsafe readdir(stream) {
    let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
      unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
    }
    if name != ".", name != ".." { names.append(name) }
  }
  return names.sorted()
}

func writeFile(_ path: String, _ bytes: [UInt8]) throws {
  let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
  guard descriptor >= 0 else { throw TestFailure(text: "open \(path): errno \(errno)") }
  defer { close(descriptor) }
  let written = unsafe bytes.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
  guard written == bytes.count else { throw TestFailure(text: "write \(path): \(written) of \(bytes.count)") }
}

func truncateFile(_ path: String, to size: Int) throws {
  guard truncate(path, off_t(size)) == 0 else { throw TestFailure(text: "truncate \(path): errno \(errno)") }
}
