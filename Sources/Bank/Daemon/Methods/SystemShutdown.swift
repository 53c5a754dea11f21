import RPCProtocol
import RPCServer
import StrictJSON

extension SystemShutdown: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    service.log.notice("asked to end", ["who": Service.who(reply)])
    reply.succeed(["pid": JSONValue(Int(ownProcessID()))])
    service.shutDown()
  }
}
