import Registry
import StrictJSON

/// Whether each mixture is made of what its pair needs now, and what is to be done where it is not.
///
/// Pure: a snapshot and the searches that are on their way go in, actions come out, in the order in which they are to
/// be done. When a search that is due begins (things must have been quiet for a while) is the caller's affair.
struct Freshness {
  /// A search that is queued or runs, and has not been told to stop.
  struct Search: Equatable {
    var job: Int64
    var pair: Pair
    /// What it was begun for: `MixtureNeed.inputs` at that time.
    var inputs: String?
    /// What was asked of it beyond the defaults.
    var options: JSONObject
  }

  enum Action: Equatable {
    /// The mixture is served on, marked with this reason.
    case markStale(Pair, reason: String)
    case markFresh(Pair)
    /// A search is needed and none is on its way.
    case searchDue(Pair)
    /// Nothing is to begin: the mixture is fresh, its search is on its way or has failed, or there is nothing to mix.
    case wait(Pair)
    /// The job searches for what is not needed any more; it ends with `Freshness.outdated` as its reason.
    case cancel(job: Int64)
  }

  /// Why a search is cancelled by itself. One that ended so may be tried again, unlike one that a person cancelled.
  static let outdated = "its inputs are not those of the task any more"

  let snapshot: Snapshot
  let searches: [Search]

  /// Of every task on each of its models, and of what is served on a model that it has left.
  var actions: [Action] {
    var actions: [Action] = []
    for task in snapshot.tasks {
      for model in snapshot.models(of: task) { actions += self.actions(task, model) }
      if let bound = task.boundModel { actions += leftBehind(task, by: bound) }
    }
    return actions
  }

  /// A task that is for one model only: its mixtures on others, of a time before that or asked for by name, are served on
  /// and are renewed no more, so nobody may take them for fresh.
  private func leftBehind(_ task: TaskRecord, by bound: String) -> [Action] {
    let reason = "the task is for model '\(bound)': on this one its mixture is not renewed"
    return snapshot.mixtures.flatMap { served -> [Action] in
      let pair = served.mixture.pair
      guard sameName(pair.task, task.name), !sameName(pair.model, bound) else { return [] }
      return served.staleReason == reason ? [.wait(pair)] : [.markStale(pair, reason: reason), .wait(pair)]
    }
  }

  private func actions(_ task: TaskRecord, _ model: ModelRecord) -> [Action] {
    let pair = Pair(task: task.name, model: model.name)
    let need = snapshot.need(task, on: model, options: snapshot.standingOptions(pair))
    let served = snapshot.mixture(pair)
    var actions: [Action] = []
    if let served {
      let reason = staleReason(served, task, model, need)
      // What is said already is not said again.
      if reason != served.staleReason {
        actions.append(reason.map { .markStale(pair, reason: $0) } ?? .markFresh(pair))
      }
    }
    if let need, isMissing(need) { return actions + [.searchDue(pair)] }
    // Where another search is to come, it takes the place of the older ones by itself.
    if need == nil || served?.mixture.inputs == need?.inputs {
      actions += searches(of: pair).filter { !isCurrent($0, task, model) }.map { .cancel(job: $0.job) }
    }
    return actions + [.wait(pair)]
  }

  /// The search that is due for a pair when things have been quiet, and why; nil where none is needed any more.
  func due(_ pair: Pair) -> (need: MixtureNeed, options: JSONObject, reason: String)? {
    guard let task = snapshot.task(pair.task),
      let model = snapshot.models(of: task).first(where: { sameName($0.name, pair.model) })
    else { return nil }
    let options = snapshot.standingOptions(pair)
    guard let need = snapshot.need(task, on: model, options: options), isMissing(need) else { return nil }
    return (need, options, snapshot.mixture(pair)?.staleReason ?? "the task has no mixture yet")
  }

  /// Nothing has these inputs and nothing is about to.
  private func isMissing(_ need: MixtureNeed) -> Bool {
    if snapshot.mixture(need.pair)?.mixture.inputs == need.inputs { return false }
    if searches(of: need.pair).contains(where: { isCurrent($0, need.task, need.model) }) { return false }
    return !hasFailed(need)
  }

  private func searches(of pair: Pair) -> [Search] {
    searches.filter { sameName($0.pair.task, pair.task) && sameName($0.pair.model, pair.model) }
  }

  /// Its inputs stand: one with options of its own is measured by those.
  private func isCurrent(_ search: Search, _ task: TaskRecord, _ model: ModelRecord) -> Bool {
    search.inputs != nil && snapshot.need(task, on: model, options: search.options)?.inputs == search.inputs
  }

  /// The same search has failed, or a person has cancelled it: it is not tried again until something changes.
  private func hasFailed(_ need: MixtureNeed) -> Bool {
    guard let last = snapshot.failedSearches[need.pair], last.inputs == need.inputs else { return false }
    return last.state == .failed || last.error["message"]?.stringValue != Self.outdated
  }

  // MARK: - In words

  /// Nil: the mixture is made of what the pair needs now.
  private func staleReason(
    _ served: ServedMixture, _ task: TaskRecord, _ model: ModelRecord, _ need: MixtureNeed?
  ) -> String? {
    guard served.mixture.inputs != need?.inputs else { return nil }
    var causes: [String] = []
    if need == nil { causes.append("no expert of model '\(model.name)' is active") }
    causes += differences(served, task, model, need?.experts ?? [])
    // Digests of what has the same names and versions: a restored catalogue, or a task that names other experts.
    return causes.isEmpty ? "its inputs have changed" : causes.joined(separator: "; ")
  }

  /// Every difference between what a mixture was made of and what there is now, with versions.
  private func differences(
    _ served: ServedMixture, _ task: TaskRecord, _ model: ModelRecord, _ experts: [ExpertVersion]
  ) -> [String] {
    let record = served.mixture.record
    var causes: [String] = []
    if record.taskDigest != task.current.digest {
      let before = served.taskRevision.map { "\($0)" } ?? "?"
      causes.append("the task's files have changed (revision \(before) to \(task.current.revision))")
    }
    if let now = model.facts?.digest, record.baseDigest != now {
      causes.append("the model has changed (\(Self.short(record.baseDigest)) to \(Self.short(now)))")
    }
    let before = record.experts
    for expert in experts {
      guard let old = before.first(where: { sameName($0.name, expert.name) }) else {
        causes.append("'\(expert.name)' is a new expert (version \(expert.version))")
        continue
      }
      guard old.version != expert.version else { continue }
      causes.append(
        snapshot.expert(expert.name)?.lastMove == .rollback
          ? "'\(expert.name)' was rolled back from version \(old.version) to \(expert.version)"
          : "'\(expert.name)' is now at version \(expert.version) (was \(old.version))")
    }
    for old in before where !experts.contains(where: { sameName($0.name, old.name) }) {
      let how =
        switch snapshot.expert(old.name)?.version(old.version)?.state {
        case .retired: "was retired"
        case .quarantined: "was quarantined by a check"
        case .active, .candidate, .superseded, nil: "takes no part any more"
        }
      causes.append("'\(old.name)' (version \(old.version)) \(how)")
    }
    return causes
  }

  /// `sha256:` and eight digits.
  private static func short(_ digest: String) -> String { String(digest.prefix(15)) }
}
