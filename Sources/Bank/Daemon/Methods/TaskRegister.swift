import Registry
import RPCProtocol
import RPCServer
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
      var row = snapshot.taskRow(try snapshot.resolveTask(name))
      row["model"] = JSONValue(only)
      reply.succeed(.object(row))
    }
  }
}
