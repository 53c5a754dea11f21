import Experts
import Registry
import RPCProtocol
import SystemSupport

extension ExpertVerify: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let name = FileSystem.split(asked.path).name
    let snapshot = service.snapshots.get()
    var signatures = snapshot.signatures
    if let model = asked.model {
      let wanted = try snapshot.resolveModel(model)
      signatures = signatures.filter { sameName($0.name, wanted.name) }
    }
    let candidates = signatures
    try Service.readPassed(reply, atMost: service.configuration.maximumExpertBytes) { bytes in
      reply.succeed(verdict(on: bytes, named: name, candidates))
    }
  }

  private static func verdict(on bytes: [UInt8], named name: String, _ signatures: [ModelSignature]) -> Result {
    do throws(ExpertFileError) {
      let expert = try ExpertFile.read(bytes: bytes, fileName: name).validated(against: signatures)
      return Result(
        ok: true, name: expert.name, model: expert.model, digest: expert.contentDigest.description,
        matrices: expert.parameters.count, warnings: expert.warnings.map(\.description))
    } catch {
      return Result(ok: false, warnings: [], error: Problem(kind: error.code, message: error.description))
    }
  }
}
