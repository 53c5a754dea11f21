import Adaptation
import Evaluation
import Results
import StrictJSON
import Engines
import WorkerProtocol

/// Scores the rows of a task under any number of weights, each row under each once: what evaluations and comparisons
/// are made of.
///
/// The strategies A and B give each row a label and ask for the row under that label's weights. In a comparison those have
/// answered every row already, so nothing is computed twice, and A differs from the experts' columns by its decisions
/// alone and not by the last bits of another batch.
///
/// The journal has an entry for each batch, with what the model gave for its rows: sums of log-probabilities, or texts.
/// A batch is what is computed together, so a job that was cut goes on after its last one and ends with the same items.
struct RowScorer {
  /// What the first pass decided of a row.
  struct Decision {
    var label: String
    var probability: Double
  }

  let task: TaskDefinition
  let rows: [TaskRow]
  private let model: LoadedModel
  private let job: RunningJob
  private let evaluator: RowEvaluator
  private let scorer: TaskScorer
  /// In the order in which they were asked for, by which the journal numbers them.
  private var known: [(weights: Weights, items: [EvaluationResult.Item?])] = []
  /// Of an interrupted run: entries by the number of their weights, and of decisions by column.
  private var keptItems: [Int: [JSONValue]] = [:]
  private var keptDecisions: [String: [JSONValue]] = [:]
  /// What computing took, by column; in an interrupted run too.
  private(set) var seconds: [String: Double] = [:]

  init(_ task: TaskDefinition, rows: [TaskRow], on model: LoadedModel, for job: RunningJob) throws(WorkerFault) {
    self.task = task
    self.rows = rows
    self.model = model
    self.job = job
    (evaluator, scorer) = try faulting {
      (try RowEvaluator(task, model: model.model, sandbox: job.sandbox), try TaskScorer(task, sandbox: job.sandbox))
    }
    for entry in job.journal {
      guard let column = entry["column"]?.stringValue else { continue }
      if entry["entry"] == "rows", let number = entry["weights"]?.intValue {
        keptItems[number, default: []].append(entry)
      } else if entry["entry"] == "decisions" {
        keptDecisions[column, default: []].append(entry)
      }
      seconds[column, default: 0] += entry["seconds"]?.doubleValue ?? 0
    }
  }

  /// What holds the programs of rows of code.
  var protections: [String] { scorer.protections.map(\.rawValue) }

  // MARK: - the second pass

  /// The items of all rows under one set of weights; `progress` is told how many of them are there.
  mutating func items(
    under weights: Weights, column: String, progress: (Int) -> Void
  ) throws(WorkerFault) -> [EvaluationResult.Item] {
    try items(Array(rows.indices), under: weights, column: column, progress: progress)
  }

  /// The items of all rows, each under the weights of its label; what no expert has is answered by the base.
  mutating func items(
    _ decisions: [Decision], of dispatch: DispatchSpec, column: String, progress: (Int) -> Void
  ) throws(WorkerFault) -> [EvaluationResult.Item] {
    var items: [EvaluationResult.Item?] = Array(repeating: nil, count: rows.count)
    var done = 0
    for label in dispatch.names {
      let mine = decisions.indices.filter { decisions[$0].label == label }
      guard !mine.isEmpty else { continue }
      let weights = dispatch.labels.first { $0.label == label }?.weights ?? .base
      let before = done
      let found = try self.items(mine, under: weights, column: column) { progress(before + $0) }
      for (row, item) in zip(mine, found) { items[row] = item }
      done += mine.count
    }
    return items.compactMap(\.self)
  }

  private mutating func items(
    _ wanted: [Int], under weights: Weights, column: String, progress: (Int) -> Void
  ) throws(WorkerFault) -> [EvaluationResult.Item] {
    let number = try number(of: weights)
    let missing = wanted.filter { known[number].items[$0] == nil }
    if !missing.isEmpty {
      try score(missing, of: wanted.count, number, column: column, progress: progress)
    }
    return wanted.compactMap { known[number].items[$0] }
  }

  /// Finds the weights, or takes them up with what an interrupted run had of them.
  private mutating func number(of weights: Weights) throws(WorkerFault) -> Int {
    if let number = known.firstIndex(where: { $0.weights == weights }) { return number }
    let number = known.count
    var items: [EvaluationResult.Item?] = Array(repeating: nil, count: rows.count)
    for entry in keptItems[number] ?? [] {
      let which = entry["rows"]?.arrayValue?.compactMap(\.intValue) ?? []
      let given = entry["given"]?.arrayValue ?? []
      for (row, given) in zip(which, given) where rows.indices.contains(row) {
        items[row] = try faulting { try item(row, given) }
      }
    }
    known.append((weights, items))
    return number
  }

  private mutating func score(
    _ missing: [Int], of wanted: Int, _ number: Int, column: String, progress: (Int) -> Void
  ) throws(WorkerFault) {
    let view = try model.view(known[number].weights)
    let evaluator = evaluator
    var recorded = 0
    var last = job.seconds
    func take(_ items: [EvaluationResult.Item]) {
      let batch = Array(missing[recorded..<items.count])
      let new = Array(items[recorded...])
      recorded = items.count
      let now = job.seconds
      for (row, item) in zip(batch, new) { known[number].items[row] = item }
      seconds[column, default: 0] += now - last
      job.record([
        "entry": "rows", "column": .string(column), "weights": JSONValue(number),
        "rows": .array(batch.map { JSONValue($0) }), "given": .array(new.map(Self.given)),
        "seconds": .number(now - last),
      ])
      last = now
      progress(wanted - missing.count + items.count)
    }
    let rows = missing.map { self.rows[$0] }
    let job = job
    _ = try faulting {
      // By how many are wanted and not by how many are left: the same form of the weights after an interruption.
      if case .factored(let vector) = view, wanted >= Self.rowsWorthMatrices {
        try evaluator.evaluate(rows, underMany: vector, shouldStop: { job.isCancelled }, progress: take)
      } else {
        try evaluator.evaluate(rows, under: view, shouldStop: { job.isCancelled }, progress: take)
      }
    }
  }

  /// Building the matrices of a vector costs as much as some dozens of rows in the factored form.
  private static let rowsWorthMatrices = 64

  /// What the model gave, from which the rest follows.
  private static func given(_ item: EvaluationResult.Item) -> JSONValue {
    switch item.outcome {
    case .choice(let score, _): .array(score.sums.map { $0.isFinite ? .number($0) : .null })
    case .generation(let output, _, _): .string(output)
    // With what came of it, since a program is not run twice.
    case .code(let output, let verdict):
      ["output": .string(output), "outcome": .string(verdict.outcome), "detail": .string(verdict.detail)]
    }
  }

  private func item(_ row: Int, _ given: JSONValue) throws(EvaluationError) -> EvaluationResult.Item {
    if let output = given["output"]?.stringValue {
      return scorer.score(
        rows[row], output: output,
        CodeVerdict(outcome: given["outcome"]?.stringValue ?? "", detail: given["detail"]?.stringValue ?? ""))
    }
    if let output = given.stringValue { return try scorer.score(rows[row], output: output) }
    return try scorer.score(rows[row], sums: (given.arrayValue ?? []).map { $0.doubleValue ?? -.infinity })
  }

  // MARK: - the first pass

  /// No batch of these rows can go on after it.
  private var foreignJournal: WorkerFault {
    WorkerFault(.failed, "the journal of job \(job.id) has decisions on other rows; start the job anew")
  }

  /// The label of every row; `progress` is told how many are there.
  mutating func decisions(
    of dispatch: DispatchSpec, column: String, progress: (Int) -> Void
  ) throws(WorkerFault) -> [Decision] {
    var decisions: [Decision] = []
    for entry in keptDecisions[column] ?? [] {
      for one in entry["labels"]?.arrayValue ?? [] {
        guard let label = one["label"]?.stringValue, dispatch.names.contains(label),
          let probability = one["probability"]?.doubleValue
        else { throw foreignJournal }
        decisions.append(Decision(label: label, probability: probability))
      }
    }
    if decisions.count == rows.count { return decisions }
    let dispatcher = try Dispatcher(dispatch, for: model.model)
    let view = try model.view(dispatch.weights)
    var last = job.seconds
    for batch in DispatchBatch.ranges(of: rows.count) where batch.lowerBound >= decisions.count {
      let outcomes = try model.decisions(
        rows[batch].map { .init(prompt: task.request(of: $0), line: $0.line) }, dispatch, dispatcher, view, for: job)
      try job.checkCancelled()
      let found = outcomes.map { Decision(label: $0.label, probability: dispatcher.probability(of: $0)) }
      decisions += found
      progress(decisions.count)
      let now = job.seconds
      seconds[column, default: 0] += now - last
      job.record([
        "entry": "decisions", "column": .string(column),
        "labels": .array(found.map { ["label": .string($0.label), "probability": .number($0.probability)] }),
        "seconds": .number(now - last),
      ])
      last = now
    }
    guard decisions.count == rows.count else { throw foreignJournal }
    return decisions
  }
}

extension RowSorting {
  /// By what rows were sorted, and how many got each label, with the expert that it means.
  init(_ decisions: [RowScorer.Decision], of dispatch: DispatchSpec) {
    self.init(
      labels: dispatch.names.map { name in
        let count = decisions.count { $0.label == name }
        return Label(
          label: name, expert: dispatch.labels.first { $0.label == name }?.weights.expertName, count: count,
          share: Double(count) / Double(max(1, decisions.count)))
      }, read: dispatch.reading, dispatchTemplate: dispatch.templateSource)
  }
}

extension Weights {
  /// `science@2`, where they are one expert's.
  fileprivate var expertName: String? {
    guard case .mixture(let mixture) = self, mixture.experts.count == 1 else { return nil }
    return "\(mixture.experts[0].name)@\(mixture.experts[0].version)"
  }
}
