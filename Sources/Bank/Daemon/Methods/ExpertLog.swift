import Registry
import RPCProtocol

extension ExpertLog: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let name = asked.expert
    let start = try Page(asked.page)
    let (expert, _) = try service.snapshots.get().resolveExpert(name)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      var page = start
      let events = try page.wanted().map { (before, limit) throws(RPCError) in
        try answering { () throws(RegistryError) in
          try coordinator.catalogue.events(
            before: before, limit: limit, subject: expert.name,
            kinds: [
              "expert.version", "expert.promoted", "expert.rolled_back", "expert.retired", "expert.quarantined",
              "expert.removed", "expert.restored", "check.done",
            ])
        }
      }
      let rows = try page.rows(of: events ?? [], by: { [.newest($0.sequence)] }) { (event) throws(RPCError) in
        try event.read(as: Event.self)
      }
      reply.succeed(Result(name: expert.name, events: rows.reversed(), next: page.next))
    }
  }
}
