import Glibc

/// Runs `body` with the path of a new private directory, which is gone afterwards with all that is in it.
///
/// It lies under $TMPDIR or /tmp with a short name, so that a Unix socket's path fits.
package func withTemporaryDirectory<Value>(_ body: (String) throws -> Value) throws -> Value {
  let path = try makeTemporaryDirectory()
  defer { try? FileSystem.removeTree(path) }
  return try body(path)
}

package func withTemporaryDirectory<Value>(
  isolation: isolated (any Actor)? = #isolation, _ body: (String) async throws -> sending Value
) async throws -> sending Value {
  let path = try makeTemporaryDirectory()
  defer { try? FileSystem.removeTree(path) }
  return try await body(path)
}

private func makeTemporaryDirectory() throws(SystemCallError) -> String {
  let base = environmentVariable("TMPDIR") ?? "/tmp"
  var template = Array("\(base)/t2.XXXXXX".utf8CString)
  let made = unsafe template.withUnsafeMutableBufferPointer { buffer -> Bool in
    guard let start = buffer.baseAddress else { return false }
    return unsafe mkdtemp(start) != nil
  }
  guard made else { throw SystemCallError("create a temporary directory in", base) }
  return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
