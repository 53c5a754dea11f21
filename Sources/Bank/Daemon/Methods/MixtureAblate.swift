import Records
import Registry
import Results
import RPCProtocol
import Settings
import WorkerProtocol

extension MixtureAblate: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let snapshot = service.snapshots.get()
    let task = try snapshot.resolveReadableTask(asked.task)
    let model = try snapshot.resolveModel(asked.model, task: task.name)
    try task.requireEvalRows("a mixture without one of its experts")
    let served = try service.served(task.name, model: model.name)
    let (record, versions) = (served.mixture.record, try snapshot.experts(of: served.mixture))
    guard !versions.isEmpty else {
      throw RPCError(
        .conflict, "task '\(task.name)' is served the base on model '\(model.name)': there is no expert to leave out",
        hint: "t2ctl mixture get \(task.name) says why")
    }
    let who = Service.who(reply)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let mixture = Weights.Mixture(
        experts: versions.map { coordinator.reference($0.version) }, granularity: record.granularity, mix: record.mix,
        rescale: record.rescale, alpha: versions.map(\.alpha))
      let spec = AblateSpec(
        model: coordinator.reference(model), task: coordinator.reference(task), mixture: mixture, split: .eval,
        limit: asked.limit)
      reply.succeed(
        Result(
          job: try coordinator.submitEvaluation(spec, task, model, who: who, reason: name), task: task.name,
          model: model.name, generation: served.generation,
          experts: versions.map { "\($0.version.name)@\($0.version.version)" }, staleReason: served.staleReason))
    }
  }
}

extension Snapshot {
  /// The experts that have a part in what is served, each in the version that was mixed, with their coefficients.
  fileprivate func experts(
    of mixture: MixtureRevision
  ) throws(RPCError) -> [(version: ExpertVersion, alpha: [Float])] {
    var found: [(version: ExpertVersion, alpha: [Float])] = []
    for expert in mixture.record.experts {
      let alpha = mixture.record.alpha[expert.name]?.values ?? []
      guard alpha.contains(where: { $0 != 0 }) else { continue }
      let version = try resolveExpert("\(expert.name)@\(expert.version)").1
      try requireWhole(version)
      found.append((version, alpha))
    }
    return found
  }
}
