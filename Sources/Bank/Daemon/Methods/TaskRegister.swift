import Registry
import RPCProtocol
import StrictJSON

extension TaskRegister: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let name = asked.task
    let model = asked.model
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let task = try coordinator.snapshot.resolveTask(name)
      let only = try model.map { (name) throws(RPCError) in try coordinator.snapshot.resolveModel(name).name }
      if let only, task.onlyModel != only {
        try answering { () throws(RegistryError) in
          try coordinator.writer.change { () throws(RegistryError) in
            try coordinator.catalogue.bind(task: task.name, toModel: only)
            try coordinator.catalogue.record(
              "task.bound", task.name, ["model": .string(only), "who": .string(Service.who(reply))], now: .now)
          }
        }
      }
      coordinator.reconcile()
      coordinator.stopWaiting()
      let snapshot = coordinator.snapshot
      reply.succeed(Result(row: snapshot.row(of: try snapshot.resolveTask(name)), model: only))
    }
  }
}
