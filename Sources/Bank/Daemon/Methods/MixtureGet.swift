import Registry
import RPCProtocol
import RPCServer
import StrictJSON

extension MixtureGet: HandledMethod {
  /// The careful way of the hot path: `pass_fd`, and whatever is an error.
  static func handle(_ asked: Parameters, by service: Service, _ reply: RPCReply) throws(RPCError) {
    let snapshot = service.snapshots.get()
    let task = try snapshot.resolveTask(asked.task)
    let model = asked.model
    if let answer = snapshot.answer(task: task.name, model: model) {
      if let known = asked.ifGeneration, known == answer.generation {
        return reply.succeed(raw: answer.notModified)
      }
      let descriptor = asked.passFD ? try Service.openBlob(answer.vectorsPath) : nil
      return reply.succeed(raw: answer.result, descriptor: descriptor)
    }
    // Only an error is left, or a mixture that came this moment.
    let found = try service.served(task.name, model: try snapshot.resolveModel(model, task: task.name).name)
    reply.succeed(.object(found.json(vectorsPath: service.paths.store.path(found.mixture.blob))))
  }
}

extension MixtureList: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: RPCReply) throws(RPCError) {
    reply.succeed(["mixtures": .array(service.snapshots.get().mixtures.map { .object($0.row) })])
  }
}

extension MixtureLog: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: RPCReply) throws(RPCError) {
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
      let changes = events.reversed().filter { event in
        model.map { sameName($0, event.detail["model"]?.stringValue ?? "") } ?? true
      }
      reply.succeed([
        "task": .string(task.name),
        "revisions": .array(
          revisions.map {
            [
              "revision": JSONValue($0.revision), "generation": .integer($0.generation),
              "time": .string($0.added.description), "model": .string($0.pair.model),
              "alpha": $0.record["alpha"] ?? .null, "experts": $0.record["experts"] ?? .null,
              "scores": $0.record["scores"] ?? .null, "served": $0.record["served"] ?? .null,
              "reason": .string($0.reason), "job": .integer($0.job),
            ]
          }), "changes": .array(changes.map { .object($0.json) }),
      ])
    }
  }
}
