import Registry
import RPCProtocol
import Records

extension TaskAdapt: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    var options = asked.givenMembers
    options["task"] = nil
    options["model"] = nil
    let standing = options
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let snapshot = coordinator.snapshot
      let task = try snapshot.resolveReadableTask(asked.task)
      let model = try snapshot.resolveModel(asked.model, task: task.name)
      try snapshot.requireActive(asked.experts)
      guard let need = snapshot.need(task, on: model, options: standing) else {
        throw RPCError(
          .waitingForExperts, "no expert of model '\(model.name)' is active",
          hint: "drop one into \(coordinator.paths.experts)")
      }
      let job = try answering { () throws(RegistryError) in
        try coordinator.adapt(need, options: standing, who: Service.who(reply), reason: "task.adapt")
      }
      reply.succeed(Result(job: job, task: task.name, model: model.name))
    }
  }
}

extension Snapshot {
  /// Refuses names of experts to search among that are not there, or of which no version is active.
  func requireActive(_ names: [String]?) throws(RPCError) {
    for name in names ?? [] {
      let (expert, version) = try resolveExpert(name)
      try requireWhole(version)
      guard expert.active != nil else {
        throw RPCError(.conflict, "no version of expert '\(name)' is active", hint: "t2ctl expert promote \(name)@V")
      }
    }
  }
}
