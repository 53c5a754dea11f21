import Registry
import RPCProtocol
import RPCServer
import StrictJSON
import WorkerProtocol

extension Service {
  static let modelTokenize: Handler = { (service, params, reply) throws(RPCError) in
    let text = params["text"]?.stringValue ?? ""
    let special = params["special"]?.boolValue ?? false
    let model = try service.snapshots.get().resolveModel(params["model"]?.stringValue)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      coordinator.calls.send(.tokenize(model: coordinator.reference(model), text: text, special: special)) { answer in
        reply.finish(answer)
      }
    }
  }
}

extension RPCReply {
  func finish(_ answer: Result<JSONValue, RPCError>) {
    switch answer {
    case .success(let result): succeed(result)
    case .failure(let error): fail(error)
    }
  }
}
