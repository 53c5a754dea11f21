import Glibc

/// How the numbers of an expert file become multipliers.
package enum ParameterSpace: String, Sendable, CaseIterable {
  /// s = p.
  case multiplier
  /// s = sigmoid(p) * max_mult.
  case logit
}

/// What happens to the multipliers of a matrix after mixing.
package enum Rescale: String, Sendable, CaseIterable {
  case none
  /// s ← s · Σσ / Σ(σ s), so that the nuclear norm of the matrix stays what it was.
  case nuclear
}

/// s for every target matrix, flat by the layout; a matrix that the expert does not name has ones.
package struct MultiplierVector: Sendable, Equatable {
  package var values: [Float]

  package init(_ values: [Float]) {
    self.values = values
  }

  /// The base model.
  package static func ones(_ count: Int) -> MultiplierVector {
    MultiplierVector([Float](repeating: 1, count: count))
  }

  /// The vector of an expert that names some of the matrices. Names that are not of the layout, and lengths that are not
  /// the matrix's rank, are the reader's to refuse: they trap here.
  package init(layout: MultiplierLayout, named: [(matrix: Int, multipliers: [Float])]) {
    values = [Float](repeating: 1, count: layout.count)
    for (matrix, multipliers) in named {
      let range = layout.range(of: matrix)
      precondition(
        multipliers.count == range.count,
        "'\(layout.matrices[matrix].name)' has rank \(range.count), got \(multipliers.count) multipliers")
      values.replaceSubrange(range, with: multipliers)
    }
  }

  /// True where every multiplier is 1: then the base weights are used as they are, bit for bit.
  package var isIdentity: Bool { values.allSatisfy { $0 == 1 } }

  /// As ``isIdentity``, of one matrix.
  package func isIdentity(in range: Range<Int>) -> Bool { values[range].allSatisfy { $0 == 1 } }
}

/// The multipliers s that an expert's parameters p stand for.
/// - Parameter maximumMultiplier: the upper end of the sigmoid; read in `logit` space only.
package func multipliers(
  from parameters: [Float], space: ParameterSpace, maximumMultiplier: Float
) -> [Float] {
  switch space {
  case .multiplier: parameters
  // In double: one rounding, not four.
  case .logit: parameters.map { Float(Double(maximumMultiplier) / (1 + exp(-Double($0)))) }
  }
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
