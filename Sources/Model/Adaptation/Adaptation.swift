import Multipliers
import Search
package import StrictJSON

/// Finds the mixture of experts that serves a task best, from a few shots.
///
/// First the baselines: the base, each expert alone, all in equal parts. Then every configuration is searched on all
/// shots and once without each fold, one generation of each search in turn so that a budget falls on all alike. The
/// configuration that does best on what its searches did not see is chosen, and served unless a baseline does better there.
///
/// Runs in the calling thread and knows neither clock nor files. An interrupted run is resumed by running it again with
/// its journal: every step asks the journal before the scorer, so the same decisions follow, and the same end.
package struct Adaptation<Scorer: CandidateScorer> {
  let settings: AdaptationSettings
  let scorer: Scorer
  let plan: ShotPlan
  private let report: (AdaptationEvent) -> Void
  private let clock: () -> Double

  var evaluator: Evaluator<Scorer>
  var searches: [Search] = []
  private var journal: [JSONValue]
  private var cursor = 0
  private var secondsBefore = 0.0
  private var startOfRun = 0.0
  var elapsed = 0.0
  var fraction = 0.0
  var warnings: [String] = []

  struct Search {
    var configuration: Int
    /// Nil fits on all shots.
    var fold: Int?
    var chunks: [Int]
    var method: any SearchMethod
    var hasBegun = false
    /// What the mixture that it found does on the fold that it did not see, once that is known.
    var heldOut: MemberScore?
    var budgetStop: StopReason?
    var costs = SearchCosts()
    var history: [SearchStep] = []

    var stopReason: StopReason? { method.stopReason ?? budgetStop }
  }

  /// `clock` gives seconds from any start; `report` is called in the thread that runs.
  package init(
    _ settings: AdaptationSettings, scorer: Scorer, journal: [JSONValue] = [], prunes: Bool = true,
    caches: Bool = true,
    clock: @escaping () -> Double, report: @escaping (AdaptationEvent) -> Void
  ) {
    self.settings = settings
    self.scorer = scorer
    self.report = report
    self.clock = clock
    plan = ShotPlan(shots: scorer.shotCount, seed: settings.seed, chunking: scorer.chunks(of:))
    evaluator = Evaluator(scorer, chunks: plan.chunks, prunes: prunes, caches: caches)
    self.journal = journal
  }

  package mutating func run() throws(AdaptationError) -> AdaptationOutcome {
    openJournal()
    startSearches()
    progress(.baselines, "scoring the base, each expert and the uniform mixture")
    try ascendFromUniform()
    let baselines = try scoreBaselines()
    try runSearches(after: baselines)
    progress(.choosing, "comparing on the shots that were held out")
    return try choose(baselines)
  }

  // MARK: - journal

  private mutating func openJournal() {
    startOfRun = clock()
    let start: JSONValue = [
      "entry": "start", "version": .integer(AdaptationSettings.journalVersion),
      "identity": .string(settings.fingerprint),
    ]
    if let first = journal.first {
      if first == start {
        cursor = 1
        secondsBefore = journal.last?["seconds"]?.doubleValue ?? 0
        return
      }
      warnings.append("the journal of an earlier run belongs to other settings or inputs and was not used")
      journal = []
    }
    report(.journal(start))
  }

  /// Does one step: out of the journal if it holds the step, and into it otherwise. `label` says which step it is,
  /// `search` who bears its costs.
  mutating func step<Result>(
    _ label: JSONObject, of search: Int? = nil, _ body: (inout Self) throws(ScorerError) -> Result,
    state: (inout Self, Result) -> JSONObject
  ) throws(AdaptationError) -> Result {
    // `.none`, since a bare nil would be JSON's null.
    let replayed = cursor < journal.count ? journal[cursor] : Optional.none
    if let replayed, !label.members.allSatisfy({ replayed[$0.key] == $0.value }) {
      throw .journalMismatch(entry: cursor)
    }
    evaluator.begin(replaying: replayed?["scores"])
    var before = evaluator.costs
    before.seconds = elapsed
    let result: Result
    do throws(ScorerError) { result = try body(&self) } catch { throw AdaptationError(error) }
    let after = state(&self, result)
    if let replayed {
      guard after.members.allSatisfy({ replayed[$0.key] == $0.value }) else {
        throw .journalMismatch(entry: cursor)
      }
      elapsed = replayed["seconds"]?.doubleValue ?? elapsed
      cursor += 1
      if cursor == journal.count { startOfRun = clock() }
    } else {
      elapsed = secondsBefore + clock() - startOfRun
      var entry = label
      for member in after.members { entry[member.key] = member.value }
      entry["scores"] = evaluator.scores
      entry["seconds"] = .number(elapsed)
      report(.journal(.object(entry)))
    }
    if let search {
      var after = evaluator.costs
      after.seconds = elapsed
      searches[search].costs += after - before
    }
    return result
  }

  // MARK: - baselines

  struct Baselines {
    var candidates: [MixtureCoefficients]
    var fits: [MemberScore]
    var heldOut: [MemberScore?]
  }

  var expertCount: Int { settings.configurations[0].space.experts }

  private var uniform: MixtureCoefficients {
    MixtureCoefficients(
      mix: settings.configurations[0].space.mix, Array(repeating: 1 / Float(expertCount), count: expertCount))
  }

  /// A search that asks first for the gradient at the uniform mixture is answered before the baselines are scored: the
  /// score comes with the gradient, and one of the baselines costs nothing more.
  private mutating func ascendFromUniform() throws(AdaptationError) {
    let uniform = uniform
    for index in searches.indices where searches[index].fold == nil {
      let space = settings.configurations[searches[index].configuration].space
      guard case .gradient(let request)? = searches[index].method.question,
        space.coefficients(at: request.point, onGrid: false) == uniform, scorer.admits(uniform)
      else { continue }
      let chunks = searches[index].chunks
      _ = try step(["entry": "uniform_gradient"], of: index) { (run) throws(ScorerError) in
        try run.evaluator.gradient(at: uniform, on: chunks, sharing: true)
      } state: { _, found in
        ["score": found.score.json]
      }
      return
    }
  }

  /// The base, the experts in order, and the uniform mixture.
  mutating func scoreBaselines() throws(AdaptationError) -> Baselines {
    let count = expertCount
    var candidates = [MixtureCoefficients.base(of: count)]
    for k in 0..<count { candidates.append(.single(k, of: count)) }
    candidates.append(uniform)
    let chunks = plan.allChunks
    let fits = try step(["entry": "baselines"]) { (run) throws(ScorerError) in
      try run.evaluator.scores(of: candidates, on: chunks)
    } state: { _, fits in
      ["fits": .array(fits.map(\.json))]
    }
    // All their scores are known now, so nothing is computed here.
    let heldOut = try step(["entry": "baselines_held_out"]) { (run) throws(ScorerError) in
      var byFold: [[MemberScore]] = []
      for fold in run.plan.folds.indices {
        byFold.append(try run.evaluator.scores(of: candidates, on: run.plan.heldOut(fold)))
      }
      return candidates.indices.map { c in byFold.isEmpty ? nil : MemberScore.mean(byFold.map { $0[c] }) }
    } state: { (_, means: [MemberScore?]) in
      ["held_out": .array(means.map { $0?.json ?? .null })]
    }
    return Baselines(candidates: candidates, fits: fits, heldOut: heldOut)
  }

  func progress(_ phase: AdaptationEvent.Phase, _ detail: String, _ best: MemberScore? = nil) {
    report(.progress(fraction: fraction, phase: phase, detail: detail, best: best))
  }
}
