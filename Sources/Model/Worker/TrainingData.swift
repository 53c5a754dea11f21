import Adaptation
import Evaluation
import Experts
import Settings
import Sandbox
import Training
import Transformer
import WorkerProtocol

/// What a training learns from: training rows and nothing else. Few-shot rows are the search's, eval rows the report's.
struct TrainingData {
  /// What the data came from, for the expert's file.
  struct Source {
    var task: String
    var label: String?
    var digest: String
  }

  private enum Content {
    case task(TaskDefinition, [TaskRow])
    case dispatch(DispatchTemplate, labels: [String], requests: [(label: String, prompts: [String])])
  }

  private let content: Content
  let digests: [Source]

  var kind: ExpertKind {
    switch content {
    case .task: .expert
    case .dispatch: .dispatcher
    }
  }

  /// The task whose eval rows say what was learned, where it has any.
  var evaluated: TaskDefinition? {
    switch content {
    case .task(let task, _): task.eval.isEmpty ? nil : task
    case .dispatch: nil
    }
  }

  /// The task that the expert is for; a dispatcher is for none.
  var task: String? {
    switch content {
    case .task(let task, _): task.name
    case .dispatch: nil
    }
  }

  init(_ spec: TrainSpec) throws(WorkerFault) {
    switch spec.lesson {
    case .task(let reference):
      let task = try Self.load(reference)
      content = .task(task, try task.rows(.train, limit: spec.settings.rows).1)
      digests = [Source(task: task.name, label: nil, digest: task.digest.description)]
    case .dispatch(let lesson):
      var requests: [(label: String, prompts: [String])] = []
      var digests: [Source] = []
      for source in lesson.sources {
        let task = try Self.load(source.task)
        // The rows of a label are shared among its tasks.
        let sharing = lesson.sources.count { $0.label == source.label }
        let limit = spec.settings.rows.map { max(1, $0 / sharing) } ?? task.train.count
        requests += task.train.prefix(limit).map { (source.label, task.requests(for: $0)) }
        digests.append(Source(task: task.name, label: source.label, digest: task.digest.description))
      }
      let template = try faulting { try DispatchTemplate(lesson.template, source: lesson.templateSource) }
      content = .dispatch(template, labels: lesson.labels, requests: requests)
      self.digests = digests
    }
  }

  private static func load(_ reference: TaskReference) throws(WorkerFault) -> TaskDefinition {
    let task = try loadTask(reference)
    guard !task.train.isEmpty else {
      throw WorkerFault(
        .taskUnreadable,
        "the task '\(task.name)' has no training rows; put them into train.jsonl in its directory (few-shot and eval rows "
          + "are not trained on)")
    }
    return task
  }

  /// What is trained, of these rows.
  func trainee(
    _ weights: any TrainedParameters, _ settings: TrainingSettings, for model: LoadedModel, sandbox: Sandbox?,
    shouldStop: @escaping @Sendable () -> Bool
  ) throws(WorkerFault) -> any TrainedModel {
    switch content {
    case .task(let task, let rows):
      return try faulting {
        let encoder = try TaskEncoder(task, for: model.model)
        let encoded = try encoder.encode(rows)
        if task.scoring == .choice {
          return choosing(
            weights, settings,
            encoded.compactMap { row in row.row.gold.map { ChoiceExample(item: row.item, gold: $0) } }, shouldStop)
        }
        return try GenerationTrainee(
          weights, task: task, rows: encoded, solutions: try solutions(of: encoded, task, settings, encoder),
          settings: settings, sandbox: sandbox, shouldStop: shouldStop)
      }
    case .dispatch(let template, let labels, let requests):
      let examples = try faulting {
        let dispatcher = try Dispatcher(template, labels: labels, for: model.model)
        var examples: [ChoiceExample] = []
        for (number, request) in requests.enumerated() {
          guard let gold = labels.firstIndex(of: request.label) else { continue }
          // Now as somebody asks it, now as its task does: a dispatcher meets both.
          let prompt = request.prompts[number % request.prompts.count]
          examples.append(ChoiceExample(item: try dispatcher.item(prompt), gold: gold))
        }
        return examples
      }
      return choosing(weights, settings, examples, shouldStop)
    }
  }

  private func choosing(
    _ weights: any TrainedParameters, _ settings: TrainingSettings, _ examples: [ChoiceExample],
    _ shouldStop: @escaping @Sendable () -> Bool
  ) -> ChoiceTrainee {
    ChoiceTrainee(weights, examples: examples, settings: settings, shouldStop: shouldStop)
  }

  /// What `next-token` teaches, where that is the objective.
  private func solutions(
    of rows: [EncodedRow], _ task: TaskDefinition, _ settings: TrainingSettings, _ encoder: TaskEncoder
  ) throws -> [[Int32]] {
    switch settings.objective {
    case .reinforce: return rows.map { _ in [] }
    case .crossEntropy:
      throw WorkerFault(
        .badRequest,
        "the objective 'cross-entropy' is over choices, and the rows of task '\(task.name)' have none; use reinforce or "
          + "next-token")
    case .nextToken:
      return try rows.map { row in
        let solution = try encoder.solution(of: row)
        guard !solution.isEmpty else {
          throw WorkerFault(
            .taskUnreadable, "row '\(row.row.id)' (line \(row.row.line)) has no solution to train on")
        }
        return solution
      }
    }
  }
}
