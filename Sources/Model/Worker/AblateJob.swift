import Evaluation
import Multipliers
import Records
import Results
import Settings
import WorkerProtocol

extension AblateSpec: RunnableJob {
  func run(as job: RunningJob) throws(WorkerFault) -> AblateResult {
    guard let mixture else { throw WorkerFault(.badRequest, "an ablation needs a mixture of experts") }
    return try AblateJob(spec: self, mixture: mixture, job: job).run()
  }
}

/// Leaves one expert after the other out of a mixture and compares what is left with the whole, row by row; runs in the
/// thread of jobs.
struct AblateJob {
  let spec: AblateSpec
  let mixture: Weights.Mixture
  let job: RunningJob

  func run() throws(WorkerFault) -> AblateResult {
    let task = try loadTask(spec.task)
    let (split, rows) = try task.rows(spec.split, limit: spec.limit)
    return try job.using(spec.model) { (model) throws(WorkerFault) in
      var scorer = try RowScorer(task, rows: rows, on: model, for: job)
      let wanted = columns
      var scored: [ComparisonTable.Column] = []
      for (number, column) in wanted.enumerated() {
        try job.checkCancelled()
        let items = try scorer.items(under: column.weights, column: column.name) { done in
          job.report(
            share(done, of: rows.count, inPart: number, of: wanted.count), "ablating",
            "\(column.shown): row \(done) of \(rows.count)")
        }
        scored.append(.init(name: column.name, right: items.map { $0.isCorrect(task.metric) }))
      }
      let found = ComparisonTable(scored).lines.map { AblateResult.Column($0) }
      let fitted = split == .eval ? [] : ["these are not eval rows; the mixture may have been fitted to them"]
      return AblateResult(
        count: rows.count, task: task.name, metric: task.metric.rawValue, template: task.templateName, split: split,
        mixture: found[0], base: found[1], without: Array(found[2...]), notes: notes + fitted,
        kernel: job.kernel, seconds: job.seconds)
    }
  }

  private struct Column {
    /// As the result has it.
    var name: String
    var shown: String
    var weights: Weights
  }

  /// The mixture first, which is what a `ComparisonTable` compares the others with.
  private var columns: [Column] {
    [
      Column(name: "mixture", shown: "mixture", weights: .mixture(mixture)),
      Column(name: "base", shown: "base", weights: .base),
    ]
      + mixture.experts.indices.compactMap { k in
        Self.without(k, of: mixture).map {
          Column(name: name(k), shown: "without \(name(k))", weights: $0)
        }
      }
  }

  private func name(_ k: Int) -> String { "\(mixture.experts[k].name)@\(mixture.experts[k].version)" }

  private var notes: [String] {
    var notes = mixture.experts.indices.filter { Self.without($0, of: mixture) == nil }.map {
      "no column without \(name($0)): all coefficients of a layer or matrix would be 0, which is nothing to rescale"
    }
    if mixture.mix == .sum, mixture.rescale == .none {
      notes.append("the coefficients are parts of 1: the part of an expert that is left out is the base's")
    }
    return notes
  }

  /// What is left with the coefficients of one expert at zero; of an expert alone the base. Nil where nothing is left in
  /// some unit of a sum that is rescaled.
  static func without(_ k: Int, of mixture: Weights.Mixture) -> Weights? {
    guard mixture.experts.count > 1 else { return .base }
    var left = mixture
    left.experts.remove(at: k)
    left.alpha.remove(at: k)
    if left.mix == .sum {
      switch left.rescale {
      // Of parts of 1 the sum is the delta, by any other coefficients it would scale the whole matrix.
      case .none: left.mix = .delta
      case .nuclear:
        let isEmpty = left.alpha[0].indices.contains { unit in left.alpha.allSatisfy { $0[unit] == 0 } }
        if isEmpty { return nil }
      }
    }
    return .mixture(left)
  }
}

extension AblateResult.Column {
  /// Of a table that begins with the mixture.
  fileprivate init(_ line: ComparisonTable.Line) {
    self.init(
      name: line.name, correct: line.correct, score: line.share, ci95: Interval(line.interval),
      versusMixture: line.versusBase.map { EvalSummary.Paired($0) })
  }
}
