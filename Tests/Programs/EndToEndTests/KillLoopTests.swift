import Glibc
import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// A daemon under load that is killed at any moment, again and again, and compared with what it has answered.
@Suite(.serialized) struct KillLoopTests {
  @Test func whatWasAnsweredOutlivesEveryKill() throws {
    let rounds = longSweeps && realModel == nil ? 1_000 : 20
    try withBank(configuration: stillBank) { daemon, client in
      try daemon.drop(rows(1), "tasks", "letters.jsonl")
      try client.call("system.sync")
      let load = RandomLoad(daemon, seed: 12)
      let kills = Kills(load)
      #expect(try load.ledger.faults(client) == [])
      for round in 1...rounds {
        try kills.run(round)
        try #require(load.faults == [], "round \(round) of seed 12\n\(daemon.log)")
      }
      print("\(rounds) rounds: \(kills.summary)")
      #expect(load.answered > rounds && load.ledger.versions(of: "e1").count > 1)
      if rounds >= 1_000 { #expect(load.lost > 0) }
    }
  }
}

/// The ends of a daemon under load.
final class Kills {
  private let load: RandomLoad
  private var kills = 0
  private var ends = 0
  private var early = 0

  init(_ load: RandomLoad) { self.load = load }

  var summary: String {
    "\(kills) kills, \(early) of them before it answered, \(ends) ends by SIGTERM; \(load.summary)"
  }

  /// Asks until the daemon is gone, starts it again and compares.
  func run(_ round: Int) throws {
    let isForced = load.random.below(100) < 85
    let delay = load.random.below(600)
    let killer = try killer(isForced ? "KILL" : "TERM", after: delay)
    let client = try load.daemon.client()
    while try load.step(client) {}
    try wait(killer, isForced)
    if isForced { kills += 1 } else { ends += 1 }
    if load.random.below(100) < 15 {
      try load.daemon.start()
      try wait(try self.killer("KILL", after: load.random.below(300)), true)
      early += 1
      kills += 1
    }
    // It reads all that was ever dropped.
    if round % (round > 100 ? 100 : 10) == 0 {
      let (said, exit) = try load.daemon.fsck()
      if exit != .code(0) { load.faults.append("fsck: \(said)") }
    }
    try load.daemon.start()
    try load.daemon.waitUntilItAnswers()
    load.faults += try load.ledger.faults(try load.daemon.client())
  }

  /// Milliseconds.
  private func killer(_ signal: String, after delay: Int) throws -> ChildProcess {
    let seconds = "\(delay / 1000).\(String(1000 + delay % 1000).dropFirst())"
    return try ChildProcess(
      "/bin/sh",
      arguments: ["sh", "-c", "sleep $0; kill -$1 $2", seconds, signal, "\(load.daemon.process.processID)"],
      environment: ChildProcess.environment(), socket: nil)
  }

  private func wait(_ killer: ChildProcess, _ isForced: Bool) throws {
    _ = killer.waitForExit(until: .after(.seconds(30)))
    let exit = load.daemon.process.waitForExit(until: .after(.seconds(10)))
    if exit != (isForced ? .signal(SIGKILL) : .code(0)) {
      load.faults.append("t2d ended with \(exit.map { "\($0)" } ?? "nothing")")
    }
    load.wasEnded()
  }
}
