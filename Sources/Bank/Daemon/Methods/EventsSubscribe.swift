import Registry
import RPCProtocol
import RPCServer
import StrictJSON

extension Service {
  static let eventsSubscribe: Handler = { (service, params, reply) throws(RPCError) in
    let after = params["after"]?.integerValue
    let limit = Int(params["limit"]?.integerValue ?? 50)
    let kinds = params["events"]?.arrayValue?.compactMap(\.stringValue)
    let follows = params["follow"]?.boolValue ?? true
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
