import RPCProtocol
import RPCServer
import StrictJSON

extension Service {
  static let systemHello: Handler = { (service, params, reply) throws(RPCError) in
    reply.succeed([
      "name": "t2d", "version": .string(daemonVersion), "protocol": JSONValue(RPCMethod.protocolVersion),
      "pid": JSONValue(Int(ownProcessID())), "capabilities": ["pass_fd", "if_generation", "events"],
      "access": .string(reply.connection.mayChange ? "change" : "read"), "prefix": .string(service.shownPrefix),
      "socket": .string(service.paths.socket), "spool": service.spool,
    ])
  }

  var shownPrefix: String { paths.prefix.isEmpty ? "/" : paths.prefix }

  var spool: JSONValue { ["experts": .string(paths.experts), "tasks": .string(paths.tasks)] }
}
