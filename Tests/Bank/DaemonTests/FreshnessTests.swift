import Multipliers
import Records
import Results
import Settings
import StrictJSON
import Testing
import WorkerProtocol

@testable import Daemon
@testable import Registry

/// A bank in memory: two experts of one model, a task, and the mixture that was made of them.
private struct Bank {
  var models = [Bank.model("tiny", "a")]
  var experts = [Bank.expert("science"), Bank.expert("social")]
  var tasks = [Bank.task("arc")]
  var mixtures: [ServedMixture] = []
  var searches: [Freshness.Search] = []
  var failedSearches: [Pair: FailedSearch] = [:]
  var damage: [String: Damage] = [:]

  static let pair = Pair(task: "arc", model: "tiny")

  /// With a fresh mixture, unless `mixtureOptions` is nil.
  init(mixtureOptions: JSONObject? = [:]) throws {
    guard let mixtureOptions else { return }
    let need = try #require(snapshot.need(tasks[0], on: models[0], options: mixtureOptions))
    serve(need, options: mixtureOptions)
  }

  mutating func serve(_ need: MixtureNeed, options: JSONObject = [:]) {
    let score = ScoreSummary(fit: 0.5, fitLogLikelihood: -1)
    let record = Mixture(
      alpha: need.experts.map { _ in [0.5] }, granularity: .vector, mix: .delta, rescale: .none, units: ["model"],
      experts: need.experts.map { .init(name: $0.name, version: $0.version, digest: $0.digest) },
      scores: .init(metric: "acc", base: score, experts: ByName([]), uniform: score, mixture: score),
      served: "mixture", servedBecause: "it is better", taskDigest: need.task.current.digest,
      baseDigest: need.model.facts?.digest ?? "", template: "{question}",
      search: SearchSummary(
        method: "cem", objective: "accuracy", normalized: false, seed: 1, population: 8, elites: 2, shots: 4,
        generations: 3, stopReason: "stalled", costs: CostSummary(prompts: 9), configurations: [], seconds: [],
        kernel: "Haswell"))
    let mixture = MixtureRevision(
      pair: need.pair, revision: 1, job: 1, inputs: need.inputs, record: record,
      blob: BlobReference(hex: "c", bytes: 1), options: options, reason: "new", added: Bank.now)
    mixtures.append(ServedMixture(mixture: mixture, generation: 1, taskRevision: need.task.current.revision))
  }

  var snapshot: Snapshot {
    var contents = SnapshotContents()
    contents.models = models
    contents.damage = damage
    for expert in experts { contents.set(expert, at: expert.place, before: [:]) }
    for task in tasks { contents.set(task, at: task.place) }
    for served in mixtures { contents.set(served, at: served.place, path: \.hex) }
    contents.failedSearches = failedSearches
    return Snapshot(contents, generation: 1, configuredModel: nil)
  }

  var freshness: Freshness { Freshness(snapshot: snapshot, searches: searches) }
  var actions: [Freshness.Action] { freshness.actions }

  /// What the pair needs now.
  func need(options: JSONObject = [:]) throws -> MixtureNeed {
    try #require(snapshot.need(tasks[0], on: models[0], options: options))
  }

  func search(_ job: Int64, _ need: MixtureNeed, options: JSONObject = [:]) -> Freshness.Search {
    Freshness.Search(job: job, pair: need.pair, inputs: need.inputs, options: options)
  }

  // MARK: - What users do

  mutating func drop(_ name: String) { experts.append(Bank.expert(name)) }

  /// The next version of an expert becomes the active one.
  mutating func renew(_ index: Int, modelDigest: Character = "a") {
    experts[index].versions[experts[index].versions.count - 1].state = .superseded
    let number = experts[index].versions.count + 1
    experts[index].versions.append(Bank.version(experts[index].name, number, modelDigest: modelDigest))
    experts[index].active = number
    experts[index].lastMove = .promote
  }

  mutating func rollBack(_ index: Int) {
    experts[index].versions[1].state = .superseded
    experts[index].versions[0].state = .active
    experts[index].active = 1
    experts[index].lastMove = .rollback
  }

  mutating func takeOut(_ index: Int, _ state: VersionState) {
    experts[index].versions[0].state = state
    experts[index].active = nil
    experts[index].lastMove = .retire
  }

  /// The disk has changed a file of the store.
  mutating func damage(_ file: String) {
    damage[file] = Damage(file: file, cause: "it is missing", noticed: Bank.now)
  }

  /// Its files have changed.
  mutating func revise(_ settings: JSONValue = [:]) {
    tasks[0].current = Bank.task("arc", revision: 2, settings: settings).current
  }

  // MARK: - Invented rows

  private static let now = Timestamp(milliseconds: 1_700_000_000_000)

  static func digest(_ letter: Character) -> String { "sha256:" + String(repeating: letter, count: 64) }

  static func model(_ name: String, _ letter: Character) -> ModelRecord {
    ModelRecord(
      name: name, path: "/\(name)", identity: "1", state: .ready,
      facts: ModelFacts(
        digest: digest(letter), modelID: name, architecture: "LlamaForCausalLM", parameters: 10, layers: 1, hidden: 4,
        vocabulary: 8, contextLength: 16, quantization: "F32", hasTokenizer: true, chatTemplate: nil,
        chatTemplateProblem: nil, targets: [], factorizationSeconds: 0), problem: nil, added: now, addedBy: "uid 0")
  }

  static func expert(_ name: String, model: String = "tiny", modelDigest: Character = "a") -> ExpertRecord {
    ExpertRecord(
      name: name, active: 1, versions: [version(name, 1, model: model, modelDigest: modelDigest)], lastMove: .promote)
  }

  static func version(
    _ name: String, _ number: Int, model: String = "tiny", modelDigest: Character
  ) -> ExpertVersion {
    ExpertVersion(
      name: name, version: number, state: .active, model: model, modelDigest: digest(modelDigest),
      digest: "\(name) \(number)", blob: BlobReference(hex: name, bytes: 1), kind: "expert", label: nil, task: nil,
      rescale: "none", isForeign: false, warnings: [], source: name, added: now, addedBy: "uid 0")
  }

  static func task(_ name: String, revision: Int = 1, settings: JSONValue = [:]) -> TaskRecord {
    TaskRecord(
      name: name, onlyModel: nil,
      current: TaskRevision(
        task: name, revision: revision, digest: "\(name) \(revision)", path: "/\(name)", rows: 4, evalRows: 0,
        trainRows: 0, scoring: .choice, metric: "acc", template: "", settings: settings, warnings: [], source: name,
        added: now))
  }
}

/// Every cause that makes a mixture stale, in words, and what follows from it. What a daemon does with the actions is in
/// `StaleMixtureTests`.
@Suite struct FreshnessTests {
  private let pair = Bank.pair

  @Test func aMixtureOfWhatThereIsNeedsNothing() throws {
    let bank = try Bank()
    #expect(bank.actions == [.wait(pair)])
    #expect(bank.freshness.due(pair) == nil)
  }

  @Test func aTaskWithoutAMixtureIsToBeSearched() throws {
    let bank = try Bank(mixtureOptions: nil)
    #expect(bank.actions == [.searchDue(pair)])
    let due = try #require(bank.freshness.due(pair))
    #expect(due.need.experts.map(\.name) == ["science", "social"] && due.reason == "the task has no mixture yet")
  }

  @Test func aMixtureWhoseExpertsAreAllDamagedIsStaleAndNothingIsDue() throws {
    var bank = try Bank()
    for expert in bank.experts { bank.damage(expert.versions[0].blob.file) }
    let reason =
      "no expert of model 'tiny' is active and whole; 'science' (version 1) is damaged; 'social' (version 1) is damaged"
    #expect(bank.actions == [.markStale(pair, reason: reason), .wait(pair)])
    #expect(bank.freshness.due(pair) == nil)
  }

  @Test func aTaskThatIsDamagedIsNotSearchedAndItsMixtureIsFresh() throws {
    var bank = try Bank()
    bank.damage(bank.tasks[0].current.file)
    #expect(bank.actions == [.wait(pair)])
    bank.drop("third")
    #expect(!bank.actions.contains(.searchDue(pair)) && bank.freshness.due(pair) == nil)
    bank.damage = [:]
    #expect(bank.actions.contains(.searchDue(pair)))
  }

  /// What the search came upon may have been healed, or be the worker's mistake: it is tried once more and not for ever.
  @Test func aSearchThatCameUponDamageIsTriedOnceMore() throws {
    var bank = try Bank(mixtureOptions: nil)
    let inputs = try bank.need().inputs
    let error: JSONValue = ["kind": "damaged", "message": "it is not what was stored"]
    bank.failedSearches[pair] = FailedSearch(state: .failed, inputs: inputs, error: error, reason: "a new task")
    #expect(bank.actions == [.searchDue(pair)])
    #expect(bank.freshness.due(pair)?.reason == Freshness.again)
    bank.failedSearches[pair] = FailedSearch(state: .failed, inputs: inputs, error: error, reason: Freshness.again)
    #expect(bank.actions == [.wait(pair)] && bank.freshness.due(pair) == nil)
  }

  /// Each change with the reason that it gives, all at once with all of them.
  private static let changes: [(reason: String, change: @Sendable (inout Bank) -> Void)] = [
    ("'science' is now at version 2 (was 1)", { $0.renew(0) }),
    ("'third' is a new expert (version 1)", { $0.drop("third") }),
    ("'social' (version 1) was retired", { $0.takeOut(1, .retired) }),
    ("'social' (version 1) was quarantined by a check", { $0.takeOut(1, .quarantined) }),
    ("'social' (version 1) takes no part any more", { $0.takeOut(1, .superseded) }),
    ("'social' (version 1) is damaged", { $0.damage($0.experts[1].versions[0].blob.file) }),
    ("its vectors are damaged", { $0.damage($0.mixtures[0].mixture.blob.file) }),
    ("revision 2 is damaged", { $0.mixtures[0].inPlaceOf = "revision 2 is damaged" }),
    (
      "its vectors are damaged; 'third' is a new expert (version 1)",
      {
        $0.damage($0.mixtures[0].mixture.blob.file)
        $0.drop("third")
      }
    ),
    ("the task's files have changed (revision 1 to 2)", { $0.revise() }),
    (
      "the task's files have changed (revision 1 to 2); 'social' (version 1) takes no part any more",
      { $0.revise(["experts": ["science"]]) }
    ),
    (
      "the model has changed (sha256:aaaaaaaa to sha256:bbbbbbbb); 'science' is now at version 2 (was 1); "
        + "'social' is now at version 2 (was 1)",
      { bank in
        bank.models[0] = Bank.model("tiny", "b")
        bank.renew(0, modelDigest: "b")
        bank.renew(1, modelDigest: "b")
      }
    ),
    (
      "the task's files have changed (revision 1 to 2); 'science' is now at version 2 (was 1); "
        + "'third' is a new expert (version 1); 'social' (version 1) was retired",
      { bank in
        bank.revise()
        bank.renew(0)
        bank.drop("third")
        bank.takeOut(1, .retired)
      }
    ),
    // The same names and versions with other digests: a catalogue that was restored from a backup.
    ("its inputs have changed", { $0.experts[0].versions[0].digest = "other" }),
  ]

  @Test(arguments: changes.indices)
  func aChangeMakesTheMixtureStaleAndASearchDue(_ index: Int) throws {
    let (reason, change) = Self.changes[index]
    var bank = try Bank()
    change(&bank)
    #expect(bank.actions == [.markStale(pair, reason: reason), .searchDue(pair)])
    // What is said already is not said again, and is the reason of the search.
    bank.mixtures[0].staleReason = reason
    #expect(bank.actions == [.searchDue(pair)])
    #expect(bank.freshness.due(pair)?.reason == reason)
  }

  /// A stream of dropped experts would else change the reason of every mixture with each of them.
  @Test func aReasonNamesEightCausesAndThenStaysAsItIs() throws {
    var bank = try Bank()
    for number in 10..<18 { bank.drop("expert\(number)") }
    let eight = (10..<18).map { "'expert\($0)' is a new expert (version 1)" }.joined(separator: "; ")
    #expect(bank.actions == [.markStale(pair, reason: eight), .searchDue(pair)])
    bank.drop("expert18")
    #expect(bank.actions == [.markStale(pair, reason: eight + "; and more"), .searchDue(pair)])
    bank.mixtures[0].staleReason = eight + "; and more"
    bank.drop("expert19")
    #expect(bank.actions == [.searchDue(pair)])
  }

  /// Of a time when t2d formed the digest of the inputs in another way.
  @Test func aMixtureWithAnotherDigestOfTheSameInputsIsFresh() throws {
    var bank = try Bank()
    bank.mixtures[0].mixture.inputs = "sha256:before"
    #expect(bank.actions == [.wait(pair)])
    bank.renew(0)
    #expect(bank.actions.contains(.searchDue(pair)))
  }

  @Test func aRolledBackAliasIsSaidToBeThat() throws {
    var bank = try Bank(mixtureOptions: nil)
    bank.renew(0)
    bank.serve(try bank.need())
    bank.rollBack(0)
    #expect(
      bank.actions == [
        .markStale(pair, reason: "'science' was rolled back from version 2 to 1"), .searchDue(pair),
      ])
  }

  @Test func backToWhatItWasItIsFreshAndTheSearchForWhatHasGoneIsStopped() throws {
    var bank = try Bank()
    bank.renew(0)
    bank.mixtures[0].staleReason = "'science' is now at version 2 (was 1)"
    bank.searches = [bank.search(7, try bank.need())]
    #expect(bank.actions == [.wait(pair)])
    bank.rollBack(0)
    #expect(bank.actions == [.markFresh(pair), .cancel(job: 7), .wait(pair)])
  }

  @Test func withoutAnyExpertNothingIsSearched() throws {
    var bank = try Bank()
    let before = bank.search(7, try bank.need())
    bank.takeOut(0, .retired)
    bank.takeOut(1, .retired)
    bank.searches = [before]
    let reason =
      "no expert of model 'tiny' is active; 'science' (version 1) was retired; 'social' (version 1) was retired"
    #expect(bank.actions == [.markStale(pair, reason: reason), .cancel(job: 7), .wait(pair)])
    #expect(bank.freshness.due(pair) == nil)
  }

  @Test func aSearchThatIsOnItsWayIsWaitedFor() throws {
    var bank = try Bank(mixtureOptions: nil)
    bank.searches = [bank.search(7, try bank.need())]
    #expect(bank.actions == [.wait(pair)])
    #expect(bank.freshness.due(pair) == nil)
    // One for what has gone is not, and is not stopped either: the next takes its place.
    bank.renew(0)
    #expect(bank.actions == [.searchDue(pair)])
  }

  /// Somebody asked for a search among some experts: it is measured by what it was asked for.
  @Test func aSearchWithOptionsOfItsOwnCountsWhileItsOwnInputsStand() throws {
    var bank = try Bank()
    let options: JSONObject = ["experts": ["science"]]
    bank.searches = [bank.search(7, try bank.need(options: options), options: options)]
    #expect(bank.actions == [.wait(pair)])
    bank.renew(0)
    bank.rollBack(0)
    bank.takeOut(1, .retired)
    let stale = Freshness.Action.markStale(pair, reason: "'social' (version 1) was retired")
    #expect(bank.actions == [stale, .wait(pair)])
    bank.renew(0)
    #expect(bank.actions.last == .searchDue(pair))
  }

  @Test func whatAUserAskedOfAMixtureHoldsForTheNext() throws {
    var bank = try Bank(mixtureOptions: ["experts": ["science"]])
    bank.drop("third")
    bank.renew(1)
    #expect(bank.actions == [.wait(pair)])
    bank.renew(0)
    let due = try #require(bank.freshness.due(pair))
    #expect(due.need.experts.map(\.name) == ["science"] && due.options == ["experts": ["science"]])
  }

  @Test(arguments: [
    (JobState.failed, "no memory", false), (.cancelled, "cancelled by uid 0", false),
    (.cancelled, Freshness.outdated, true),
  ])
  func aSearchThatFailedIsNotTriedAgainUntilSomethingChanges(
    _ state: JobState, _ message: String, isTriedAgain: Bool
  ) throws {
    var bank = try Bank(mixtureOptions: nil)
    bank.failedSearches[pair] = FailedSearch(
      state: state, inputs: try bank.need().inputs, error: ["message": .string(message)])
    #expect(bank.actions == [isTriedAgain ? .searchDue(pair) : .wait(pair)])
    #expect((bank.freshness.due(pair) != nil) == isTriedAgain)
    bank.renew(0)
    #expect(bank.actions == [.searchDue(pair)])
  }

  @Test func onlyTheModelsOfATaskAreLookedAt() throws {
    var bank = try Bank()
    bank.models.append(Bank.model("second", "b"))
    bank.experts.append(Bank.expert("other", model: "second", modelDigest: "b"))
    let second = Pair(task: "arc", model: "second")
    #expect(bank.actions == [.wait(pair), .searchDue(second)])
    bank.tasks[0].onlyModel = "tiny"
    #expect(bank.actions == [.wait(pair)])
    // It was due before the task was registered for the other model.
    #expect(bank.freshness.due(second) == nil)
  }

  @Test func aMixtureOnAModelThatItsTaskIsNotForIsStale() throws {
    var bank = try Bank()
    bank.models.append(Bank.model("second", "b"))
    bank.tasks[0].onlyModel = "second"
    let second = Pair(task: "arc", model: "second")
    let reason = "the task is for model 'second': on this one its mixture is not renewed"
    #expect(bank.actions == [.wait(second), .markStale(pair, reason: reason), .wait(pair)])
    bank.mixtures[0].staleReason = reason
    #expect(bank.actions == [.wait(second), .wait(pair)])
    #expect(bank.freshness.due(pair) == nil)
    // For every model again, it is what it was.
    bank.tasks[0].onlyModel = nil
    #expect(bank.actions.first == .markFresh(pair))
  }

  @Test func aModelThatIsNotReadyIsLeftAlone() throws {
    var bank = try Bank()
    bank.models[0].state = .inspecting
    bank.renew(0)
    #expect(bank.actions == [])
  }
}
