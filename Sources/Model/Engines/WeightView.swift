package import Multipliers

/// Which weights a sequence sees.
package enum WeightView: Sendable, Equatable {
  case base
  /// The singular values times this vector. Sequences with different vectors share one batch. A vector of ones is the
  /// base, bit for bit.
  case factored(MultiplierVector)
  /// What an engine has made of a vector, or of something else, for itself. Sequences that see it share a batch with
  /// nothing else.
  case prepared(any PreparedWeights)

  package static func == (left: WeightView, right: WeightView) -> Bool {
    switch (left, right) {
    case (.base, .base): true
    case (.factored(let left), .factored(let right)): left == right
    case (.prepared(let left), .prepared(let right)): left === right
    case (.base, _), (.factored, _), (.prepared, _): false
    }
  }
}

/// Weights that an engine has made ready, which no other engine can read.
package protocol PreparedWeights: AnyObject, Sendable {
  /// The vector that they were made of; nil where they are not those of a vector.
  var vector: MultiplierVector? { get }
}
