import Digests
import StrictJSON

/// A loss and its items, of which the derivative by the multipliers is wanted:
/// L = Σ derivatives · ln p + divergenceWeight · Σ divergences, over all tokens of all continuations. Both are those of the model
/// tempered, softmax(logits / temperature).
package struct GradientRequest: Sendable {
  /// Which way the divergence at a token is measured, over the whole vocabulary.
  package enum Divergence: String, Sendable {
    /// KL(adapted || base).
    case paper
    /// KL(base || adapted).
    case reference
  }

  /// Of their mixtures none is looked at: the gradient is at one point.
  package var items: [EngineItem]
  /// nil is the base, s = 1.
  package var mixture: EngineMixture?
  package var temperature: Double
  package var divergence: Divergence?
  /// ∂L/∂(ln p), (items, continuations, tokens), finite; nil where scores and divergences alone are wanted.
  package var derivatives: [[[Float]]]?
  package var divergenceWeight: Double
  /// Targets of layers below have the gradient 0, and cost nothing.
  package var fromLayer: Int

  package init(
    items: [EngineItem], mixture: EngineMixture?, temperature: Double = 1, divergence: Divergence? = nil,
    derivatives: [[[Float]]]? = nil, divergenceWeight: Double = 0, fromLayer: Int = 0
  ) {
    self.items = items
    self.mixture = mixture
    self.temperature = temperature
    self.divergence = divergence
    self.derivatives = derivatives
    self.divergenceWeight = divergenceWeight
    self.fromLayer = fromLayer
  }
}

package struct EngineGradient: Sendable, Equatable {
  /// ln p of every token, tempered. (items, continuations, tokens)
  package var scores: [[[Float]]]
  /// The sum over the tokens of a continuation. (items, continuations)
  package var divergences: [[Float]]?
  /// ∂L/∂s, flat by the layout; nil where no derivatives were given.
  package var multipliers: [Float]?
}

extension EngineConnection {
  package func gradient(_ request: GradientRequest, _ patience: Patience) throws(EngineFailure) -> EngineGradient {
    try call("compute the gradient of \(Self.counted(request.items))", patience) { facts throws(EngineFailure.Cause) in
      guard facts.abilities.gradients else { throw .unable("this engine computes no gradients") }
      let tokens = request.items.map { $0.continuations.map(\.count) }
      try Self.check(request, tokens)
      let mixtures: Set<Digest> = request.mixture.map { [$0.digest] } ?? []
      let answer = AnsweredScores(tokens, mixtures, ranks: facts.engine.parallelism)
      let count = request.derivatives == nil ? 0 : facts.layout.count
      let body = try exchange(
        HTTPRequest(method: .post, path: "/t2/gradient", body: Self.gradientRequest(request)),
        bodyBytes: answer.limits.maximumBytes + 4 * count, patience)
      let (line, floats) = try Frame.read(body, answer.limits) { _ in count }
      // Version 1 does not ask for it in this answer; where it is said it must be right.
      try ReadBack.check(line["mixtures"], of: mixtures, ranks: facts.engine.parallelism)
      if let odd = floats.first(where: { !$0.isFinite }) {
        throw .notTheProtocol("the gradient has \(odd) in it")
      }
      return EngineGradient(
        scores: try answer.scores(line["scores"]),
        divergences: try Self.divergences(line["divergences"], of: request),
        multipliers: request.derivatives == nil ? nil : floats)
    }
  }

  /// What JSON or the protocol has no word for.
  private static func check(_ request: GradientRequest, _ tokens: [[Int]]) throws(EngineFailure.Cause) {
    guard request.temperature.isFinite, request.temperature > 0, request.divergenceWeight.isFinite else {
      throw .unsendable(
        "the temperature \(request.temperature) or the weight \(request.divergenceWeight) of the divergence is no number "
          + "that the engine protocol can say")
    }
    guard let derivatives = request.derivatives else { return }
    precondition(derivatives.map { $0.map(\.count) } == tokens, "derivatives of other tokens than those of the items")
    guard derivatives.allSatisfy({ $0.allSatisfy { $0.allSatisfy(\.isFinite) } }) else {
      throw .unsendable(
        "the derivatives of the loss are not all finite; the training has diverged: lower its learning rate")
    }
  }

  private static func divergences(
    _ found: JSONValue?, of request: GradientRequest
  ) throws(EngineFailure.Cause) -> [[Float]]? {
    guard request.divergence != nil else { return nil }
    let items = try AnsweredScores.list(found, request.items.count, "divergences")
    var divergences: [[Float]] = []
    for (index, item) in items.enumerated() {
      let place = "divergences[\(index)]"
      divergences.append(
        try AnsweredScores.floats(
          try AnsweredScores.list(item, request.items[index].continuations.count, place), at: place))
    }
    return divergences
  }

  private static func gradientRequest(_ request: GradientRequest) -> [UInt8] {
    var text = RequestText()
    text.text("{\"items\":")
    text.list(request.items) { text, item in
      text.text("{\"prompt\":")
      text.ids(item.prompt)
      text.text(",\"continuations\":")
      text.list(item.continuations) { $0.ids($1) }
      text.text("}")
    }
    text.text(",\"mixture\":")
    text.digest(request.mixture?.digest)
    text.text(",\"temperature\":")
    text.number(request.temperature)
    text.text(",\"divergence\":")
    text.string(request.divergence?.rawValue)
    text.text(",\"derivatives\":")
    if let derivatives = request.derivatives {
      text.list(derivatives) { $0.list($1) { $0.list($1) { $0.number($1) } } }
    } else {
      text.text("null")
    }
    text.text(",\"divergence_weight\":")
    text.number(request.divergenceWeight)
    text.text(",\"from_layer\":")
    text.number(request.fromLayer)
    text.text("}")
    return text.bytes
  }
}
