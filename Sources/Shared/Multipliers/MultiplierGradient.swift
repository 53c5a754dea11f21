// The way back from multipliers to the parameters that an expert's file holds, as training needs it.

/// dL/dz of an expert's masked multipliers from dL/ds of its effective ones, matrix by matrix.
///
/// With the rescale s = c z, c = Σσ / (σ·z): dL/dz_i = c (g_i − σ_i (g·z) / (σ·z)). Scaling z as a whole changes nothing, so
/// z · dL/dz is 0.
/// - Parameter sigma: the singular values, flat by the layout; not read without a rescale.
package func gradientBeforeRescale(
  _ gradient: [Float], at z: MultiplierVector, layout: MultiplierLayout, sigma: [Float], rescale: Rescale
) throws(MixtureError) -> [Float] {
  precondition(
    gradient.count == layout.count && z.values.count == layout.count,
    "\(gradient.count) derivatives and \(z.values.count) multipliers of \(layout.count)")
  guard rescale == .nuclear else { return gradient }
  precondition(sigma.count == layout.count, "got \(sigma.count) singular values of \(layout.count)")
  var result = gradient
  for (matrix, target) in layout.matrices.enumerated() {
    let range = layout.range(of: matrix)
    let norm = range.reduce(0.0) { $0 + Double(sigma[$1]) }
    guard norm > 0 else { continue }
    let weighted = range.reduce(0.0) { $0 + Double(sigma[$1]) * Double(z.values[$1]) }
    guard weighted >= Mixer.smallestShare * norm else {
      throw .vanishing(matrix: target.name, share: Float(weighted / norm))
    }
    let along = range.reduce(0.0) { $0 + Double(gradient[$1]) * Double(z.values[$1]) }
    for i in range {
      result[i] = Float(norm / weighted * (Double(gradient[i]) - Double(sigma[i]) * along / weighted))
    }
  }
  return result
}

/// dL/dp of an expert's parameters from dL/dz of its multipliers: in `logit` space z = max_mult · sig(p), so
/// dz/dp = max_mult · sig (1 − sig).
package func gradientBeforeMask(
  _ gradient: [Float], at parameters: [Float], space: ParameterSpace, maximumMultiplier: Float
) -> [Float] {
  precondition(gradient.count == parameters.count, "\(gradient.count) derivatives of \(parameters.count) parameters")
  switch space {
  case .multiplier: return gradient
  case .logit:
    // By the mask itself, so that the two cannot part: sig (1 − sig) max = z (1 − z / max).
    let z = multipliers(from: parameters, space: space, maximumMultiplier: maximumMultiplier)
    return zip(gradient, z).map { g, z in
      Float(Double(g) * Double(z) * (1 - Double(z) / Double(maximumMultiplier)))
    }
  }
}
