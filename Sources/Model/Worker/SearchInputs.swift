import Settings
import Adaptation
import Engines
import Evaluation
import Multipliers
import Search
import StrictJSON
import WorkerProtocol

/// What searches of one task read: its shots, the model, the experts and what mixes them. An adaptation searches with
/// them once, a sweep once for each cell.
struct SearchInputs {
  /// Without eval and training rows, so that no search can read them.
  let task: TaskDefinition
  let model: LoadedModel
  let experts: [LoadedModel.LoadedExpert]
  let rescale: Rescale
  let mixer: Mixer
  /// Of the task's few-shot rows, in their order.
  let rows: [EncodedRow]

  init(
    _ task: TaskDefinition, _ model: LoadedModel, _ references: [ExpertReference]
  ) throws(WorkerFault) {
    precondition(task.eval.isEmpty && task.train.isEmpty, "a search was handed rows that it must not see")
    self.task = task
    self.model = model
    experts = try model.experts(references)
    rescale = try LoadedModel.rescale(of: experts)
    mixer = model.mixer(experts, rescale)
    rows = try faulting { try TaskEncoder(task, for: model.model).encode(task.shots) }
  }

  /// The first `count` few-shot rows, by their numbers; all where it is nil.
  func shots(_ count: Int?) throws(WorkerFault) -> [Int] {
    guard let count else { return Array(rows.indices) }
    guard count > 0 else { throw WorkerFault(.badRequest, "\(count) shots were asked for; ask for 1 or more") }
    return Array(rows.indices.prefix(count))
  }

  /// What a search is to do on these shots, by their numbers.
  func settings(_ search: SearchSettings, shots: [Int]) throws(WorkerFault) -> AdaptationSettings {
    try adaptationSettings(
      search, hasChoices: task.scoring == .choice, experts: experts.count, layout: model.model.layout,
      rescale: rescale, identity: identity(shots))
  }

  /// All that the scores depend on. The kernel is not among it: scores that were journalled under another one stay.
  private func identity(_ shots: [Int]) -> String {
    let first = Array(rows.indices.prefix(shots.count))
    let which = shots == first ? "\(shots.count)" : shots.map { "\($0)" }.joined(separator: ",")
    return ([model.model.facts.identity, task.shotsDigest.description, which] + experts.map(\.reference.digest))
      .joined(separator: " ")
  }

  /// Searches; `journal` holds what an interrupted run of this very search left.
  func search(
    _ settings: AdaptationSettings, shots: [Int], journal: [JSONValue], for job: RunningJob,
    report: @escaping (AdaptationEvent) -> Void
  ) throws(WorkerFault) -> AdaptationOutcome {
    let rows = shots.map { self.rows[$0] }
    let shouldStop: @Sendable () -> Bool = { [job] in job.isCancelled }
    return try faulting {
      if task.scoring == .choice {
        let scorer = try ChoiceScorer(
          model: model.model, mixer: mixer, many: settings.comparesPopulations, rows: rows, metric: task.metric,
          shouldStop: shouldStop)
        return try run(settings, scorer, journal, job, report)
      }
      guard settings.objective == .accuracy else {
        throw WorkerFault(
          .unsupported, "the objective 'loglik' needs rows with choices; '\(task.name)' has generated ones")
      }
      let scorer = try GenerationScorer(
        model: model.model, mixer: mixer, task: task, rows: rows, sandbox: job.sandbox, shouldStop: shouldStop)
      return try run(settings, scorer, journal, job, report)
    }
  }

  private func run(
    _ settings: AdaptationSettings, _ scorer: some CandidateScorer, _ journal: [JSONValue], _ job: RunningJob,
    _ report: @escaping (AdaptationEvent) -> Void
  ) throws(AdaptationError) -> AdaptationOutcome {
    var adaptation = Adaptation(
      settings, scorer: scorer, journal: journal, clock: { [job] in job.seconds }, report: report)
    return try adaptation.run()
  }

  /// The expert that does best alone: on held-out shots where there are any. Chosen before any eval row is read.
  func bestExpert(_ outcome: AdaptationOutcome, by objective: Objective) -> Int {
    func worth(_ k: Int) -> MemberScore { outcome.experts[k].heldOut ?? outcome.experts[k].fit }
    var best = 0
    for k in outcome.experts.indices where worth(best).isBelow(worth(k), by: objective) { best = k }
    return best
  }

  func name(of served: AdaptationOutcome.Served) -> String {
    switch served {
    case .mixture: "mixture"
    case .base: "base"
    case .uniform: "uniform"
    case .expert(let k): experts[k].reference.name
    }
  }

  /// Where the shots can say nothing, or more was fitted than they can say.
  func warnings(_ outcome: AdaptationOutcome, shots: Int) -> [String] {
    guard outcome.hasSignal else {
      return outcome.warnings + [
        "no signal: no expert and no mixture does better or worse than the base on the \(shots) shots; look at what is "
          + "answered (t2ctl evaluate) and at the task's answers and template, or give rows that some expert can answer"
      ]
    }
    let coefficients = outcome.searches[outcome.configuration].configuration.space.freedom
    guard coefficients > shots else { return outcome.warnings }
    return outcome.warnings + [
      "\(coefficients) coefficients were fitted to \(shots) shots; trust the held-out score, not the fit"
    ]
  }
}
