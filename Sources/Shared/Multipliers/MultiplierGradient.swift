// The way back from multipliers to the parameters that an expert's file holds, as training needs it.

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
