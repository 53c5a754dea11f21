import Registry
import RPCProtocol
import RPCServer
import StrictJSON

extension Service {
  static let expertLog: Handler = { (service, params, reply) throws(RPCError) in
    let name = params["expert"]?.stringValue ?? ""
    let limit = Int(params["limit"]?.integerValue ?? 100)
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
      reply.succeed(["name": .string(expert.name), "events": .array(events.map { .object($0.json) })])
    }
  }
}
