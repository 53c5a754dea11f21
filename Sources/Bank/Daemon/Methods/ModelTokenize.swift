import Registry
import RPCProtocol
import WorkerProtocol

extension ModelTokenize: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let text = asked.text
    let special = asked.special
    let model = try service.snapshots.get().resolveModel(asked.model)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let call = WorkerCall.tokenize(model: coordinator.reference(model), text: text, special: special)
      coordinator.calls.send(call, as: TokenizeAnswer.self) { answer in
        reply.finish(answer.map { Result(ids: $0.ids) })
      }
    }
  }
}
