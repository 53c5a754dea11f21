import Glibc
import SystemSupport
import TestSupport
import Testing

@testable import Daemon

/// One user floods, another one asks `mixture.get`: his p99 beside the flood is compared with his idle one of the same run.
/// Where a thousand other tests want the same cores, this says how many there are, and nothing of the daemon, whose turns
/// FairTurnsTests count in every run.
@Suite(
  .serialized,
  .enabled(if: geteuid() == 0, "the tests do not run as root, so there is one user only"),
  .enabled(if: environmentVariable("T2D_TEST_ALONE") != nil, "etc/test runs it by itself and sets T2D_TEST_ALONE"))
struct FloodTests {
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
      for calls in Self.floods {
        // Once; or where that was too much, twice in a row: something else may have had the cores.
        var rounds = [try Round(calls, daemon)]
        if !rounds[0].isFair { for _ in 0..<2 { rounds.append(try Round(calls, daemon)) } }
        for round in rounds { print("flood, \(calls.testDescription): \(round)") }
        let counted = rounds.suffix(2)
        #expect(counted.allSatisfy { $0.isFair }, "\(calls.testDescription): \(rounds)")
      }
    }
  }

  /// The healthy client's requests without and beside a flood, in slices by turns, so that what else the machine does
  /// meets both.
  private struct Round: CustomStringConvertible {
    var idle = Latencies()
    var beside = Latencies()

    init(_ calls: Calls, _ daemon: Harness) throws {
      let path = daemon.daemon.paths.socket
      let request = #"{"jsonrpc":"2.0","id":1,"method":"mixture.get","params":{"task":"arc"}}"# + "\n"
      let socket = try connectRaw(to: path)
      let lines = Array(calls.lines.joined().utf8)
      for _ in 0..<10 {
        try idle.ask(100, request, over: socket)
        let flood = try Flood(path, user: 65_534, connections: 8, lines: lines)
        defer { flood.stop() }
        let deadline = Deadline.after(.seconds(10))
        while flood.received == 0, !deadline.hasPassed { usleep(100) }  // It has begun.
        try beside.ask(100, request, over: socket)
        #expect(flood.received > 0, "the flood '\(calls.testDescription)' was not served")
      }
    }

    var ratio: Double { beside.ratio(to: idle, noise: FloodTests.noise) }
    var isFair: Bool { ratio <= 10 }

    var description: String {
      func shown(_ latencies: Latencies) -> String {
        "p50 \(Int(latencies.percentile(50).inSeconds * 1e6)) µs, p99 \(Int(latencies.percentile(99).inSeconds * 1e6)) µs"
      }
      return "idle \(shown(idle)); beside it \(shown(beside)); ratio \((ratio * 100).rounded() / 100)"
    }
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
