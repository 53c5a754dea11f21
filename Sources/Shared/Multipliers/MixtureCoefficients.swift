/// How the multipliers of several experts become one.
package enum MixRule: String, Sendable, CaseIterable {
  /// s = Σ α_k z_k, as the paper writes it (section 3.2 of arXiv:2501.06252). The sum of α scales whole matrices.
  case sum
  /// s = (1 − Σα) + Σ α_k z_k: the base takes part with what is left. α = 0 is the base, α = e_k is expert k.
  case delta

  /// The rule where nobody chose one: `sum` has a meaning of its own only under the rescale.
  package static func standard(for rescale: Rescale) -> MixRule {
    switch rescale {
    case .none: .delta
    case .nuclear: .sum
    }
  }
}

/// How finely a mixture decides: one coefficient per expert, per expert and layer, or per expert and matrix.
package enum Granularity: String, Sendable, CaseIterable {
  case vector, layer, matrix
}

/// α: what share each expert has in a mixture.
package struct MixtureCoefficients: Sendable, Equatable {
  package var granularity: Granularity
  package var mix: MixRule
  /// (experts, units): one unit under `vector`, else in the order of ``MultiplierLayout/units(_:)``.
  package var alpha: [[Float]]

  package init(granularity: Granularity = .vector, mix: MixRule, alpha: [[Float]]) {
    self.granularity = granularity
    self.mix = mix
    self.alpha = alpha
  }

  /// One coefficient for each expert.
  package init(mix: MixRule, _ alpha: [Float]) {
    self.init(mix: mix, alpha: alpha.map { [$0] })
  }

  /// Expert k of `count` alone, exactly.
  package static func single(_ k: Int, of count: Int) -> MixtureCoefficients {
    MixtureCoefficients(mix: .delta, (0..<count).map { $0 == k ? 1 : 0 })
  }

  /// The base alone, exactly.
  package static func base(of count: Int) -> MixtureCoefficients {
    MixtureCoefficients(mix: .delta, [Float](repeating: 0, count: count))
  }

  /// α divided by its sum over the experts, unit by unit: the form that `sum` needs where there is no rescale. A unit
  /// whose coefficients sum to 0 is left as it is, and mixing then says so.
  package func normalized() -> MixtureCoefficients {
    var result = self
    for unit in (alpha.first ?? []).indices {
      let total = alpha.reduce(0.0) { $0 + Double($1[unit]) }
      guard total != 0 else { continue }
      for expert in alpha.indices { result.alpha[expert][unit] = Float(Double(alpha[expert][unit]) / total) }
    }
    return result
  }

  package func coefficient(expert: Int, matrix: Int, in layout: MultiplierLayout) -> Float {
    alpha[expert][layout.unit(ofMatrix: matrix, granularity)]
  }
}

/// A mixture that cannot be formed.
package enum MixtureError: Error, Equatable, CustomStringConvertible {
  case wrongExpertCount(found: Int, expected: Int)
  case wrongUnitCount(expert: Int, found: Int, expected: Int, granularity: Granularity)
  case notFinite(expert: Int, unit: Int)
  /// `sum` without a rescale multiplies whole matrices by Σα: anything but 1 there is a mistake.
  case unnormalizedSum(matrix: String, total: Float)
  /// Σ(σ s) of a matrix is not above 1e-6 Σσ: nothing is left to rescale.
  case vanishing(matrix: String, share: Float)

  package var description: String {
    switch self {
    case .wrongExpertCount(let found, let expected):
      "a mixture of \(expected) experts needs \(expected) coefficients or lists of them, got \(found)"
    case .wrongUnitCount(let expert, let found, let expected, let granularity):
      "expert \(expert) of the mixture has \(found) coefficients, granularity '\(granularity.rawValue)' needs \(expected)"
    case .notFinite(let expert, let unit):
      "coefficient \(unit) of expert \(expert) of the mixture is not a finite number"
    case .unnormalizedSum(let matrix, let total):
      "cannot mix '\(matrix)' by 'sum': the coefficients sum to \(total) and would scale the whole matrix; "
        + "let them sum to 1, mix with 'delta', or rescale with 'nuclear'"
    case .vanishing(let matrix, let share):
      "cannot rescale '\(matrix)': the mixture leaves \(share) of its nuclear norm, at least 1e-6 is needed; "
        + "raise the coefficients, or mix with 'delta'"
    }
  }
}
