import CLinux
import Glibc
import RPCClient
import RPCProtocol
import StrictJSON
import SystemSupport
import Testing

@testable import RPCServer

@Suite struct RPCServerTests {
  @Test func aCallIsAnswered() throws {
    try withServer { harness in
      let client = try harness.client()
      #expect(try client.call("mixture.get", ["task": "arc_easy"])["generation"] == 7)
      #expect(try client.call("task.show", ["task": "x"])["params"]?["task"] == "x")
      #expect(harness.server.counters.fast == 1)
    }
  }

  @Test func anErrorCarriesItsKind() throws {
    try withServer { harness in
      let client = try harness.client()
      #expect(throws: RPCClientError.refused(RPCError(.unknownTask, "there is no task 'nope'"))) {
        try client.call("mixture.get", ["task": "nope"])
      }
    }
  }

  @Test func answersOfPipelinedRequestsCarryTheirIds() throws {
    try withServer { harness in
      let client = try harness.client()
      var expected: [Int64: String] = [:]
      for index in 0..<500 {
        let name = "task\(index)"
        expected[try client.send("task.show", ["task": .string(name)])] = name
      }
      for (id, name) in expected.sorted(by: { $0.key > $1.key }) {
        #expect(try client.receive(id)["params"]?["task"]?.stringValue == name)
      }
    }
  }

  @Test func anAnswerFromAnotherThreadArrives() throws {
    try withServer { harness in
      let client = try harness.client()
      let first = try client.send("job.wait", ["job": 1])
      let second = try client.send("mixture.get", ["task": "arc_easy"])
      // The second is answered while the first still waits.
      #expect(try client.receive(second)["generation"] == 7)
      #expect(eventually { harness.handler.heldCount == 1 })
      #expect(harness.handler.releaseAll() == 1)
      #expect(try client.receive(first)["state"] == "done")
    }
  }

  @Test func aDroppedReplyIsAnsweredWithAnInternalError() throws {
    try withServer { harness in
      let error = #expect(throws: RPCClientError.self) { try harness.client().call("job.cancel", ["job": 1]) }
      guard case .refused(let refused)? = error else { Issue.record("\(String(describing: error))"); return }
      #expect(refused.kind == "internal")
    }
  }

  @Test func moreThan64RequestsInFlightWaitWithoutAnError() throws {
    try withServer { harness in
      let client = try harness.client()
      let ids = try (1...200).map { try client.send("job.wait", ["job": .integer($0)]) }
      #expect(eventually { harness.handler.heldCount == 64 })
      var released = 0
      while released < 200 {
        #expect(eventually { harness.handler.heldCount > 0 })
        released += harness.handler.releaseAll()
      }
      for id in ids { #expect(try client.receive(id)["state"] == "done") }
    }
  }

  @Test func aDescriptorComesWithItsAnswer() throws {
    let file = FileDescriptor(takingOwnershipOf: try systemCall("create a file") { t2_open_unnamed(AT_FDCWD, 0o600) })
    try file.write(all: Array("vectors".utf8))
    try withServer(handler: EchoHandler(descriptor: file)) { harness in
      let client = try harness.client()
      for _ in 0..<3 {
        // Between plain answers, and several in flight: each comes once and in order.
        let plain = try client.send("mixture.get", ["task": "arc_easy"])
        let passing = try client.send("mixture.get", ["task": "arc_easy", "pass_fd": true])
        let again = try client.send("mixture.get", ["task": "arc_easy", "pass_fd": true])
        _ = try client.receive(again)
        _ = try client.receive(passing)
        _ = try client.receive(plain)
        for _ in 0..<2 {
          let passed = try #require(client.takeDescriptor())
          #expect(try passed.bytes(at: 0, count: 100) == Array("vectors".utf8))
        }
        #expect(client.takeDescriptor() == nil)
      }
    }
  }

  @Test func notificationsReachTheirSubscriberOnly() throws {
    try withServer { harness in
      let subscriber = try harness.client()
      let other = try harness.client()
      try subscriber.call("events.subscribe")
      for sequence in 1...100 { harness.handler.publish(["sequence": .integer(Int64(sequence))]) }
      for sequence in 1...100 {
        let event = try subscriber.nextNotification(timeout: .seconds(10))
        #expect(event?.method == "event")
        #expect(event?.params == ["sequence": .integer(Int64(sequence))])
      }
      #expect(try other.nextNotification(timeout: .zero) == nil)
    }
  }

  @Test func aHalfClosedClientStillGetsItsAnswers() throws {
    try withServer { harness in
      let client = try RawClient(harness.path)
      client.send(mixtureRequest + #"{"jsonrpc":"2.0","id":2,"method":"job.wait","params":{"job":1}}"# + "\n")
      shutdown(client.socket.number, Int32(SHUT_WR))
      #expect(client.line()?.contains("\"generation\":7") == true)
      #expect(eventually { harness.handler.heldCount == 1 })
      _ = harness.handler.releaseAll()
      #expect(client.line() == #"{"jsonrpc":"2.0","id":2,"result":{"state":"done"}}"#)
      #expect(client.line() == nil)
      #expect(eventually { harness.server.counters.connections == 0 })
    }
  }

  @Test func theHandlerHearsThatAClientHasGone() throws {
    try withServer { harness in
      var client: RPCClient? = try harness.client()
      _ = try client?.send("job.wait", ["job": 1])
      #expect(eventually { harness.handler.heldCount == 1 })
      client = nil
      #expect(eventually { harness.handler.disconnects.load(ordering: .relaxed) == 1 })
      _ = harness.handler.releaseAll()
    }
  }

  @Test func stoppingLetsWhatIsInFlightEndAndRemovesThePath() throws {
    try withSocketDirectory { directory in
      let handler = EchoHandler()
      let server = try RPCServer(path: directory + "/s", handler: handler)
      try server.start()
      let client = try RPCClient(socketPath: directory + "/s")
      let id = try client.send("job.wait", ["job": 1])
      #expect(eventually { handler.heldCount == 1 })
      let releaser = try OwnedThread(name: "releaser") {
        // Only once the server refuses new requests does the old one end.
        _ = eventually { unsafe access(directory + "/s", F_OK) != 0 }
        _ = handler.releaseAll()
      }
      server.stop(within: .seconds(10))
      releaser.join()
      #expect(try client.receive(id)["state"] == "done")
      #expect(throws: RPCClientError.self) { try client.call("system.status") }
    }
  }

  @Test func anAnswerThatIsTooLargeIsAnError() throws {
    try withServer { harness in
      let client = try harness.client()
      let error = #expect(throws: RPCClientError.self) {
        try client.call("model.tokenize", ["text": .string("\(5 << 20)")])
      }
      guard case .refused(let refused)? = error else { Issue.record("\(String(describing: error))"); return }
      #expect(refused.kind == "too_large")
      #expect(try client.call("model.tokenize", ["text": "1000000"]) == 1)
    }
  }
}

@Suite struct ListeningSocketTests {
  @Test func thePathHasItsModeWhateverTheUmask() throws {
    // The usual umask of 022 would leave 0640.
    for mode: mode_t in [0o600, 0o660, 0o666] {
      try withSocketDirectory { directory in
        let server = try RPCServer(path: directory + "/s", mode: mode, handler: EchoHandler())
        defer { server.stop() }
        var status = stat()
        #expect(unsafe lstat(directory + "/s", &status) == 0)
        #expect(status.st_mode & 0o777 == mode)
      }
    }
  }

  @Test func aStaleSocketIsTakenOverAndALiveOneIsNot() throws {
    try withSocketDirectory { directory in
      let path = directory + "/s"
      let first = try RPCServer(path: path, handler: EchoHandler())
      #expect(throws: RPCServerError.inUse(path: path)) { try RPCServer(path: path, handler: EchoHandler()) }
      first.stop()
      // What a killed daemon leaves behind.
      do {
        let socket = FileDescriptor(takingOwnershipOf: try systemCall("create a socket") { t2_unix_socket(0) })
        try systemCall("bind") { unsafe t2_unix_bind(socket.number, path) }
      }
      #expect(throws: RPCClientError.stale(path: path)) { try RPCClient(socketPath: path) }
      let second = try RPCServer(path: path, handler: EchoHandler())
      try second.start()
      #expect(try RPCClient(socketPath: path).call("mixture.get", ["task": "arc_easy"])["generation"] == 7)
      second.stop()
    }
  }

  @Test func anythingElseAtThePathIsLeftAlone() throws {
    try withSocketDirectory { directory in
      let path = directory + "/s"
      do { _ = try FileDescriptor.open(path, O_WRONLY | O_CREAT) }
      #expect(throws: RPCServerError.notASocket(path: path)) { try RPCServer(path: path, handler: EchoHandler()) }
      #expect(unsafe access(path, F_OK) == 0)
    }
  }

  @Test func aSocketThatSomebodyElsePutThereStays() throws {
    try withSocketDirectory { directory in
      let path = directory + "/s"
      let server = try RPCServer(path: path, handler: EchoHandler())
      try server.start()
      #expect(unsafe unlink(path) == 0)
      let other = try RPCServer(path: path, handler: EchoHandler())
      server.stop()
      #expect(unsafe access(path, F_OK) == 0)
      other.stop()
      #expect(unsafe access(path, F_OK) != 0)
    }
  }

  @Test func aPathThatIsTooLongIsSaidSo() throws {
    let path = "/tmp/" + String(repeating: "x", count: 103)
    let error = #expect(throws: RPCServerError.self) { try RPCServer(path: path, handler: EchoHandler()) }
    #expect(error == .pathTooLong(path: path, bytes: 108))
    #expect(error?.description.contains("108 bytes, and a Unix socket's at most 107") == true)
    #expect(throws: RPCClientError.pathTooLong(path: path, bytes: 108)) { try RPCClient(socketPath: path) }
  }

  @Test func aMissingSocketIsSaidSo() {
    #expect(throws: RPCClientError.notRunning(path: "/tmp/t2-nowhere/s")) {
      try RPCClient(socketPath: "/tmp/t2-nowhere/s")
    }
  }
}

@Suite struct RPCAuthorityTests {
  @Test func rootTheDaemonAndTheAdminGroupMayChange() {
    let authority = RPCAuthority(daemonUser: 100, adminGroup: 200)
    func peer(_ user: UInt32, _ group: UInt32, _ more: [UInt32] = []) -> PeerCredentials {
      PeerCredentials(process: 1, user: user, group: group, groups: more)
    }
    #expect(authority.mayChange(peer(0, 0)))
    #expect(authority.mayChange(peer(100, 1)))
    #expect(authority.mayChange(peer(7, 200)))
    #expect(authority.mayChange(peer(7, 7, [1, 200])))
    #expect(!authority.mayChange(peer(7, 7, [1, 2])))
    #expect(!RPCAuthority(daemonUser: 100).mayChange(peer(7, 0)))
  }

  @Test func aSocketWhoseNameIsTakenIsSaidAndMadeAgainOnceItIsFree() throws {
    var limits = RPCLimits()
    limits.socketLook = .milliseconds(20)
    try withServer(limits) { harness in
      let before = try harness.client()
      #expect(unsafe unlink(harness.path) == 0)
      // A file that is no socket is somebody's: it stays.
      try FileSystem.writeAtomically(harness.path, Array("mine".utf8))
      #expect(eventually { harness.handler.socketProblems.withLock { $0 }.contains { $0 != nil } })
      #expect(try FileSystem.readAll(harness.path, maximumBytes: 10) == Array("mine".utf8))
      #expect(try before.call("mixture.get", ["task": "arc_easy"])["generation"] == 7)
      try FileSystem.remove(harness.path)
      #expect(eventually { (try? harness.client()) != nil })
      #expect(try harness.client().call("mixture.get", ["task": "arc_easy"])["generation"] == 7)
      #expect(harness.handler.socketProblems.withLock { $0 }.last == .some(nil))
      // A stale socket in its place is nobody's.
      let directory = FileSystem.split(harness.path).directory
      _ = try ListeningSocket(path: directory + "/other", mode: 0o600, backlog: 1)
      try FileSystem.rename(directory + "/other", to: harness.path)
      #expect(eventually { (try? harness.client().call("mixture.get", ["task": "arc_easy"])) != nil })
    }
  }
}
