import Adaptation
import Evaluation
import Multipliers
import Records
import Results
import Settings
import StrictJSON
import WorkerProtocol

extension SweepSpec: RunnableJob {
  func run(as job: RunningJob) throws(WorkerFault) -> SweepResult { try SweepJob(spec: self, job: job).run() }
}

/// Searches a task's mixture under one setting after the other and publishes none; runs in the thread of jobs.
///
/// All searches are over before the eval file is opened. The journal holds each search's entries under the number of
/// its cell, and after them one entry for each mixture that was scored on the eval rows, so a sweep that was killed goes on
/// within the search that it was at.
struct SweepJob {
  let spec: SweepSpec
  let job: RunningJob

  /// Of the job's work, what searching takes; scoring what was found takes the rest.
  private static let searching = 0.8

  /// One search of the sweep.
  private struct Cell {
    var shots: [Int]
    var budget: SweepBudget
    var search: SearchSettings
    var settings: AdaptationSettings

    /// What it costs at most, in some unit: for the progress.
    var weight: Double {
      switch budget {
      case .iterations(let number): Double(number * search.population * shots.count)
      case .prompts(let number): Double(min(number, search.iterations * search.population * shots.count))
      }
    }

    var name: String {
      let limit =
        switch budget {
        case .iterations(let number): "\(number) generations"
        case .prompts(let number): "\(number) prompts"
        }
      return "\(shots.count) shots, \(limit), seed \(search.seed)"
    }
  }

  func run() throws(WorkerFault) -> SweepResult {
    let task = try loadTask(spec.task, onlyShots: true)
    return try job.using(spec.model) { (model) throws(WorkerFault) in
      let inputs = try SearchInputs(task, model, spec.experts)
      let cells = try cells(on: inputs)
      var outcomes: [AdaptationOutcome] = []
      let total = cells.reduce(0) { $0 + $1.weight }
      var before = 0.0
      for (number, cell) in cells.enumerated() {
        try job.checkCancelled()
        outcomes.append(
          try search(cell, number, of: cells.count, on: inputs) { [before] in (before + $0 * cell.weight) / total
          })
        before += cell.weight
      }
      guard var rows = try EvalRows(spec.task, inputs, job) else {
        throw WorkerFault(
          .taskUnreadable,
          "the task '\(task.name)' has no eval rows, by which a sweep is judged; put them into eval.jsonl")
      }
      let scores = try evaluate(outcomes, cells, inputs, &rows)
      return result(cells, outcomes, scores, inputs)
    }
  }

  // MARK: - searches

  /// Every search, checked before the first begins.
  private func cells(on inputs: SearchInputs) throws(WorkerFault) -> [Cell] {
    let most = spec.shots.max() ?? 0
    guard most <= inputs.rows.count, spec.shots.allSatisfy({ $0 > 0 }) else {
      throw WorkerFault(
        .badRequest,
        "\(most) shots were asked for, and the few-shot file of '\(inputs.task.name)' has \(inputs.rows.count) rows")
    }
    var cells: [Cell] = []
    for shots in spec.shots {
      for budget in spec.budgets {
        for seed in spec.seeds {
          var search = spec.search
          search.seed = seed
          search.shots = shots
          switch budget {
          case .iterations(let number): search.iterations = number
          case .prompts(let number): search.budgetPrompts = number
          }
          let drawn = ShotPlan.drawn(shots, of: inputs.rows.count, seed: seed)
          cells.append(
            Cell(
              shots: drawn, budget: budget, search: search, settings: try inputs.settings(search, shots: drawn)))
        }
      }
    }
    guard !cells.isEmpty else { throw WorkerFault(.badRequest, "a sweep needs shots, budgets and seeds") }
    return cells
  }

  private func search(
    _ cell: Cell, _ number: Int, of count: Int, on inputs: SearchInputs, share: @escaping (Double) -> Double
  ) throws(WorkerFault) -> AdaptationOutcome {
    let mine = job.journal.filter { $0["entry"] == "search" && $0["cell"]?.intValue == number }.compactMap { $0["of"] }
    return try inputs.search(cell.settings, shots: cell.shots, journal: mine, for: job) { [job] event in
      switch event {
      case .journal(let entry): job.record(["entry": "search", "cell": JSONValue(number), "of": entry])
      case .progress(let fraction, let phase, let detail, let best):
        job.report(
          Self.searching * share(fraction), phase.rawValue,
          "search \(number + 1) of \(count) (\(cell.name)): \(detail)", best: best?.score)
      }
    }
  }

  // MARK: - the eval rows

  private struct CellScores {
    var best: Int
    var base: EvalSummary
    var expert: EvalSummary
    var found: EvalSummary
    var served: EvalSummary
  }

  private func evaluate(
    _ outcomes: [AdaptationOutcome], _ cells: [Cell], _ inputs: SearchInputs, _ rows: inout EvalRows
  ) throws(WorkerFault) -> [CellScores] {
    let count = inputs.experts.count
    var scores: [CellScores] = []
    for (number, outcome) in outcomes.enumerated() {
      let best = inputs.bestExpert(outcome, by: cells[number].settings.objective)
      let wanted: [MixtureCoefficients] = [
        .base(of: count), .single(best, of: count), outcome.found, outcome.alpha,
      ]
      var answers: [[EvalRows.Answer]] = []
      for (index, alpha) in wanted.enumerated() {
        try job.checkCancelled()
        let total = rows.count
        answers.append(
          try rows.answers(alpha) { done in
            let part = share(
              done, of: total, inPart: number * wanted.count + index, of: outcomes.count * wanted.count)
            job.report(
              Self.searching + (1 - Self.searching) * part, "evaluating",
              "search \(number + 1) of \(outcomes.count): eval row \(done) of \(total)")
          })
      }
      scores.append(
        CellScores(
          best: best, base: EvalRows.summary(answers[0]), expert: EvalRows.summary(answers[1], base: answers[0]),
          found: EvalRows.summary(answers[2], base: answers[0], expert: answers[1]),
          served: EvalRows.summary(answers[3], base: answers[0], expert: answers[1])))
    }
    return scores
  }

  // MARK: - result

  private func result(
    _ cells: [Cell], _ outcomes: [AdaptationOutcome], _ scores: [CellScores], _ inputs: SearchInputs
  ) -> SweepResult {
    let search = spec.search
    var experts: [(String, EvalSummary)] = []
    for score in scores {
      let name = inputs.experts[score.best].reference.name
      if !experts.contains(where: { $0.0 == name }) { experts.append((name, score.expert)) }
    }
    return SweepResult(
      task: inputs.task.name, metric: inputs.task.metric.rawValue, template: inputs.task.templateName, split: .eval,
      count: scores[0].base.count, rows: inputs.rows.count, method: search.method, granularities: search.granularities,
      objective: search.objective, population: search.population,
      experts: inputs.experts.map { "\($0.reference.name)@\($0.reference.version)" }, base: scores[0].base,
      bestExperts: ByName(experts), cells: cells.indices.map { cell(cells[$0], outcomes[$0], scores[$0], inputs) },
      kernel: job.kernel, seconds: job.seconds)
  }

  private func cell(
    _ cell: Cell, _ outcome: AdaptationOutcome, _ score: CellScores, _ inputs: SearchInputs
  ) -> SweepResult.Cell {
    var configuration = ConfigurationSummary(outcome.searches[outcome.configuration], isChosen: nil)
    configuration.costs.prompts = outcome.costs.prompts
    configuration.seconds = outcome.costs.seconds
    return SweepResult.Cell(
      shots: cell.shots.count, budget: cell.budget, seed: cell.search.seed,
      shotIDs: cell.shots.map { inputs.task.shots[$0].id }, configuration: configuration,
      served: inputs.name(of: outcome.served), bestExpert: inputs.experts[score.best].reference.name,
      eval: score.found, servedEval: score.served, warnings: inputs.warnings(outcome, shots: cell.shots.count))
  }
}
