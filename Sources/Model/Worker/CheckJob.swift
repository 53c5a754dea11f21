import Settings
import Adaptation
import Digests
import Evaluation
import Multipliers
import Results
import StrictJSON
import Transformer
import WorkerProtocol

extension CheckSpec: RunnableJob {
  func run(as job: RunningJob) throws(WorkerFault) -> CheckResult { try CheckJob(spec: self, job: job).run() }
}

/// Compares an expert with shuffled copies of itself and with the base; runs in the thread of jobs.
///
/// Vector after vector, all rows under one before the next: its matrices are built once (a second of work and half a
/// gigabyte for SmolLM2), and after that a row costs what it costs under the base. A population of all vectors through
/// `scoreCandidates` would have to hold or rebuild seven of them, and per-row multipliers cost half as much again for
/// every row. It also makes the vector the unit of the journal: a check that was cut goes on with the next vector, and
/// since nothing is computed across vectors it ends with the same items.
struct CheckJob {
  let spec: CheckSpec
  let job: RunningJob

  private static let mostShuffles = 1000

  func run() throws(WorkerFault) -> CheckResult {
    guard (1...Self.mostShuffles).contains(spec.shuffles) else {
      throw WorkerFault(.badRequest, "a check needs 1 to \(Self.mostShuffles) shuffles; got \(spec.shuffles)")
    }
    let task = try loadTask(spec.task)
    // What an expert may have been made on proves nothing, but is better than silence.
    let (split, rows) = try task.rows(.automatic, limit: spec.rows)
    return try job.using(spec.model) { (model) throws(WorkerFault) in
      let items = try score(rows, of: task, on: model)
      return result(items, rows, task, split)
    }
  }

  // MARK: - scoring

  /// What is scored: the base, the expert, its shuffles.
  private func vectors(
    on model: LoadedModel
  ) throws(WorkerFault) -> [(name: String, vector: () throws(WorkerFault) -> MultiplierVector?)] {
    let expert = try model.experts([spec.expert])[0]
    let layout = model.model.layout
    func effective(_ multipliers: MultiplierVector) throws(WorkerFault) -> MultiplierVector {
      try faulting {
        try rescaled(multipliers, layout: layout, sigma: model.model.facts.sigma, rescale: expert.rescale)
      }
    }
    var vectors: [(name: String, vector: () throws(WorkerFault) -> MultiplierVector?)] = [
      ("base", { () throws(WorkerFault) in nil }),
      ("expert", { () throws(WorkerFault) in try effective(expert.multipliers) }),
    ]
    for number in 0..<spec.shuffles {
      let seed = spec.seed &+ UInt64(number)
      vectors.append(
        (
          "shuffle \(number + 1)",
          // Shuffled first, then rescaled: as a file with the shuffled numbers would be used.
          { () throws(WorkerFault) in try effective(expert.multipliers.shuffled(in: layout, seed: seed)) }
        ))
    }
    return vectors
  }

  /// By vector and metric, a `1` for each row that is right.
  private func score(
    _ rows: [TaskRow], of task: TaskDefinition, on model: LoadedModel
  ) throws(WorkerFault) -> [CheckResult.Items] {
    let vectors = try vectors(on: model)
    let identity = identity(task, model, rows: rows.count)
    let start: JSONValue = ["entry": "start", "identity": .string(identity)]
    let kept = job.journal.first == start ? job.journal : []
    if kept.isEmpty { job.record(start) }
    let evaluator = try faulting { try RowEvaluator(task, model: model.model, sandbox: job.sandbox) }
    var scored: [CheckResult.Items] = []
    for (index, (name, vector)) in vectors.enumerated() {
      let entry = kept.first { $0["entry"] == "vector" && $0["of"] == .string(name) }
      if let right = entry?["right"]?.arrayValue?.compactMap(\.stringValue), right.count == metrics(task).count,
        right.allSatisfy({ $0.utf8.count == rows.count })
      {
        scored.append(CheckResult.Items(name: name, right: right))
        continue
      }
      try job.checkCancelled()
      let progress = { (done: [EvaluationResult.Item]) in
        job.report(
          share(done.count, of: rows.count, inPart: index, of: vectors.count), "checking",
          "\(name): row \(done.count) of \(rows.count)")
      }
      let items = try faulting {
        if let vector = try vector() {
          try evaluator.evaluate(rows, underMany: vector, shouldStop: { job.isCancelled }, progress: progress)
        } else {
          try evaluator.evaluate(rows, under: .base, shouldStop: { job.isCancelled }, progress: progress)
        }
      }
      let right = metrics(task).map { metric in items.map { $0.isCorrect(metric) ? "1" : "0" }.joined() }
      job.record(["entry": "vector", "of": .string(name), "right": JSONValue(right)])
      scored.append(CheckResult.Items(name: name, right: right))
    }
    return scored
  }

  /// All that the items depend on.
  private func identity(_ task: TaskDefinition, _ model: LoadedModel, rows: Int) -> String {
    [
      model.model.facts.identity, task.digest.description, spec.expert.digest, "\(rows) rows", "seed \(spec.seed)",
      "\(spec.shuffles) shuffles",
    ].joined(separator: " ")
  }

  // MARK: - verdict

  /// The task's own first: it decides.
  private func metrics(_ task: TaskDefinition) -> [Metric] {
    task.scoring == .choice ? [task.metric, task.metric == .acc ? .accNorm : .acc] : [task.metric]
  }

  private func result(
    _ items: [CheckResult.Items], _ rows: [TaskRow], _ task: TaskDefinition, _ split: RowSplit
  ) -> CheckResult {
    var outcomes: [CheckResult.Outcome] = []
    var passes = false
    for (number, metric) in metrics(task).enumerated() {
      let right = items.map { $0.right[number].utf8.map { $0 == UInt8(ascii: "1") } }
      let (base, expert, shuffles) = (right[0], right[1], Array(right[2...]))
      let order = OrderTest(expert: expert, shuffles: shuffles, isHeldOut: split == .eval)
      let comparison = BaseComparison(expert: expert, base: base)
      if number == 0 { passes = order.verdict == .ordered && comparison.isNoHarm }
      func share(_ right: [Bool]) -> Double { Double(right.count { $0 }) / Double(right.count) }
      outcomes.append(
        CheckResult.Outcome(
          metric: metric.rawValue, verdict: CheckVerdict(order.verdict),
          versusShuffles: CheckResult.Comparison(
            effect: order.effect.mean, low: order.effect.low, high: order.effect.high, mcNemar: order.medianP,
            signFlip: order.signFlipP, won: order.mcNemar.map(\.firstOnly), lost: order.mcNemar.map(\.secondOnly)),
          versusBase: CheckResult.Comparison(
            effect: comparison.effect.mean, low: comparison.effect.low, high: comparison.effect.high,
            mcNemar: comparison.mcNemar.pValue, won: [comparison.mcNemar.firstOnly],
            lost: [comparison.mcNemar.secondOnly]),
          base: share(base), expert: share(expert), shuffles: shuffles.map(share)))
    }
    return CheckResult(
      summary: CheckSummary(
        kind: spec.kind, outcomes: outcomes, passes: passes, count: rows.count, split: split,
        seed: spec.seed, template: task.templateName, kernel: job.kernel, seconds: job.seconds),
      rowIDs: rows.map(\.id), items: items)
  }
}

extension CheckVerdict {
  init(_ verdict: OrderTest.Verdict) {
    switch verdict {
    case .ordered: self = .ordered
    case .noBetterThanShuffled: self = .noBetterThanShuffled
    case .inconclusive: self = .inconclusive
    }
  }
}
