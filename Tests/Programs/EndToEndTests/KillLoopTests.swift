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
      let load = KillLoad(daemon, seed: 12)
      #expect(try load.ledger.faults(client) == [])
      for round in 1...rounds {
        try load.run(round)
        try #require(load.faults == [], "round \(round) of seed 12\n\(daemon.log)")
      }
      print("\(rounds) rounds: \(load.summary)")
      #expect(load.answered > rounds && load.ledger.versions(of: "e1").count > 1)
      if rounds >= 1_000 { #expect(load.lost > 0) }
    }
  }
}

/// What random clients ask for, and what they were told.
private final class KillLoad {
  let daemon: RunningDaemon
  var ledger = Ledger()
  var faults: [String] = []
  private(set) var answered = 0
  private(set) var lost = 0
  private var random: SplitMix
  private var contents = 0
  private var kills = 0
  private var ends = 0
  private var early = 0
  /// Jobs that were accepted since the last start.
  private var jobs: [Int64] = []

  init(_ daemon: RunningDaemon, seed: UInt64) {
    self.daemon = daemon
    random = SplitMix(seed: seed)
  }

  var summary: String {
    "\(kills) kills, \(early) of them before it answered, \(ends) ends by SIGTERM; \(answered) answers, \(lost) lost; "
      + "\(contents) contents, \(ledger.jobCount) jobs"
  }

  /// Asks until the daemon is gone, starts it again and compares.
  func run(_ round: Int) throws {
    let isForced = random.below(100) < 85
    let delay = random.below(600)
    let killer = try killer(isForced ? "KILL" : "TERM", after: delay)
    let client = try daemon.client()
    while try step(client) {}
    try wait(killer, isForced)
    if isForced { kills += 1 } else { ends += 1 }
    if random.below(100) < 15 {
      try daemon.start()
      try wait(try self.killer("KILL", after: random.below(300)), true)
      early += 1
      kills += 1
    }
    // It reads all that was ever dropped.
    if round % (round > 100 ? 100 : 10) == 0 {
      let (said, exit) = try daemon.fsck()
      if exit != .code(0) { faults.append("fsck: \(said)") }
    }
    try daemon.start()
    try daemon.waitUntilItAnswers()
    faults += try ledger.faults(try daemon.client())
  }

  /// Milliseconds.
  private func killer(_ signal: String, after delay: Int) throws -> ChildProcess {
    let seconds = "\(delay / 1000).\(String(1000 + delay % 1000).dropFirst())"
    return try ChildProcess(
      "/bin/sh",
      arguments: ["sh", "-c", "sleep $0; kill -$1 $2", seconds, signal, "\(daemon.process.processID)"],
      environment: ChildProcess.environment(), socket: nil)
  }

  private func wait(_ killer: ChildProcess, _ isForced: Bool) throws {
    _ = killer.waitForExit(until: .after(.seconds(30)))
    let exit = daemon.process.waitForExit(until: .after(.seconds(10)))
    if exit != (isForced ? .signal(SIGKILL) : .code(0)) {
      faults.append("t2d ended with \(exit.map { "\($0)" } ?? "nothing")")
    }
    jobs = []
  }

  // MARK: - One request

  /// The answer; nil where it was refused, or lost.
  private func ask(_ client: RPCClient, _ method: String, _ params: JSONObject, lost whenLost: () -> Void = {}) throws
    -> JSONValue?
  {
    switch try Asked(client, method, params) {
    case .done(let answer):
      answered += 1
      return answer
    case .refused(let kind):
      if !["conflict", "shutting_down", "unknown_expert", "waiting_for_experts", "no_mixture_yet"].contains(kind) {
        faults.append("\(method) \(JSONValue.object(params).jsonText) is refused as \(kind)")
      }
      isGone = kind == "shutting_down"
      return nil
    case .lost:
      lost += 1
      isGone = true
      whenLost()
      return nil
    }
  }

  private var isGone = false

  /// False where the daemon is gone.
  private func step(_ client: RPCClient) throws -> Bool {
    isGone = false
    let expert = "e\(1 + random.below(3))"
    switch random.below(20) {
    case 0, 1: try drop(expert, client)
    case 2...6: try promote(expert, client)
    case 7, 8:
      if let moved = try ask(
        client, "expert.rollback", ["expert": .string(expert)],
        lost: { ledger.mayStand(expert, for: nil) })
      {
        ledger.stands(expert, for: moved["active"]?.integerValue ?? 0)
      }
    case 9:
      if try ask(client, "expert.retire", ["expert": .string(expert)], lost: { ledger.mayStand(expert, for: 0) }) != nil
      {
        ledger.stands(expert, for: 0)
      }
    case 10, 11: try search(client)
    case 12, 13: try cancel(client)
    case 14, 15:
      if let job = jobs.last,
        let shown = try ask(client, "job.wait", ["job": .integer(job), "timeout_ms": JSONValue(random.below(300))])
      {
        ledger.isMade(shown)
      }
    default:
      if let mixture = try ask(client, "mixture.get", ["task": "letters"]) { ledger.isServed(mixture) }
    }
    return !isGone
  }

  private func drop(_ expert: String, _ client: RPCClient) throws {
    contents += 1
    try daemon.drop(expertBytes(expert, contents), "experts", expert + ".safetensors")
    guard random.below(2) == 0, try ask(client, "system.sync", [:]) != nil,
      let newest = try ask(client, "expert.show", ["expert": .string(expert)])?["versions"]?.arrayValue?.compactMap(
        \.integerValue
      ).max(),
      let shown = try ask(client, "expert.show", ["expert": .string("\(expert)@\(newest)")]),
      let digest = shown["digest"]?.stringValue
    else { return }
    if ledger.versions(of: expert).contains(newest) {
      faults.append("after a sync the newest version of '\(expert)' is \(newest), as before its file was dropped")
    }
    ledger.has(expert, newest, digest)
  }

  private func promote(_ expert: String, _ client: RPCClient) throws {
    let versions = ledger.versions(of: expert)
    guard !versions.isEmpty else { return }
    let version = versions[random.below(versions.count)]
    if try ask(
      client, "expert.promote", ["expert": .string("\(expert)@\(version)")],
      lost: { ledger.mayStand(expert, for: version) }) != nil
    {
      ledger.stands(expert, for: version)
    }
  }

  private func search(_ client: RPCClient) throws {
    guard
      let job = try ask(
        client, "task.adapt",
        [
          "task": "letters", "iterations": 1, "population": 4, "shots": 2, "seed": JSONValue(random.below(1_000_000)),
        ])?["job"]
    else { return }
    jobs.append(job.integerValue ?? 0)
    if let shown = try ask(client, "job.show", ["job": job]) { ledger.isMade(shown) }
  }

  private func cancel(_ client: RPCClient) throws {
    guard !jobs.isEmpty else { return }
    let job = jobs[random.below(jobs.count)]
    if let answer = try ask(client, "job.cancel", ["job": .integer(job)]), answer["state"] == "cancelled",
      let shown = try ask(client, "job.show", ["job": .integer(job)])
    {
      if shown["state"] != "cancelled" { faults.append("job \(job) is cancelled, and \(shown.jsonText)") }
      ledger.isMade(shown)
    }
  }
}
