import RPCProtocol
import RPCServer
import StrictJSON

extension Service {
  static let systemShutdown: Handler = { (service, params, reply) throws(RPCError) in
    service.log.notice("asked to end", ["who": Service.who(reply)])
    reply.succeed(["pid": JSONValue(Int(ownProcessID()))])
    service.shutDown()
  }
}
