import Registry
import RPCProtocol
import RPCServer
import StrictJSON
import WorkerProtocol

extension Service {
  static let evaluateRun: Handler = { (service, params, reply) throws(RPCError) in
    let snapshot = service.snapshots.get()
    let task = try snapshot.resolveTask(params["task"]?.stringValue ?? "")
    let model = try snapshot.resolveModel(params["model"]?.stringValue, task: task.name)
    let wantsMixture = params["mixture"]?.boolValue ?? false
    guard params["base"]?.boolValue != true || !(wantsMixture || params["expert"] != nil || params["alpha"] != nil)
    else {
      throw RPCError(.invalidParams, "'base' excludes 'expert', 'mixture' and 'alpha'")
    }
    let (weights, _) = try service.resolveWeights(
      expert: params["expert"]?.stringValue, mixture: wantsMixture ? task.name : nil,
      alpha: params["alpha"]?.objectValue, mix: params["mix"]?.stringValue, model: model)
    let split = EvaluateSpec.Split(rawValue: params["rows"]?.stringValue ?? "eval") ?? .eval
    let rows =
      switch split {
      case .eval: task.current.evalRows
      case .train: task.current.trainRows
      case .fewshot, .automatic: task.current.rows
      }
    guard rows > 0 else {
      throw RPCError(
        .badTask, "task '\(task.name)' has no \(split.rawValue) rows",
        hint: "add \(split.rawValue).jsonl to its directory, or evaluate its few-shot rows with --rows fewshot")
    }
    let limit = params["limit"]?.intValue
    let who = Service.who(reply)
    service.onCatalogue(reply) { steward throws(RPCError) in
      let work = JobWork.evaluate(
        EvaluateSpec(
          model: steward.reference(model), task: steward.reference(task), weights: weights, split: split, limit: limit))
      let job = try answering { () throws(RegistryError) in
        try steward.submit(
          JobRecord(
            kind: work.kind, key: "evaluate\0\(work.spec.jsonText)", target: "evaluate\0\(task.name)\0\(model.name)",
            inputs: nil, priority: 5, task: task.name, model: model.name, spec: work.spec, who: who,
            reason: "evaluate.run", created: .now))
      }
      reply.succeed(["job": .integer(job)])
    }
  }
}
