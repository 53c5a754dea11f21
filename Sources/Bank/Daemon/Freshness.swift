import Registry
import StrictJSON
import WorkerProtocol

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
  /// Why a search is tried again, once, that came upon a damaged file.
  static let again = "the search before it came upon a damaged file"

  let snapshot: Snapshot
  private let searches: [Pair: [Search]]

  init(snapshot: Snapshot, searches: [Search]) {
    self.snapshot = snapshot
    self.searches = Dictionary(grouping: searches, by: \.pair)
  }

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
    return snapshot.mixtures(ofTask: task.name).flatMap { served -> [Action] in
      let pair = served.mixture.pair
      guard !sameName(pair.model, bound) else { return [] }
      return served.staleReason == reason ? [.wait(pair)] : [.markStale(pair, reason: reason), .wait(pair)]
    }
  }

  private func actions(_ task: TaskRecord, _ model: ModelRecord) -> [Action] {
    let pair = Pair(task: task.name, model: model.name)
    let options = snapshot.standingOptions(pair)
    let inputs = snapshot.inputs(of: task, on: model, options: options)
    let served = snapshot.mixture(pair)
    var actions: [Action] = []
    if let served {
      let reason = staleReason(served, task, model, inputs, options)
      // What is said already is not said again.
      if reason != served.staleReason {
        actions.append(reason.map { .markStale(pair, reason: $0) } ?? .markFresh(pair))
      }
    }
    if let inputs, isMissing(inputs, task, model, options) { return actions + [.searchDue(pair)] }
    // Where another search is to come, it takes the place of the older ones by itself.
    if inputs == nil || served.map({ isMade($0, of: inputs, task, model, options) }) ?? false {
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
    guard let need = snapshot.need(task, on: model, options: options),
      isMissing(need.inputs, task, model, options)
    else { return nil }
    let reason = snapshot.mixture(pair)?.staleReason ?? "the task has no mixture yet"
    return (need, options, hasMetDamage(pair, need.inputs) ? Self.again : reason)
  }

  /// Nothing has these inputs and nothing is about to.
  private func isMissing(_ inputs: String, _ task: TaskRecord, _ model: ModelRecord, _ options: JSONObject) -> Bool {
    // It cannot be read, until it is dropped again.
    if snapshot.damage(of: task) != nil { return false }
    let pair = Pair(task: task.name, model: model.name)
    if let served = snapshot.mixture(pair), isMade(served, of: inputs, task, model, options), problem(of: served) == nil
    {
      return false
    }
    if searches(of: pair).contains(where: { isCurrent($0, task, model) }) { return false }
    return !hasFailed(pair, inputs)
  }

  private func searches(of pair: Pair) -> [Search] { searches[pair] ?? [] }

  /// Whether a mixture is made of what its pair needs now. One whose digest is another may be of a time when t2d formed
  /// it in another way: then what it says of itself decides.
  private func isMade(
    _ served: ServedMixture, of inputs: String?, _ task: TaskRecord, _ model: ModelRecord, _ options: JSONObject
  ) -> Bool {
    guard let inputs else { return false }
    if served.mixture.inputs == inputs { return true }
    let record = served.mixture.record
    guard record.taskDigest == task.current.digest, record.baseDigest == model.facts?.digest,
      let experts = snapshot.need(task, on: model, options: options)?.experts
    else { return false }
    return record.experts.elementsEqual(experts) {
      sameName($0.name, $1.name) && $0.version == $1.version && $0.digest == $1.digest
    }
  }

  /// Its inputs stand: one with options of its own is measured by those.
  private func isCurrent(_ search: Search, _ task: TaskRecord, _ model: ModelRecord) -> Bool {
    search.inputs != nil && snapshot.inputs(of: task, on: model, options: search.options) == search.inputs
  }

  /// The same search has failed, or a person has cancelled it: it is not tried again until something changes.
  private func hasFailed(_ pair: Pair, _ inputs: String) -> Bool { snapshot.failure(of: pair, inputs: inputs) != nil }

  /// The newest search for this came upon a damaged file.
  private func hasMetDamage(_ pair: Pair, _ inputs: String) -> Bool {
    guard let last = snapshot.failedSearches[pair], last.inputs == inputs else { return false }
    return last.hasMetDamage
  }

  // MARK: - In words

  /// Why what is served is not what was found last; nil where it is.
  private func problem(of served: ServedMixture) -> String? {
    served.inPlaceOf ?? snapshot.damage(of: served).map { _ in "its vectors are damaged" }
  }

  /// Nil: the mixture is made of what the pair needs now.
  private func staleReason(
    _ served: ServedMixture, _ task: TaskRecord, _ model: ModelRecord, _ inputs: String?, _ options: JSONObject
  ) -> String? {
    let problem = problem(of: served)
    guard !isMade(served, of: inputs, task, model, options) else { return problem }
    var causes = [problem].compactMap { $0 }
    if inputs == nil {
      causes.append("no expert of model '\(model.name)' is active" + (snapshot.damage.isEmpty ? "" : " and whole"))
    }
    causes += differences(served, task, model, snapshot.need(task, on: model, options: options)?.experts ?? [])
    // Digests of what has the same names and versions: a restored catalogue, or a task that names other experts.
    if causes.isEmpty { return "its inputs have changed" }
    let told = causes.prefix(Self.toldCauses).joined(separator: "; ")
    return causes.count > Self.toldCauses ? told + "; and more" : told
  }

  /// How many causes a reason names. With a number of the others every dropped expert would change the reason of every
  /// mixture again.
  private static let toldCauses = 8

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
    let before = Dictionary(record.experts.map { (Name($0.name), $0.version) }, uniquingKeysWith: { $1 })
    for expert in experts where causes.count <= Self.toldCauses {
      guard let old = before[Name(expert.name)] else {
        causes.append("'\(expert.name)' is a new expert (version \(expert.version))")
        continue
      }
      guard old != expert.version else { continue }
      causes.append(
        snapshot.expert(expert.name)?.lastMove == .rollback
          ? "'\(expert.name)' was rolled back from version \(old) to \(expert.version)"
          : "'\(expert.name)' is now at version \(expert.version) (was \(old))")
    }
    let now = Set(experts.map { Name($0.name) })
    for old in record.experts where causes.count <= Self.toldCauses && !now.contains(Name(old.name)) {
      let version = snapshot.expert(old.name)?.version(old.version)
      let how =
        switch version?.state {
        case .retired: "was retired"
        case .quarantined: "was quarantined by a check"
        case .active where version.flatMap { snapshot.damage(of: $0) } != nil: "is damaged"
        case nil: "was removed"
        case .active, .candidate, .superseded: "takes no part any more"
        }
      causes.append("'\(old.name)' (version \(old.version)) \(how)")
    }
    return causes
  }

  /// `sha256:` and eight digits.
  private static func short(_ digest: String) -> String { String(digest.prefix(15)) }
}

extension Snapshot {
  /// The search of these inputs that failed, or that a person cancelled. One that was cancelled because its inputs were
  /// outdated says nothing of them.
  func failure(of pair: Pair, inputs: String) -> FailedSearch? {
    guard let last = failedSearches[pair], last.inputs == inputs else { return nil }
    // One that came upon a damaged file is tried once more, without it.
    if last.hasMetDamage, last.reason != Freshness.again { return nil }
    return last.state == .failed || last.error["message"]?.stringValue != Freshness.outdated ? last : nil
  }
}

extension FailedSearch {
  /// It came upon a damaged file.
  fileprivate var hasMetDamage: Bool {
    state == .failed && error["kind"]?.stringValue == WorkerFault.Kind.damaged.rawValue
  }
}
