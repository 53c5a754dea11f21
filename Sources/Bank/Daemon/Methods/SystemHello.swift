import RPCProtocol
import RPCServer
import StrictJSON
import SystemSupport

extension SystemHello: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    reply.succeed([
      "name": "t2d", "version": .string(programVersion), "protocol": JSONValue(RPCMethod.protocolVersion),
      "pid": JSONValue(Int(ownProcessID())), "capabilities": ["pass_fd", "if_generation", "events"],
      "access": .string(reply.connection.mayChange ? "change" : "read"), "prefix": .string(service.shownPrefix),
      "socket": .string(service.paths.socket), "spool": service.spool,
    ])
  }
}

extension Service {
  var shownPrefix: String { paths.prefix.isEmpty ? "/" : paths.prefix }

  var spool: JSONValue { ["experts": .string(paths.experts), "tasks": .string(paths.tasks)] }
}
