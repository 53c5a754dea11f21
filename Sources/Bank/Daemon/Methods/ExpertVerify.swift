import Experts
import Registry
import RPCProtocol
import RPCServer
import StrictJSON
import SystemSupport

extension ExpertVerify: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let path = asked.path
    let model = asked.model
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      var signatures = coordinator.signatures
      if let model {
        let wanted = try coordinator.snapshot.resolveModel(model)
        signatures = signatures.filter { sameName($0.name, wanted.name) }
      }
      reply.succeed(verdict(on: path, signatures))
    }
  }

  private static func verdict(on path: String, _ signatures: [ModelSignature]) -> JSONValue {
    do throws(ExpertFileError) {
      let expert = try ExpertFile.read(path: path, fileName: FileSystem.split(path).name).validated(against: signatures)
      return [
        "ok": true, "name": .string(expert.name), "model": .string(expert.model),
        "digest": .string(expert.contentDigest.description), "matrices": JSONValue(expert.parameters.count),
        "warnings": JSONValue(expert.warnings.map(\.description)),
      ]
    } catch {
      return [
        "ok": false, "warnings": [], "error": ["kind": .string(error.code), "message": .string(error.description)],
      ]
    }
  }
}
