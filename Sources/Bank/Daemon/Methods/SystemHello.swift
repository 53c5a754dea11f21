import RPCProtocol
import SystemSupport

extension SystemHello: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    reply.succeed(
      Result(
        name: "t2d", version: programVersion, protocol: RPCMethod.protocolVersion, pid: Int(ownProcessID()),
        capabilities: ["pass_fd", "if_generation", "events"], access: reply.connection.mayChange ? "change" : "read",
        prefix: service.shownPrefix, socket: service.paths.socket, spool: service.spool))
  }
}

extension Service {
  var shownPrefix: String { paths.prefix.isEmpty ? "/" : paths.prefix }

  var spool: Spool { Spool(experts: paths.experts, tasks: paths.tasks) }
}
