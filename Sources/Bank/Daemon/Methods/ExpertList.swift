import Registry
import RPCProtocol

extension ExpertList: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let snapshot = service.snapshots.get()
    let all = asked.all
    let model = asked.model
    var rows: [ExpertRow] = []
    for expert in snapshot.experts {
      // The newest version stands for the name; `active` says where another one is used.
      let shown = all ? expert.versions : [expert.newest].compactMap { $0 }
      for version in shown where model.map({ sameName($0, version.model) }) ?? true {
        rows.append(version.row(active: expert.active, damage: snapshot.damage(of: version)))
      }
    }
    reply.succeed(Result(experts: rows, rejected: snapshot.rejected(.experts, service.paths)))
  }
}
