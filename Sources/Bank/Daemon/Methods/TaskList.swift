import Registry
import RPCProtocol

extension TaskList: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let snapshot = service.snapshots.get()
    var page = try Page(asked.page)
    let tasks = try page.rows(
      of: page.values(of: snapshot.tasks) { $0.first.map { Name($0) } }, by: { [.name($0.name)] }
    ) { snapshot.row(of: $0) }
    let rejected = try page.rejected(list: 1, snapshot, .tasks, service.paths)
    reply.succeed(Result(tasks: tasks, rejected: rejected, next: page.next))
  }
}

extension TaskShow: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let name = asked.task
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let snapshot = coordinator.snapshot
      let task = try snapshot.resolveTask(name)
      let jobs = try answering { () throws(RegistryError) in
        try coordinator.catalogue.jobs(state: nil, task: task.name, limit: 20)
      }
      let pairs = snapshot.pairs(of: task)
      var row = snapshot.row(of: task)
      // A search that failed is not the end where something has changed since.
      if row.state == .failed, pairs.contains(where: { coordinator.debounce.contains($0.pair) }) {
        row.state = .pending
      }
      reply.succeed(
        Result(
          row: row, digest: task.current.digest, template: task.current.template, settings: task.current.givenSettings,
          source: task.current.source, added: task.current.added.description, warnings: task.current.warnings,
          mixtures: snapshot.mixtures(ofTask: task.name).map { $0.row(damage: snapshot.damage(of: $0)) },
          jobs: jobs.map { $0.row(coordinator.board.progress(of: $0.id)) },
          error: pairs.compactMap { $0.state == .failed ? snapshot.failedSearches[$0.pair]?.problem : nil }.first))
    }
  }
}
