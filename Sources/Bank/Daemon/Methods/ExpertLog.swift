import Registry
import RPCProtocol

extension ExpertLog: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let name = asked.expert
    let limit = asked.limit
    let (expert, _) = try service.snapshots.get().resolveExpert(name)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let events = try answering { () throws(RegistryError) in
        try coordinator.catalogue.events(
          limit: limit, subject: expert.name,
          kinds: [
            "expert.version", "expert.promoted", "expert.rolled_back", "expert.retired", "expert.quarantined",
            "check.done",
          ])
      }
      reply.succeed(
        Result(
          name: expert.name, events: try events.map { (event) throws(RPCError) in try event.read(as: Event.self) }))
    }
  }
}
