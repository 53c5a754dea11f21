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
    var page = try Page(asked.page)
    let mixtures = try page.rows(
      of: page.values(of: snapshot.mixtures) { $0.count == 2 ? Pair(task: $0[0], model: $0[1]) : nil },
      by: { [.name($0.mixture.pair.task), .name($0.mixture.pair.model)] }
    ) { $0.row(damage: snapshot.damage(of: $0)) }
    reply.succeed(Result(mixtures: mixtures, next: page.next))
  }
}

extension MixtureLog: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let task = try service.snapshots.get().resolveTask(asked.task)
    let model = asked.model
    let start = try Page(asked.page)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      var page = start
      let revisions = try page.wanted().map { (before, limit) throws(RPCError) in
        try answering { () throws(RegistryError) in
          try coordinator.catalogue.mixtureLog(task: task.name, model: model, before: before, limit: limit)
        }
      }
      let shown = try page.rows(of: revisions ?? [], by: { [.newest($0.generation)] }) { $0.logged }
      let events = try page.wanted(list: 1).map { (before, limit) throws(RPCError) in
        try answering { () throws(RegistryError) in
          try coordinator.catalogue.events(
            before: before, limit: limit, subject: task.name, model: model,
            kinds: ["mixture.published", "mixture.stale", "mixture.fresh"])
        }
      }
      let changes = try page.rows(list: 1, of: events ?? [], by: { [.newest($0.sequence)] }) {
        (event) throws(RPCError) in try event.read(as: Change.self)
      }
      reply.succeed(Result(task: task.name, revisions: shown, changes: changes, next: page.next))
    }
  }
}

extension MixtureRevision {
  /// A line of `mixture.log`.
  fileprivate var logged: MixtureLog.Revision {
    MixtureLog.Revision(
      revision: revision, generation: generation, time: added.description, model: pair.model, mixture: record,
      reason: reason, job: job)
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
