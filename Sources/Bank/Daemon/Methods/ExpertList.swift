import Registry
import RPCProtocol

extension ExpertList: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let snapshot = service.snapshots.get()
    var page = try Page(asked.page)
    // The newest version stands for the name; `active` says where another one is used.
    let versions = page.values(of: snapshot.experts) { $0.first.map { Name($0) } }.lazy.flatMap { expert in
      (asked.all ? expert.versions : [expert.newest].compactMap { $0 }).map { ($0, expert.active) }
    }.filter { shown in asked.model.map { sameName($0, shown.0.model) } ?? true }
    let rows = try page.rows(of: versions, by: { [.name($0.0.name), .number(Int64($0.0.version))] }) {
      $0.0.row(active: $0.1, damage: snapshot.damage(of: $0.0))
    }
    let rejected = try page.rejected(list: 1, snapshot, .experts, service.paths)
    reply.succeed(Result(experts: rows, rejected: rejected, next: page.next))
  }
}
