import Registry
import RPCProtocol
import RPCServer
import StrictJSON

extension Service {
  static let expertList: Handler = { (service, params, reply) throws(RPCError) in
    let snapshot = service.snapshots.get()
    let all = params["all"]?.boolValue ?? false
    let model = params["model"]?.stringValue
    var rows: [JSONValue] = []
    for expert in snapshot.experts {
      // The newest version stands for the name; `active` says where another one is used.
      let shown = all ? expert.versions : [expert.newest].compactMap { $0 }
      for version in shown where model.map({ sameName($0, version.model) }) ?? true {
        rows.append(.object(version.json(active: expert.active)))
      }
    }
    reply.succeed(["experts": .array(rows), "rejected": snapshot.rejected(.experts, service.paths)])
  }
}
