import Registry
import RPCProtocol
import RPCServer

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
      reply.succeed(Result(sequence: last, events: events.map(\.shown)))
      guard follows else { return }
      coordinator.writer.followers.add(reply.connection, kinds: kinds)
    }
  }
}

extension EventRecord {
  var shown: Event {
    Event(sequence: sequence, time: time.description, event: kind, subject: subject, detail: detail)
  }
}
