import Glibc
import StrictJSON
import SystemSupport
import Testing

/// Runs the scripts in `Golden`: `-->` sends a line, `<--` is the next line that must come (a `*` stands for any
/// text), `<<<` is the end of the connection, `//` a comment.
@Suite struct GoldenTests {
  @Test(arguments: ["requests", "parameters", "http", "garbage"])
  func theScriptRuns(name: String) throws {
    let script = try read("\(name).rpc")
    try withServer { harness in
      let client = try RawClient(harness.path)
      var count = 0
      for (index, line) in script.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
        let text = String(line.dropFirst(4))
        if line.hasPrefix("-->") {
          client.send(text + "\n")
        } else if line.hasPrefix("<--") {
          count += 1
          let answer = try #require(client.line(), "line \(index + 1): the connection has ended")
          let parts = text.split(separator: "*", maxSplits: 1).map(String.init)
          #expect(
            parts.count == 1 ? answer == text : answer.hasPrefix(parts[0]) && answer.hasSuffix(parts[1]),
            "line \(index + 1):\n  expected \(text)\n  received \(answer)")
        } else if line.hasPrefix("<<<") {
          #expect(client.line() == nil, "line \(index + 1): the connection goes on")
        } else {
          try #require(line.isEmpty || line.hasPrefix("//"), "line \(index + 1) is not a line of a script")
        }
      }
      try #require(count > 0)
    }
  }

  private func read(_ name: String) throws -> String {
    let directory = #filePath.split(separator: "/").dropLast().joined(separator: "/")
    let file = try FileDescriptor.open("/\(directory)/Golden/\(name)")
    return String(decoding: try file.bytes(at: 0, count: 1 << 20), as: UTF8.self)
  }
}
