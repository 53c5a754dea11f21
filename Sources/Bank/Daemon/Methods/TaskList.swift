import Records
import Registry
import RPCProtocol
import RPCServer
import StrictJSON

extension TaskList: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let snapshot = service.snapshots.get()
    reply.succeed([
      "tasks": .array(snapshot.tasks.map { .object(snapshot.taskRow($0)) }),
      "rejected": snapshot.rejected(.tasks, service.paths),
    ])
  }
}

extension TaskShow: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let name = asked.task
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let snapshot = coordinator.snapshot
      let task = try snapshot.resolveTask(name)
      var row = snapshot.taskRow(task)
      row["digest"] = .string(task.current.digest)
      row["template"] = .string(task.current.template)
      row["settings"] = task.current.settings
      row["source"] = .string(task.current.source)
      row["added"] = .string(task.current.added.description)
      row["warnings"] = JSONValue(task.current.warnings)
      row["mixtures"] = .array(
        snapshot.mixtures.filter { sameName($0.mixture.pair.task, task.name) }.map { RecordWriter.json($0.row) })
      let jobs = try answering { () throws(RegistryError) in
        try coordinator.catalogue.jobs(state: nil, task: task.name, limit: 20)
      }
      row["jobs"] = .array(jobs.map { .object($0.json(coordinator.board.progress(of: $0.id), full: false)) })
      // A search that failed is not the end where something has changed since.
      let pairs = snapshot.pairs(of: task)
      if row["state"] == "failed", pairs.contains(where: { coordinator.debounce.contains($0.pair) }) {
        row["state"] = "pending"
      }
      row["error"] = pairs.compactMap { $0.state == .failed ? snapshot.failedSearches[$0.pair]?.error : nil }.first
      reply.succeed(.object(row))
    }
  }
}
