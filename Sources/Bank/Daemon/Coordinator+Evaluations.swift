import Registry
import RPCProtocol
import WorkerProtocol

/// Evaluations: jobs that change nothing in the bank, asked for by a person who waits.
extension Coordinator {
  /// Queues one, before the searches that wait; where the very same is queued or runs, that is its job.
  /// - Parameter reason: the method that asked for it.
  func submitEvaluation(
    _ spec: some JobSpec, _ task: TaskRecord, _ model: ModelRecord, who: String, reason: String
  ) throws(RPCError) -> Int64 {
    try answering { () throws(RegistryError) in
      try jobs.submit(
        JobRecord(
          spec, key: "\(spec.kind)\0\(spec.json.jsonText)", target: "\(spec.kind)\0\(task.name)\0\(model.name)",
          priority: 5, task: task.name, model: model.name, who: who, reason: reason, created: .now))
    }
  }
}

extension EvaluateSpec: HandledJob {}
extension CompareSpec: HandledJob {}
extension AblateSpec: HandledJob {}
