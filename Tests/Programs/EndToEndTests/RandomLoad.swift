import RPCClient
import StrictJSON
import TestSupport

/// What random clients ask of a daemon by one connection after the other, and what they were told.
final class RandomLoad {
  let daemon: RunningDaemon
  var ledger = Ledger()
  var faults: [String] = []
  var random: SplitMix
  private(set) var answered = 0
  private(set) var lost = 0
  private let distinct: Int
  /// How many files were dropped.
  private var contents = 0
  /// Those of them that were other ones than all before.
  private var dropped: Set<String> = []
  /// Jobs that were accepted since the last start.
  private var jobs: [Int64] = []
  private var isGone = false

  /// - Parameter distinct: so many contents are dropped of an expert, again and again; the bank grows no further then.
  init(_ daemon: RunningDaemon, seed: UInt64, distinct: Int = .max) {
    self.daemon = daemon
    self.distinct = distinct
    random = SplitMix(seed: seed)
  }

  var summary: String { "\(answered) answers, \(lost) lost; \(contents) files, \(ledger.jobCount) jobs" }

  /// The daemon has ended; what was queued is not waited for.
  func wasEnded() { jobs = [] }

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

  /// Asks for something. False where the daemon is gone.
  func step(_ client: RPCClient) throws -> Bool {
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
    let number = contents % distinct
    let isNew = dropped.insert("\(expert) \(number)").inserted
    try daemon.drop(expertBytes(expert, number), "experts", expert + ".safetensors")
    guard random.below(2) == 0, try ask(client, "system.sync", [:]) != nil,
      let newest = try ask(client, "expert.show", ["expert": .string(expert)])?["versions"]?.arrayValue?.compactMap(
        \.integerValue
      ).max(),
      let shown = try ask(client, "expert.show", ["expert": .string("\(expert)@\(newest)")]),
      let digest = shown["digest"]?.stringValue
    else { return }
    if isNew, ledger.versions(of: expert).contains(newest) {
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
    // They are asked for faster than they end.
    let live = jobs.filter { !ledger.hasEnded($0) }
    if live.count >= 8 {
      if let shown = try ask(client, "job.show", ["job": .integer(live[0])]) { ledger.isMade(shown) }
      return
    }
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
