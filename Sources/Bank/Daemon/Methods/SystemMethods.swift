import RPCProtocol
import RPCServer
import StrictJSON

extension Service {
  static let systemMethods: Handler = { (service, params, reply) throws(RPCError) in
    reply.succeed(RPCMethod.description)
  }
}
