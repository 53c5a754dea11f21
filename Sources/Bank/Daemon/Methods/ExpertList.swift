import Registry
import RPCProtocol
import RPCServer
import StrictJSON

extension ExpertList: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let snapshot = service.snapshots.get()
    let all = asked.all
    let model = asked.model
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
