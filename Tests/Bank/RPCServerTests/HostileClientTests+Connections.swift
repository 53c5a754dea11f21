import Glibc
import RPCClient
import RPCProtocol
import RPCServer
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// What clients do to connections, and what they may not do at all.
extension HostileClientTests {
  private static let all = environmentVariable("T2D_TEST_ALL") != nil

  @Test func manyThatConnectAndSendNothingOrDripMeetTheirUsersLimitAndNoOneElse() throws {
    try withHostileServer { harness, healthy in
      var clients: [RawClient] = []
      for number in 0..<256 {
        let client = try RawClient(harness.path)
        if number % 2 == 0 { client.send([UInt8(ascii: "{")], waiting: false) }
        clients.append(client)
      }
      let limits = RPCLimits()
      // This process may change things, so the reserve is its user's too. The healthy client has one of them.
      #expect(
        eventually { harness.server.counters.connections == limits.connectionsPerUser + limits.reservedConnections })
      let before = healthy.answered
      #expect(eventually { healthy.answered > before + 20 })
      let told = clients.suffix(100).compactMap { $0.line() }
      #expect(told.count == 100 && told.allSatisfy { $0.contains("\"kind\":\"limit\"") })
    }
  }

  @Test func aStormOfConnectionsIsServedAndLeavesNothing() throws {
    try withHostileServer { harness, healthy in
      let start = healthy.answered
      for round in 0..<(Self.all ? 100_000 : 5_000) {
        // The backlog is full for a moment: then there is no connection, and the next one comes.
        guard let client = try? RawClient(harness.path) else { continue }
        if round % 5 == 0 { client.send(mixtureRequest) }
      }
      #expect(healthy.answered > start)
    }
  }

  @Test func whoClosesHalfOrWithUnreadAnswersGetsHisAnswersOrTheEnd() throws {
    try withHostileServer { harness in
      for count in [1, 3, 200] {
        let half = try RawClient(harness.path)
        half.send(String(repeating: mixtureRequest, count: count) + "{\"half")
        #expect(shutdown(half.socket.number, Int32(SHUT_WR)) == 0)
        let lines = half.lines()
        #expect(lines.count == count + 1, "\(count)")
        #expect(lines.dropLast().allSatisfy { $0.contains("\"generation\":7") })
        #expect(lines.last?.contains("ended within a line") == true)
      }
      // A close with unread data is a reset for the other end.
      for _ in 0..<100 {
        let client = try RawClient(harness.path)
        client.send(String(repeating: mixtureRequest, count: 500))
        try client.socket.close()
      }
    }
  }

  @Test func whoReadsAByteAtATimeHoldsUpNobody() throws {
    try withHostileServer { harness, healthy in
      let client = try RawClient(harness.path)
      client.send(Array(String(repeating: mixtureRequest, count: 3000).utf8), waiting: false)
      var byte: UInt8 = 0
      for _ in 0..<2000 { #expect(unsafe recv(client.socket.number, &byte, 1, 0) == 1) }
      let before = healthy.answered
      #expect(eventually { healthy.answered > before + 10 })
    }
  }

  @Test func textThatIsNoUTF8AndIdsThatAreNoneAreRefused() throws {
    try withHostileServer { harness in
      func request(_ id: String, _ task: [UInt8] = Array("x".utf8)) -> [UInt8] {
        Array(#"{"jsonrpc":"2.0","id":\#(id),"method":"task.show","params":{"task":""#.utf8) + task
          + Array("\"}}\n".utf8)
      }
      // A lone byte, an overlong slash, a surrogate, beyond the last code point, cut off, a zero byte.
      for bytes: [UInt8] in [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82], [0]] {
        let client = try RawClient(harness.path)
        client.send(request("1", bytes))
        #expect(client.line()?.contains("-32700") == true, "\(bytes)")
        #expect(client.line() == nil)
      }
      let client = try RawClient(harness.path)
      let long = "\"" + String(repeating: "i", count: 129) + "\""
      for id in ["1.5", "{}", "[]", "true", "1e3", "9007199254740993", "-9007199254740993", long] {
        client.send(request(id))
        #expect(client.line()?.contains("-32600") == true, "\(id)")
      }
      for other in [
        #"{"jsonrpc":2.0,"id":1,"method":"task.show"}"#, #"{"jsonrpc":"2.0","id":1,"id":2,"method":"task.show"}"#,
        #"{"jsonrpc":"2.0","id":1,"method":"task.show","method":"task.list"}"#, #"[[]]"#,
      ] {
        client.send(other + "\n")
        #expect(client.line()?.contains("-32600") == true, "\(other)")
      }
      client.send(request("1"))
      #expect(client.line()?.contains("result") == true)
    }
  }

  @Test func whoSubscribesAThousandTimesIsOneConnection() throws {
    try withHostileServer { harness in
      let client = try RawClient(harness.path)
      let line = #"{"jsonrpc":"2.0","id":1,"method":"events.subscribe"}"# + "\n"
      client.send(String(repeating: line, count: 1000))
      for _ in 0..<1000 { #expect(client.line()?.contains("sequence") == true) }
    }
  }

  /// Whatever the parameters are: who may not change things learns nothing from them.
  @Test(.enabled(if: geteuid() == 0, "the tests do not run as root, so there is one user only"))
  func whoMayOnlyReadIsRefusedEveryChangeWhateverItsParameters() throws {
    try withServer { harness in
      try systemCall("open to all", harness.path) { unsafe chmod(harness.path, 0o666) }
      let directory = FileSystem.split(harness.path).directory
      try systemCall("open to all", directory) { unsafe chmod(directory, 0o711) }
      let client = try asUser(65_534) { try RawClient(harness.path) }
      var refused = 0
      for method in RPCMethod.all where method.access == .change {
        for params in ["{}", "[]", #"{"nothing":1}"#, #"{"path":7}"#, "7"] {
          client.send(#"{"jsonrpc":"2.0","id":1,"method":"\#(method.name)","params":\#(params)}"# + "\n")
          let line = client.line() ?? ""
          #expect(line.contains(#""kind":"permission""#), "\(method.name) \(params): \(line)")
          refused += 1
        }
      }
      #expect(refused > 50)
      client.send(mixtureRequest)
      #expect(client.line()?.contains("\"generation\":7") == true)
      // A line of what may only read is shorter.
      client.send([UInt8](repeating: 0x20, count: RPCLimits().readerLineBytes + 2), waiting: false)
      #expect(client.line()?.contains("too_large") == true)
    }
  }

  /// In a process of its own, whose descriptors are few.
  @Test func withoutADescriptorNewConnectionsAreToldAndOthersAreAnswered() async {
    await #expect(processExitsWith: .success) {
      try withServer { harness in
        let client = try harness.client()
        try client.call("mixture.get", ["task": "arc_easy"])
        var limit = rlimit(rlim_cur: 0, rlim_max: 0)
        #expect(unsafe getrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit) == 0)
        var held: [FileDescriptor] = []
        limit.rlim_cur = 64
        #expect(unsafe setrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit) == 0)
        while let file = try? FileDescriptor.open("/dev/null") { held.append(file) }
        // One for the client's own end, none for the server's.
        held.removeLast()
        let refused = try RawClient(harness.path)
        #expect(refused.line()?.contains("\"kind\":\"overloaded\"") == true)
        #expect(try client.call("mixture.get", ["task": "arc_easy"])["generation"] == 7)
        held = []
        // Without a restart.
        #expect(eventually { (try? harness.client().call("mixture.get", ["task": "arc_easy"])) != nil })
      }
    }
  }

  /// In a process of its own: what floods have cost is given back.
  @Test func memoryAndDescriptorsReturnAfterFloods() async {
    await #expect(processExitsWith: .success) {
      try withServer { harness in
        func flood() throws {
          var clients: [RawClient] = []
          for number in 0..<60 {
            let client = try RawClient(harness.path)
            let lines = String(repeating: mixtureRequest, count: 400) + String(repeating: "[1]\n", count: 400)
            client.send(Array(lines.utf8), waiting: false)
            if number % 2 == 0 { _ = client.line() }
            clients.append(client)
          }
          clients = []
          #expect(eventually { harness.server.counters.connections == 0 })
        }
        // The first one makes what is kept: threads' arenas, buffers.
        for _ in 0..<5 { try flood() }
        let descriptors = Leftovers.descriptors()
        let memory = try #require(ProcessMemory.of()).resident
        for _ in 0..<40 { try flood() }
        #expect(Leftovers.descriptors() == descriptors)
        let grown = try #require(ProcessMemory.of()).resident - memory
        #expect(grown < 16 << 20, "\(grown) bytes more are resident")
      }
    }
  }
}
