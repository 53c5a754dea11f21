import RPCClient
import StrictJSON

/// What a daemon has answered or shown, and so must be true ever after, whatever ends it.
struct Ledger {
  /// The digest of each version, by expert.
  private var versions: [String: [Int64: String]] = [:]
  /// What each expert may stand for, 0 for nothing: one, or more where an answer was lost; anything where nil.
  private var active: [String: Set<Int64>?] = [:]
  /// When each job was made.
  private var jobs: [Int64: String] = [:]
  /// How those ended that did.
  private var ends: [Int64: String] = [:]
  /// The search of each task's mixture, or a later one.
  private var searches: [String: Int64] = [:]

  // MARK: - What is answered

  mutating func stands(_ expert: String, for version: Int64) { active[expert] = [version] }

  /// The answer was lost: it may stand for this too, or for anything.
  mutating func mayStand(_ expert: String, for version: Int64?) {
    guard let version, let known = active[expert] ?? [0] else {
      active[expert] = .some(nil)
      return
    }
    active[expert] = known.union([version])
  }

  mutating func has(_ expert: String, _ version: Int64, _ digest: String) {
    versions[expert, default: [:]][version] = digest
  }

  mutating func isMade(_ job: JSONValue) {
    guard let id = job["job"]?.integerValue else { return }
    jobs[id] = job["created"]?.stringValue
    if let state = job["state"]?.stringValue, ["done", "failed", "cancelled"].contains(state) { ends[id] = state }
  }

  mutating func isServed(_ mixture: JSONValue) {
    guard let task = mixture["task"]?.stringValue, let job = mixture["search"]?["job"]?.integerValue else { return }
    searches[task] = max(job, searches[task] ?? 0)
  }

  func versions(of expert: String) -> [Int64] { (versions[expert] ?? [:]).keys.sorted() }
  var jobCount: Int { jobs.count }
  func hasEnded(_ job: Int64) -> Bool { ends[job] != nil }

  // MARK: - What is there

  /// Compares a daemon with all that; what is wrong, in words. Then what it shows is what stands.
  mutating func faults(_ client: RPCClient) throws -> [String] {
    var faults: [String] = []
    let rows = try everyRow(client, "expert.list", ["all": true], of: "experts")
    var found: [String: [Int64: String]] = [:]
    var standing: [String: Int64] = [:]
    for row in rows {
      guard let name = row["name"]?.stringValue, let version = row["version"]?.integerValue,
        let digest = row["digest"]?.stringValue
      else {
        faults.append("a row without its members: \(row.jsonText)")
        continue
      }
      if found[name]?[version] != nil { faults.append("\(name)@\(version) is there twice") }
      found[name, default: [:]][version] = digest
      standing[name] = row["active"]?.integerValue ?? 0
      if let damage = row["damaged"] { faults.append("\(name)@\(version) is damaged: \(damage.jsonText)") }
    }
    for (name, known) in versions {
      for (version, digest) in known where found[name]?[version] != digest {
        faults.append("\(name)@\(version) was \(digest) and is \(found[name]?[version] ?? "gone")")
      }
    }
    for (name, there) in found {
      if there.keys.sorted() != Array(1...Int64(there.count)) {
        faults.append("\(name) has the versions \(there.keys.sorted())")
      }
      if Set(there.values).count != there.count { faults.append("\(name) has the same content under two numbers") }
    }
    for (name, possible) in active {
      if let possible, !possible.contains(standing[name] ?? 0) {
        faults.append("\(name) stands for \(standing[name] ?? 0), and should for \(possible.sorted())")
      }
    }
    let jobs = try everyRow(client, "job.list", of: "jobs")
    let byID = Dictionary(jobs.map { ($0["job"]?.integerValue ?? 0, $0) }) { first, _ in first }
    for (id, created) in self.jobs where byID[id]?["created"]?.stringValue != created {
      faults.append("job \(id) of \(created) is \(byID[id]?.jsonText ?? "gone")")
    }
    for (id, state) in ends where byID[id]?["state"]?.stringValue != state {
      faults.append("job \(id) ended as \(state) and is \(byID[id]?.jsonText ?? "gone")")
    }
    for task in searches.keys.sorted() {
      let mixture = try client.call("mixture.get", ["task": .string(task)])
      let (job, known) = (mixture["search"]?["job"]?.integerValue ?? 0, searches[task] ?? 0)
      if job < known { faults.append("the mixture of '\(task)' is of job \(job), and was of \(known)") }
      isServed(mixture)
    }
    versions = found
    active = standing.mapValues { [$0] }
    for job in jobs { isMade(job) }
    return faults
  }
}
