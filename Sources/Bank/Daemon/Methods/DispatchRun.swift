import Registry
import RPCProtocol
import RPCServer
import StrictJSON
import SystemSupport
import WorkerProtocol

extension Service {
  static let dispatchRun: Handler = { (service, params, reply) throws(RPCError) in
    let model = try service.snapshots.get().resolveModel(params["model"]?.stringValue)
    let strategy = params["strategy"]?.stringValue ?? (params["dispatcher"] == nil ? "prompt" : "classifier")
    let dispatch = try service.resolveDispatch(strategy, params, model: model)
    let prompt = params["prompt"]?.stringValue ?? ""
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let call = DispatchCall(model: coordinator.reference(model), prompt: prompt, dispatch: dispatch.spec)
      let asked = MonotonicInstant.now
      coordinator.calls.send(.dispatch(call)) { answer in
        reply.finish(
          answer.map { result in
            let seconds = result["seconds"]?.doubleValue ?? 0
            return [
              "decision": dispatch.shown(result["decision"]), "strategy": .string(strategy),
              "dispatcher": dispatch.shownDispatcher, "template": .string(dispatch.spec.templateSource),
              "model": .string(model.name), "tokens": ["prompt": result["prompt_tokens"] ?? .null],
              "seconds": [
                "queue": .number(max(0, (MonotonicInstant.now - asked).inSeconds - seconds)),
                "dispatch": .number(seconds),
              ],
            ]
          })
      }
    }
  }
}
