package import Multipliers
import Records
import Settings

/// Which weights a request sees. A single expert is `alpha` = e_k, exact in `delta`.
package enum Weights: WorkerMessage {
  case base
  case mixture(Mixture)

  package struct Mixture: WorkerMessage {
    package var experts: [ExpertReference]
    package var granularity: Granularity
    package var mix: MixRule
    package var rescale: Rescale
    /// `[expert][unit]`: one unit for `vector`, the model's order of layers or matrices otherwise.
    package var alpha: [[Float]]

    package init(
      experts: [ExpertReference], granularity: Granularity, mix: MixRule, rescale: Rescale, alpha: [[Float]]
    ) {
      self.experts = experts
      self.granularity = granularity
      self.mix = mix
      self.rescale = rescale
      self.alpha = alpha
    }
  }

  /// One expert alone.
  package static func expert(_ expert: ExpertReference, rescale: Rescale) -> Weights {
    .mixture(Mixture(experts: [expert], granularity: .vector, mix: .delta, rescale: rescale, alpha: [[1]]))
  }
}

extension Weights: AbsentReadable {
  package static var whenAbsent: Weights { .base }

  private enum CodingKeys: String, CodingKey { case base, experts, mixture }

  /// How the experts are mixed, without which experts they are.
  private struct Rule: Codable {
    var granularity: Granularity
    var mix: MixRule
    var rescale: Rescale
    var alpha: [[Float]]
  }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    if try container.decodeIfPresent(Bool.self, forKey: .base) == true {
      self = .base
      return
    }
    let rule = try container.decode(Rule.self, forKey: .mixture)
    self = .mixture(
      Mixture(
        experts: try container.decode([ExpertReference].self, forKey: .experts), granularity: rule.granularity,
        mix: rule.mix, rescale: rule.rescale, alpha: rule.alpha))
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    switch self {
    case .base: try container.encode(true, forKey: .base)
    case .mixture(let mixture):
      try container.encode(mixture.experts, forKey: .experts)
      let rule = Rule(
        granularity: mixture.granularity, mix: mixture.mix, rescale: mixture.rescale, alpha: mixture.alpha)
      try container.encode(rule, forKey: .mixture)
    }
  }
}
