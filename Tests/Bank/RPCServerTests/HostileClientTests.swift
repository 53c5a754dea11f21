import CLinux
import Glibc
import RPCClient
import RPCProtocol
import RPCServer
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// What clients do that break things by malice or by accident. Beside each of them a well-behaved client asks all the
/// time and must be answered; afterwards no connection is left.
@Suite struct HostileClientTests {
  func withHostileServer(_ limits: RPCLimits = RPCLimits(), _ body: (Harness) throws -> Void) throws {
    try withHostileServer(limits) { harness, _ in try body(harness) }
  }

  /// `bound`: at most so many times its idle p99 is that of the healthy client meanwhile.
  func withHostileServer(
    _ limits: RPCLimits = RPCLimits(), bound: Double = 10, _ body: (Harness, HealthyClient) throws -> Void
  ) throws {
    // Once; or where that was too much, once more: something else may have had the cores.
    var ratios: [Double] = []
    repeat {
      try withServer(limits) { harness in
        // It is connected before the others take all that its user may have.
        let healthy = try HealthyClient(harness.path, mixtureRequest)
        defer { healthy.stop() }
        func answers(_ count: Int) throws {
          let before = healthy.answered
          try #require(eventually { healthy.answered > before + count }, "the healthy client waits")
        }
        try answers(100)
        var idle = healthy.take()
        try body(harness, healthy)
        let beside = healthy.take()
        try answers(100)
        idle.add(healthy.take())
        #expect(healthy.failure == nil)
        // All but the healthy one have gone.
        #expect(eventually { harness.server.counters.connections == 1 })
        #expect(beside.percentile(100) < .seconds(2))
        // Of few requests a percentile is one of them.
        ratios.append(beside.count < 100 ? 0 : beside.ratio(to: idle, noise: .milliseconds(2)))
      }
    } while ratios.last ?? 0 > bound && ratios.count < 2
    #expect(ratios.last ?? 0 <= bound, "its p99 is \(ratios) times that of its idle time")
  }

  @Test func aRequestThatComesByteByByteIsAnsweredAndSoAreOthersMeanwhile() throws {
    try withHostileServer { harness, healthy in
      let client = try RawClient(harness.path)
      for byte in mixtureRequest.utf8 {
        #expect(client.send([byte]) == 1)
        // The next one comes when another client was answered: each is read by itself, and nobody waits for its end.
        let before = healthy.answered
        try #require(eventually { healthy.answered > before })
      }
      #expect(client.line()?.contains("\"generation\":7") == true)
    }
  }

  @Test func aLineThatNeverEndsIsTimedOutHoweverItDrips() throws {
    var limits = RPCLimits()
    limits.partialLine = .seconds(1)
    try withHostileServer(limits) { harness, healthy in
      // Nothing of it can be refused for what it says: it lacks only its end, which never comes.
      let beginning = Array(#"{"jsonrpc":"2.0","id":1,"method":"task.show","params":{"task":""#.utf8)
      let drips = try (0..<20).map { _ in try RawClient(harness.path) }
      #expect(eventually { harness.server.counters.connections == drips.count + 1 })
      let answered = healthy.answered
      let start = MonotonicInstant.now
      var sent = [Int](repeating: 0, count: drips.count)
      // Each further byte must not wind the clock back.
      let areClosed = eventually {
        for (number, client) in drips.enumerated() {
          let byte = sent[number] < beginning.count ? beginning[sent[number]] : UInt8(ascii: "x")
          sent[number] += client.send([byte], waiting: false)
        }
        return harness.server.counters.connections <= 1
      }
      #expect(areClosed, "\(harness.server.counters.connections) connections are open after \(sent) bytes")
      #expect(MonotonicInstant.now - start >= limits.partialLine)
      #expect(healthy.answered >= answered + 5, "the healthy client waited for the drips")
      for (client, count) in zip(drips, sent) {
        #expect(count > 10, "it was ended after \(count) bytes")
        #expect(client.line()?.contains("\"kind\":\"timeout\"") == true)
        #expect(client.line() == nil)
      }
    }
  }

  @Test func aSlowButHonestLineIsTimedOutWithAReason() throws {
    var limits = RPCLimits()
    limits.partialLine = .milliseconds(100)
    try withHostileServer(limits) { harness in
      let client = try RawClient(harness.path)
      client.send("{\"jsonrpc\":")
      let line = try #require(client.line())
      #expect(line.contains("\"kind\":\"timeout\""))
      #expect(client.line() == nil)
    }
  }

  @Test func aLineMayHaveExactlyItsLimit() throws {
    var limits = RPCLimits()
    limits.lineBytes = 5_000
    limits.readerLineBytes = 5_000
    try withHostileServer(limits) { harness in
      func line(of count: Int) -> String {
        let frame = #"{"jsonrpc":"2.0","id":1,"method":"task.show","params":{"task":""}}"#
        return frame.replacing("\"\"}}", with: "\"" + String(repeating: "x", count: count - frame.utf8.count) + "\"}}")
          + "\n"
      }
      let client = try RawClient(harness.path)
      client.send(line(of: 5_000))
      #expect(client.line()?.contains("\"result\"") == true)
      client.send(line(of: 5_001))
      #expect(client.line()?.contains("too_large") == true)
      #expect(client.line() == nil)
      let endless = try RawClient(harness.path)
      let sent = endless.send([UInt8](repeating: 0x20, count: 4 << 20))
      #expect(sent < 4 << 20)
    }
  }

  @Test func otherProtocolsAreRefusedAtTheirFirstByte() throws {
    try withHostileServer { harness in
      let hellos: [[UInt8]] = [
        Array("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8), [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00],
        [0xef, 0xbb, 0xbf, 0x7b], [0], Array("*1\r\n$4\r\nPING\r\n".utf8), [0xff, 0xfe], Array("\u{1b}[2J".utf8),
        Array("'{".utf8), Array("}".utf8),
      ]
      for hello in hellos {
        // Without a newline: nothing of it can become a request.
        let client = try RawClient(harness.path)
        client.send(hello)
        let lines = client.lines()
        #expect(lines.count == 1, "\(hello)")
        #expect(lines.first?.contains("-32700") == true, "\(hello)")
        #expect(lines.first?.utf8.allSatisfy { $0 >= 0x20 } == true)
      }
    }
  }

  @Test func bombsOfJSONAreRefused() throws {
    try withHostileServer { harness in
      let bombs = [
        String(repeating: "[", count: 100_000), String(repeating: "{\"a\":", count: 100_000),
        "{\"id\":" + String(repeating: "9", count: 500_000) + "}", "{\"id\":1e400}",
        "{" + (0..<20_000).map { "\"\($0)\":0" }.joined(separator: ",") + "}",
        #"{"jsonrpc":"2.0","id":1,"method":"\ud800"}"#,
      ]
      for bomb in bombs {
        let client = try RawClient(harness.path)
        client.send(bomb + "\n")
        let line = try #require(client.line())
        #expect(line.contains("\"error\""))
        #expect(line.utf8.count < 500)
        #expect(client.line() == nil)
      }
    }
  }

  @Test func everyWrongTypeForEveryMethodIsRefusedAndTheConnectionGoesOn() throws {
    try withHostileServer { harness in
      let client = try harness.client()
      let samples: [JSONValue] = [nil, true, 7, 1.5, "x", [], ["x"], [1.5], [:], ["a": "b"]]
      var refused = 0
      for method in RPCMethod.all where !["job.wait", "job.cancel", "events.subscribe"].contains(method.name) {
        for parameter in method.parameters {
          for sample in samples where parameter.type.problem(with: sample) != nil {
            let error = #expect(throws: RPCClientError.self) { try client.call(method.name, [parameter.name: sample]) }
            guard case .refused(let refusal)? = error, refusal.kind == "invalid_params" else {
              Issue.record("\(method.name) \(parameter.name)=\(sample.jsonText): \(String(describing: error))")
              return
            }
            refused += 1
          }
        }
      }
      #expect(refused > 500)
    }
  }

  @Test func aHundredThousandRequestsInOneWriteAreAnswered() throws {
    // Of the healthy client's own user, who has one share: `FloodTests` has floods of another one.
    try withHostileServer(bound: .infinity) { harness, _ in
      let client = try RawClient(harness.path)
      let count = 100_000
      let bytes = Array(String(repeating: mixtureRequest, count: count).utf8)
      let sender = try OwnedThread(name: "sender") { client.send(bytes) }
      let answer = try #require(client.line())
      var received = client.takeReceived()
      while received < (count - 1) * (answer.utf8.count + 1) {
        let more = client.discard()
        try #require(more > 0, "the connection ended after \(received) bytes")
        received += more
      }
      sender.join()
      #expect(received == (count - 1) * (answer.utf8.count + 1))
    }
  }

  @Test func requestsSplitAtEveryOffsetAreAnswered() throws {
    try withHostileServer { harness in
      let client = try RawClient(harness.path)
      let slow = #"{"jsonrpc":"2.0","id":"é","method":"task.show","params":{"task":"a\u00e9"}}"# + "\r\n"
      let bytes = Array((mixtureRequest + slow + "\n" + mixtureRequest).utf8)
      for offset in 1..<bytes.count {
        client.send(Array(bytes[..<offset]))
        client.send(Array(bytes[offset...]))
        // The prepared answers overtake the one that a handler makes.
        let lines = (0..<3).compactMap { _ in client.line() }
        #expect(lines.count { $0.contains("\"generation\":7") } == 2, "split at \(offset)")
        #expect(
          lines.contains(#"{"jsonrpc":"2.0","id":"é","result":{"method":"task.show","params":{"task":"aé"}}}"#),
          "split at \(offset)")
      }
    }
  }

  @Test func whoNeverReadsIsHeldBackAndThenDisconnected() throws {
    var limits = RPCLimits()
    limits.stalledWrite = .milliseconds(300)
    try withHostileServer(limits) { harness in
      let client = try RawClient(harness.path)
      let bytes = Array(String(repeating: mixtureRequest, count: 400_000).utf8)
      // The server takes in no more than its limits and the kernel's buffers hold, and then ends it.
      let sent = client.send(bytes)
      #expect(sent < bytes.count / 4)
    }
  }

  @Test func aSubscriberThatDoesNotReadIsDisconnected() throws {
    try withHostileServer { harness in
      let client = try RawClient(harness.path)
      client.send(#"{"jsonrpc":"2.0","id":1,"method":"events.subscribe"}"# + "\n")
      #expect(client.line()?.contains("sequence") == true)
      let text = JSONValue.string(String(repeating: "e", count: 100_000))
      for _ in 0..<60 { harness.handler.publish(["event": text]) }
      #expect(eventually { harness.server.counters.connections == 1 })
    }
  }

  @Test func whoLeavesInTheMiddleOfAnAnswerLeavesNothingBehind() throws {
    try withHostileServer { harness in
      for round in 0..<300 {
        let client = try RawClient(harness.path)
        if round % 3 > 0 { client.send(String(repeating: mixtureRequest, count: round % 3 * 50)) }
        if round % 7 == 0 { client.send("{\"half") }
      }
      #expect(eventually { harness.server.counters.connections == 1 })
    }
  }

  @Test func descriptorsThatAClientSendsAreNotKept() throws {
    try withHostileServer { harness in
      let client = try RawClient(harness.path)
      var ends: [Int32] = [-1, -1]
      try systemCall("make a pipe") { unsafe pipe(&ends) }
      let reading = FileDescriptor(takingOwnershipOf: ends[0])
      do {
        let writing = FileDescriptor(takingOwnershipOf: ends[1])
        let bytes = Array(mixtureRequest.utf8)
        let sent = unsafe bytes.withUnsafeBytes {
          unsafe t2_send_descriptor(client.socket.number, $0.baseAddress, $0.count, writing.number, 0)
        }
        #expect(sent == bytes.count)
      }
      #expect(client.line() != nil)
      // The pipe ends only when nobody holds its writing side.
      var poll = pollfd(fd: reading.number, events: Int16(POLLIN), revents: 0)
      #expect(unsafe Glibc.poll(&poll, 1, 10_000) == 1)
      #expect(poll.revents & Int16(POLLHUP) != 0)
    }
  }

  @Test func moreConnectionsThanTheLimitAreRefusedWithAReason() throws {
    var limits = RPCLimits()
    limits.connections = 6
    limits.reservedConnections = 0
    try withHostileServer(limits) { harness in
      #expect(eventually { harness.server.counters.connections == 1 })
      var clients = try (0..<5).map { _ in try RawClient(harness.path) }
      #expect(eventually { harness.server.counters.connections == 6 })
      let refused = try RawClient(harness.path)
      #expect(refused.line()?.contains("\"kind\":\"limit\"") == true)
      #expect(refused.line() == nil)
      #expect(throws: RPCClientError.self) { try harness.client().call("system.status") }
      clients.removeLast()
      #expect(eventually { harness.server.counters.connections == 5 })
      try harness.client().call("system.status")
    }
  }

  @Test func oneUserMayNotTakeAllConnections() throws {
    var limits = RPCLimits()
    limits.connectionsPerUser = 3
    limits.reservedConnections = 0
    try withHostileServer(limits) { harness in
      #expect(eventually { harness.server.counters.connections == 1 })
      let clients = try (0..<2).map { _ in try RawClient(harness.path) }
      #expect(eventually { harness.server.counters.connections == 3 })
      #expect(try RawClient(harness.path).line()?.contains("one user may have no more") == true)
      withExtendedLifetime(clients) {}
    }
  }
}
