import Registry
import RPCProtocol
import RPCServer
import Settings
import SystemSupport
import WorkerProtocol

extension DispatchRun: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let model = try service.snapshots.get().resolveModel(asked.model)
    let strategy = asked.strategy ?? (asked.decision.dispatcher == nil ? .prompt : .classifier)
    let dispatch = try service.resolveDispatch(strategy, asked.decision, model: model)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let call = DispatchCall(model: coordinator.reference(model), prompt: asked.prompt, dispatch: dispatch.spec)
      let start = MonotonicInstant.now
      coordinator.calls.send(.dispatch(call), as: DispatchAnswer.self) { answer in
        reply.finish(
          answer.map { found in
            Result(
              decision: dispatch.shown(found.decision), strategy: strategy, dispatcher: dispatch.shownDispatcher,
              template: dispatch.spec.templateSource, model: model.name, promptTokens: found.promptTokens,
              queueSeconds: max(0, (MonotonicInstant.now - start).inSeconds - found.seconds), seconds: found.seconds)
          })
      }
    }
  }
}
