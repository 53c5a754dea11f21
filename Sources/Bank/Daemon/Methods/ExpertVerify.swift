import Experts
import Registry
import RPCProtocol
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

  private static func verdict(on path: String, _ signatures: [ModelSignature]) -> Result {
    do throws(ExpertFileError) {
      let expert = try ExpertFile.read(path: path, fileName: FileSystem.split(path).name).validated(against: signatures)
      return Result(
        ok: true, name: expert.name, model: expert.model, digest: expert.contentDigest.description,
        matrices: expert.parameters.count, warnings: expert.warnings.map(\.description))
    } catch {
      return Result(ok: false, warnings: [], error: Problem(kind: error.code, message: error.description))
    }
  }
}
