package import Digests
import StrictJSON

extension EngineConnection {
  /// Gives the engine the multipliers of a mixture, and compares what each rank has then. May be repeated.
  package func put(_ mixture: EngineMixture, _ patience: Patience) throws(EngineFailure) {
    try call("give the mixture \(mixture.digest)", patience) { facts throws(EngineFailure.Cause) in
      precondition(mixture.multipliers.count == facts.layout.count, "a mixture of another layout")
      let body = try exchange(
        HTTPRequest(
          method: .put, path: "/t2/mixtures/\(mixture.digest)", contentType: Frame.contentType,
          body: Frame.bytes(Array("{}".utf8), mixture.multipliers)),
        bodyBytes: Self.smallBody, patience)
      let answer = try Frame.object(body[...], Self.receiptLimits)
      guard let name = answer["mixture"]?.stringValue, Digest(description: name) == mixture.digest else {
        throw .wrongMixture("it took in '\(answer["mixture"]?.excerpt ?? "nothing")'")
      }
      try ReadBack.checkRanks(answer["ranks"] ?? .null, of: mixture.digest, ranks: facts.engine.parallelism)
    }
  }

  /// Lets the engine forget a mixture, which it may not know.
  package func delete(_ digest: Digest, _ patience: Patience) throws(EngineFailure) {
    try call("take back the mixture \(digest)", patience) { _ throws(EngineFailure.Cause) in
      let body = try exchange(
        HTTPRequest(method: .delete, path: "/t2/mixtures/\(digest)"), bodyBytes: Self.smallBody, patience)
      _ = try Frame.object(body[...], Self.receiptLimits)
    }
  }

  static var receiptLimits: JSONLimits { JSONLimits(maximumMembers: 100_000, maximumBytes: smallBody) }
}
