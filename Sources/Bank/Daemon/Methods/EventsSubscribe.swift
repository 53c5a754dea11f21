import Registry
import RPCProtocol
import RPCServer
import StrictJSON

extension EventsSubscribe: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let after = asked.after
    let limit = asked.limit
    let kinds = asked.events
    let follows = asked.follow
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let (events, last) = try answering { () throws(RegistryError) in
        (
          try coordinator.catalogue.events(after: after ?? 0, limit: limit, kinds: kinds),
          try coordinator.catalogue.lastSequence()
        )
      }
      // The answer is posted before any notification can be, so nothing is missed and nothing comes twice.
      reply.succeed(["sequence": .integer(last), "events": .array(events.map { .object($0.json) })])
      guard follows else { return }
      coordinator.writer.followers.add(reply.connection, kinds: kinds)
    }
  }
}
