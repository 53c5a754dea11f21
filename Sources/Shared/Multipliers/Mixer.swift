/// W' = base * W + Σ_k experts[k] * W_k for each matrix, where W_k = U diag(z_k σ) Vᵀ before any rescale.
package struct BlendCoefficients: Sendable, Equatable {
  /// (matrices)
  package var base: [Float]
  /// (matrices, experts)
  package var experts: [[Float]]

  package init(base: [Float], experts: [[Float]]) {
    self.base = base
    self.experts = experts
  }
}

/// Mixes a fixed set of experts, as a search does thousands of times.
///
/// Mixing happens on multipliers, before the rescale, which is then applied once per matrix. Its denominator is linear in
/// α, Σ(σ s) = base · Σσ + Σ_k α_k (σ·z_k), so the sums are formed once. All in double, rounded at the end: the blend of
/// materialised matrices and the mixed multipliers then carry the same factor, and one that should be 1 is 1.
package struct Mixer: Sendable {
  package let layout: MultiplierLayout
  package let experts: [MultiplierVector]
  package let rescale: Rescale
  /// Σσ of each matrix, and σ·z_k (matrices, experts); empty where there is no rescale.
  private let nuclearNorm: [Double]
  private let weightedNorm: [[Double]]

  /// The smallest share of the nuclear norm that a mixture may leave; below it the rescale amplifies rounding errors.
  package static let smallestShare = 1e-6

  /// How far Σα may be from 1 where nothing rescales: coefficients as people type them, 0.333 three times.
  package static let normalizationTolerance = 2e-3

  /// - Parameter sigma: the singular values, flat by the layout; not read without a rescale.
  package init(layout: MultiplierLayout, sigma: [Float], experts: [MultiplierVector], rescale: Rescale) {
    for (k, expert) in experts.enumerated() {
      precondition(
        expert.values.count == layout.count, "expert \(k) has \(expert.values.count) multipliers of \(layout.count)")
    }
    self.layout = layout
    self.experts = experts
    self.rescale = rescale
    switch rescale {
    case .none:
      nuclearNorm = []
      weightedNorm = []
    case .nuclear:
      precondition(sigma.count == layout.count, "got \(sigma.count) singular values of \(layout.count)")
      nuclearNorm = layout.matrices.indices.map { matrix in
        layout.range(of: matrix).reduce(0.0) { $0 + Double(sigma[$1]) }
      }
      weightedNorm = layout.matrices.indices.map { matrix in
        experts.map { expert in
          layout.range(of: matrix).reduce(0.0) { $0 + Double(sigma[$1]) * Double(expert.values[$1]) }
        }
      }
    }
  }

  /// The coefficients of the materialised form.
  package func blend(_ coefficients: MixtureCoefficients) throws(MixtureError) -> BlendCoefficients {
    try check(coefficients)
    var result = BlendCoefficients(base: [], experts: [])
    for matrix in layout.matrices.indices {
      let share = try share(of: matrix, coefficients)
      result.base.append(Float(share.base))
      result.experts.append(share.experts.map { Float($0) })
    }
    return result
  }

  /// The effective multipliers after the rescale: what `vectors` of a mixture holds and the factored form applies.
  package func multipliers(_ coefficients: MixtureCoefficients) throws(MixtureError) -> MultiplierVector {
    try check(coefficients)
    var values = [Float]()
    values.reserveCapacity(layout.count)
    for matrix in layout.matrices.indices {
      let share = try share(of: matrix, coefficients)
      for index in layout.range(of: matrix) {
        var s = share.base
        for k in experts.indices { s += share.experts[k] * Double(experts[k].values[index]) }
        values.append(Float(s))
      }
    }
    return MultiplierVector(values)
  }

  private func check(_ coefficients: MixtureCoefficients) throws(MixtureError) {
    guard coefficients.alpha.count == experts.count else {
      throw .wrongExpertCount(found: coefficients.alpha.count, expected: experts.count)
    }
    let units = layout.unitCount(coefficients.granularity)
    for (expert, alpha) in coefficients.alpha.enumerated() {
      guard alpha.count == units else {
        throw .wrongUnitCount(
          expert: expert, found: alpha.count, expected: units, granularity: coefficients.granularity)
      }
      for (unit, value) in alpha.enumerated() where !value.isFinite { throw .notFinite(expert: expert, unit: unit) }
    }
  }

  /// What the base and each expert weigh in a matrix, the rescale included, which is `scale`.
  private func share(
    of matrix: Int, _ coefficients: MixtureCoefficients
  ) throws(MixtureError) -> (base: Double, experts: [Double], scale: Double) {
    let alpha = experts.indices.map {
      Double(coefficients.coefficient(expert: $0, matrix: matrix, in: layout))
    }
    // 1 − Σα, written so: with α = e_k it is exactly 0 and the mixture exactly z_k.
    let base =
      switch coefficients.mix {
      case .sum: 0.0
      case .delta: 1 - alpha.reduce(0, +)
      }
    guard rescale == .nuclear else {
      let total = base + alpha.reduce(0, +)
      guard abs(total - 1) <= Self.normalizationTolerance else {
        throw .unnormalizedSum(matrix: layout.matrices[matrix].name, total: Float(total))
      }
      return (base, alpha, 1)
    }

    let norm = nuclearNorm[matrix]
    // A matrix of zeros stays what it is whatever multiplies it.
    guard norm > 0 else { return (base, alpha, 1) }
    let weighted = zip(alpha, weightedNorm[matrix]).reduce(base * norm) { $0 + $1.0 * $1.1 }
    guard weighted >= Self.smallestShare * norm else {
      throw .vanishing(matrix: layout.matrices[matrix].name, share: Float(weighted / norm))
    }
    let factor = norm / weighted
    return (base * factor, alpha.map { $0 * factor }, factor)
  }
}

// MARK: Gradient

extension Mixer {
  /// dL/dα (experts, units) from dL/ds, flat by the layout, at a mixture.
  ///
  /// Without a rescale s = base + Σ α_k z_k, so dL/dα_k = Σ_i g_i (z_ki − δ), where δ is 1 in `delta`, whose base gives way
  /// to every expert, and 0 in `sum`. With the rescale s = c u, c = Σσ / (σ·u), the same sum goes over
  /// c (g_i − σ_i (g·u) / (σ·u)); σ·z_k is known.
  package func gradient(
    _ multiplierGradient: [Float], at coefficients: MixtureCoefficients
  ) throws(MixtureError) -> [[Double]] {
    precondition(
      multiplierGradient.count == layout.count, "a gradient of \(multiplierGradient.count) of \(layout.count)")
    try check(coefficients)
    var result = [[Double]](
      repeating: [Double](repeating: 0, count: layout.unitCount(coefficients.granularity)), count: experts.count)
    for matrix in layout.matrices.indices {
      let share = try share(of: matrix, coefficients)
      let range = layout.range(of: matrix)
      let total = range.reduce(0.0) { $0 + Double(multiplierGradient[$1]) }
      let products = experts.map { expert in
        range.reduce(0.0) { $0 + Double(multiplierGradient[$1]) * Double(expert.values[$1]) }
      }
      let unit = layout.unit(ofMatrix: matrix, coefficients.granularity)
      for k in experts.indices {
        let own = coefficients.mix == .delta ? products[k] - total : products[k]
        guard rescale == .nuclear, nuclearNorm[matrix] > 0 else {
          result[k][unit] += own
          continue
        }
        // `share` is c times what each weighs, so g·(c u) comes of it, and σ·(c u) is Σσ.
        let norm = nuclearNorm[matrix]
        let along = zip(share.experts, products).reduce(share.base * total) { $0 + $1.0 * $1.1 }
        let weight = weightedNorm[matrix][k] - (coefficients.mix == .delta ? norm : 0)
        result[k][unit] += share.scale * (own - weight * along / norm)
      }
    }
    return result
  }
}

/// The coefficients of one mixture for the materialised form; see ``Mixer/blend(_:)``.
package func blend(
  _ coefficients: MixtureCoefficients, experts: [MultiplierVector], layout: MultiplierLayout, sigma: [Float],
  rescale: Rescale
) throws(MixtureError) -> BlendCoefficients {
  try Mixer(layout: layout, sigma: sigma, experts: experts, rescale: rescale).blend(coefficients)
}

/// The effective multipliers of one mixture; see ``Mixer/multipliers(_:)``.
package func mixedMultipliers(
  _ coefficients: MixtureCoefficients, experts: [MultiplierVector], layout: MultiplierLayout, sigma: [Float],
  rescale: Rescale
) throws(MixtureError) -> MultiplierVector {
  try Mixer(layout: layout, sigma: sigma, experts: experts, rescale: rescale).multipliers(coefficients)
}

/// The effective multipliers of a single expert.
package func rescaled(
  _ expert: MultiplierVector, layout: MultiplierLayout, sigma: [Float], rescale: Rescale
) throws(MixtureError) -> MultiplierVector {
  try mixedMultipliers(.single(0, of: 1), experts: [expert], layout: layout, sigma: sigma, rescale: rescale)
}
