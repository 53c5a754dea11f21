package import Digests
import Experts
package import Multipliers

/// The multipliers of one mixture, and the name under which engines keep them.
package struct EngineMixture: Sendable, Equatable {
  package let digest: Digest
  package let multipliers: [Float]  // (layout.count)

  /// Traps where there are more or fewer numbers than the layout has.
  package init(_ multipliers: [Float], of layout: MultiplierLayout) {
    precondition(
      multipliers.count == layout.count, "a vector of \(multipliers.count) for a layout of \(layout.count)")
    digest = MultiplierVector(multipliers).digest(in: layout)
    self.multipliers = multipliers
  }

  package static func == (left: Self, right: Self) -> Bool { left.digest == right.digest }
}

/// A prompt and the continuations whose likelihood is wanted, under a mixture; nil is the base.
package struct EngineItem: Sendable, Equatable {
  package var prompt: [Int32]
  package var continuations: [[Int32]]
  package var mixture: EngineMixture?

  package init(prompt: [Int32], continuations: [[Int32]], mixture: EngineMixture? = nil) {
    (self.prompt, self.continuations, self.mixture) = (prompt, continuations, mixture)
  }
}
