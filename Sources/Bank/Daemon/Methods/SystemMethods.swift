import RPCProtocol

extension SystemMethods: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    reply.succeed(RPCMethod.description)
  }
}
