import Registry
import RPCProtocol
import RPCServer
import Settings
import StrictJSON
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
      coordinator.calls.send(.dispatch(call)) { answer in
        reply.finish(
          answer.map { result in
            let seconds = result["seconds"]?.doubleValue ?? 0
            return [
              "decision": dispatch.shown(result["decision"]), "strategy": .string(strategy.rawValue),
              "dispatcher": dispatch.shownDispatcher, "template": .string(dispatch.spec.templateSource),
              "model": .string(model.name), "tokens": ["prompt": result["prompt_tokens"] ?? .null],
              "seconds": [
                "queue": .number(max(0, (MonotonicInstant.now - start).inSeconds - seconds)),
                "dispatch": .number(seconds),
              ],
            ]
          })
      }
    }
  }
}
