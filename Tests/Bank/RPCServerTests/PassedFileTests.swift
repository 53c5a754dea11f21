import RPCClient
import RPCServer
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// Descriptors that clients send along: each belongs to one line, and what nobody asked for is closed.
@Suite struct PassedFileTests {
  private let verify = #"{"jsonrpc":"2.0","id":1,"method":"expert.verify","params":{"path":"x"}}"# + "\n"

  /// A file for each text, open, and below a directory of its own so that its descriptors can be counted.
  private func withFiles(_ texts: [String], _ body: ([FileDescriptor], _ directory: String) throws -> Void) throws {
    try withTemporaryDirectory { directory in
      let files = try texts.enumerated().map { number, text in
        try FileSystem.writeAtomically("\(directory)/\(number)", Array(text.utf8))
        return try FileDescriptor.open("\(directory)/\(number)")
      }
      try body(files, directory)
    }
  }

  @Test func aFileBelongsToTheLineThatItCameWith() throws {
    try withServer { harness in
      try withFiles(["first", "second"]) { files, _ in
        let client = try RawClient(harness.path)
        // In the middle of what is pipelined, and in pieces: the message's last line has it.
        client.send(verify + verify)
        try client.send(verify, passing: files[0])
        client.send(verify)
        try client.send(String(verify.prefix(20)), passing: files[1])
        client.send(String(verify.dropFirst(20)) + verify)
        let answers = (0..<6).map { _ in client.line() ?? "" }
        let texts = answers.map { $0.contains("first") ? 1 : $0.contains("second") ? 2 : $0.contains("null") ? 0 : -1 }
        #expect(texts == [0, 0, 1, 0, 2, 0], "\(answers)")
      }
    }
  }

  @Test func aThousandDescriptorsThatNobodyAskedForLeakNone() throws {
    try withServer { harness in
      try withFiles(["unwanted"]) { files, directory in
        let client = try RawClient(harness.path)
        let lines = [mixtureRequest, #"{"jsonrpc":"2.0","id":2,"method":"system.status"}"# + "\n", "\n", "{]\n"]
        for number in 0..<1000 {
          let line = lines[number % 3]
          try client.send(line, passing: files[0])
          if number % 3 < 2 { #expect(client.line()?.contains("\"id\":") == true) }
        }
        // In a line that is never ended, and in one that ends the connection.
        try client.send("{\"half", passing: files[0])
        try RawClient(harness.path).send(lines[3], passing: files[0])
        client.send("\n")
        #expect(client.lines().count == 1)
        #expect(eventually { (try? Leftovers.descriptors(below: directory).count) == 1 })
      }
    }
  }

  @Test func aFileThatHangsHoldsUpNobodyButItsUserAndOneConnectionHoldsOneFile() throws {
    try withServer { harness in
      try withFiles(["slow"]) { files, directory in
        harness.handler.holdsFiles.store(true, ordering: .relaxed)
        defer { harness.handler.holdsFiles.store(false, ordering: .relaxed) }
        var clients: [RawClient] = []
        for _ in 0..<40 {
          let client = try RawClient(harness.path)
          for _ in 0..<10 { try client.send(verify, passing: files[0]) }
          clients.append(client)
        }
        // Others are answered, also by the thread that all handlers share.
        let other = try harness.client()
        for _ in 0..<20 {
          #expect(try other.call("mixture.get", ["task": "arc_easy"])["generation"] == 7)
          #expect(try other.call("system.status")["method"] == "system.status")
        }
        // What is beyond the user's limit is not received: here the files of the 40 are one user's.
        #expect(try Leftovers.descriptors(below: directory).count <= 1 + RPCLimits().filesPerUser)
        harness.handler.holdsFiles.store(false, ordering: .relaxed)
        for client in clients { for _ in 0..<10 { #expect(client.line()?.contains("text") == true) } }
        #expect(eventually { (try? Leftovers.descriptors(below: directory).count) == 1 })
      }
    }
  }
}
