import Records
import Registry
import RPCProtocol
import RPCServer

extension MixtureGet: HandledMethod {
  /// The careful way of the hot path: `pass_fd`, and whatever is an error.
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let snapshot = service.snapshots.get()
    let task = try snapshot.resolveTask(asked.task)
    let model = asked.model
    if let answer = snapshot.answer(task: task.name, model: model) {
      if let known = asked.ifGeneration, known == answer.generation {
        return reply.succeed(answer.notModified)
      }
      guard asked.passFD else { return reply.succeed(answer.result) }
      return try service.handOut(reply) { (snapshot) throws(RPCError) in
        guard let answer = snapshot.answer(task: task.name, model: model), let served = snapshot.mixture(answer.pair)
        else {
          let model = try snapshot.resolveModel(model, task: task.name).name
          _ = try service.served(task.name, model: model)
          throw RPCError(.noMixtureYet, "task '\(task.name)' has no mixture on model '\(model)' any more")
        }
        return (served.mixture.blob, { reply.succeed(answer.result, descriptor: $0) })
      }
    }
    // Only an error is left, or a mixture that came this moment.
    let found = try service.served(task.name, model: try snapshot.resolveModel(model, task: task.name).name)
    reply.succeed(.served(found.shown(vectorsPath: service.paths.store.path(found.mixture.blob))))
  }
}

extension MixtureList: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let snapshot = service.snapshots.get()
    reply.succeed(Result(mixtures: snapshot.mixtures.map { $0.row(damage: snapshot.damage(of: $0)) }))
  }
}

extension MixtureLog: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let task = try service.snapshots.get().resolveTask(asked.task)
    let model = asked.model
    let limit = asked.limit
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let (revisions, events) = try answering { () throws(RegistryError) in
        (
          try coordinator.catalogue.mixtureLog(task: task.name, model: model, limit: limit),
          try coordinator.catalogue.events(
            limit: limit, subject: task.name, kinds: ["mixture.published", "mixture.stale", "mixture.fresh"])
        )
      }
      let changes = try events.reversed().map { (event) throws(RPCError) in try event.read(as: Change.self) }
      reply.succeed(
        Result(
          task: task.name,
          revisions: revisions.map {
            Revision(
              revision: $0.revision, generation: $0.generation, time: $0.added.description, model: $0.pair.model,
              mixture: $0.record, reason: $0.reason, job: $0.job)
          }, changes: changes.filter { change in model.map { sameName($0, change.model ?? "") } ?? true }))
    }
  }
}

extension EventRecord {
  /// What a log shows of it.
  func read<Shown: Decodable>(as type: Shown.Type) throws(RPCError) -> Shown {
    do throws(RecordError) {
      return try RecordReader(unknownMembers: .ignored).read(.object(json))
    } catch {
      throw RPCError(.internal, "event \(sequence) is damaged: \(error)")
    }
  }
}
