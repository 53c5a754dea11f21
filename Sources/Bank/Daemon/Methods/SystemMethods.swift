import RPCProtocol

extension SystemMethods: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    // The first walks the types of all results for some 15 ms, which is too long for the thread of the sockets.
    service.onCatalogue(reply) { _ throws(RPCError) in reply.succeed(RPCMethod.description) }
  }
}
