import Glibc
import SystemSupport
import TestSupport
import Testing

@testable import Daemon

/// One user floods, another one asks `mixture.get`: his p99 beside the flood is compared with his idle one of the same run.
@Suite(.serialized, .enabled(if: geteuid() == 0, "the tests do not run as root, so there is one user only"))
struct FloodTests {
  /// A core that something else has for a moment costs this much now and then; an idle p99 below it says nothing.
  private static let noise = Duration.microseconds(500)

  struct Calls: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let lines: [String]

    init(_ name: String, _ calls: String...) {
      testDescription = name
      lines = calls.map { #"{"jsonrpc":"2.0","id":1,"method":\#($0)}"# + "\n" }
    }
  }

  static let floods = [
    Calls("answers that lie ready", #""mixture.get","params":{"task":"arc"}"#),
    Calls("one row of many", #""expert.show","params":{"expert":"e7"}"#),
    Calls("the methods", #""system.methods""#),
    Calls("the status", #""system.status""#),
    Calls("lists", #""expert.list""#, #""mixture.list""#, #""task.list""#, #""model.list""#),
    Calls(
      "the catalogue", #""job.list""#, #""events.subscribe","params":{"follow":false}"#,
      #""expert.log","params":{"expert":"e7"}"#),
    Calls("errors", #""mixture.get","params":{"task":"acr"}"#, #""nothing""#, #""expert.show","params":{"name":7}"#),
    Calls("long lines", #""mixture.get","params":{"task":"\#(String(repeating: "x", count: 60_000))"}"#),
    Calls("what he may not", #""system.shutdown""#),
  ]

  @Test func noFloodHoldsUpAnotherUser() throws {
    try withBank { daemon in
      let path = daemon.daemon.paths.socket
      let request = #"{"jsonrpc":"2.0","id":1,"method":"mixture.get","params":{"task":"arc"}}"# + "\n"
      let socket = try connectRaw(to: path)
      for calls in Self.floods {
        let lines = Array(calls.lines.joined().utf8)
        // What else the machine does can only add to a round; a flood that holds others up does so in every one.
        var rounds: [(idle: Duration, beside: Duration)] = []
        repeat {
          let idle = try Latencies(300, request, over: socket).percentile(99)
          let flood = try Flood(path, user: 65_534, connections: 8, lines: lines)
          defer { flood.stop() }
          let deadline = Deadline.after(.seconds(10))
          while flood.received == 0, !deadline.hasPassed { usleep(100) }  // It has begun.
          rounds.append((idle, try Latencies(300, request, over: socket).percentile(99)))
          #expect(flood.received > 0, "the flood '\(calls.testDescription)' was not served")
        } while !isFair(rounds[rounds.count - 1]) && rounds.count < 10
        #expect(isFair(rounds[rounds.count - 1]), "\(calls.testDescription): \(rounds)")
      }
    }
  }

  private func isFair(_ round: (idle: Duration, beside: Duration)) -> Bool {
    round.beside <= max(round.idle, Self.noise) * 10
  }

  /// Some experts, a task, and its mixture.
  private func withBank(_ body: (Harness) throws -> Void) throws {
    var configuration = Configuration.forTests
    configuration.socketMode = 0o666
    try withDaemon(configuration: configuration) { (daemon: Harness) throws in
      try systemCall("open to all", daemon.prefix) { unsafe chmod(daemon.prefix, 0o755) }
      try daemon.addModel()
      for number in 0..<20 { try daemon.dropExpert("e\(number)", value: 1 + Float(number) / 64) }
      try daemon.dropTask("arc")
      _ = try daemon.settledMixture("arc")
      try body(daemon)
    }
  }
}
