import Results
import RPCProtocol
import WorkerProtocol

extension ModelPlan: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let (path, modules) = (try ModelAdd.absolute(asked.path), asked.modules)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      coordinator.calls.send(.plan(path: path, modules: modules), as: MemoryPlan.self) { reply.finish($0) }
    }
  }
}
