import RPCProtocol
import SystemSupport

extension SystemShutdown: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    service.log.notice("asked to end", ["who": Service.who(reply)])
    reply.succeed(Result(pid: Int(ownProcessID())))
    service.shutDown()
  }
}
