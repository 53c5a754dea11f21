package import Digests
package import Multipliers

/// The multipliers of one mixture, and the name under which engines keep them.
package struct EngineMixture: Sendable, Equatable {
  /// SHA-256 over the targets in the model's order, each as its name, a zero byte, and its multipliers as little-endian floats.
  package let digest: Digest
  package let multipliers: [Float]  // (layout.count)

  /// Traps where there are more or fewer numbers than the layout has.
  package init(_ multipliers: [Float], of layout: MultiplierLayout) {
    precondition(
      multipliers.count == layout.count, "a vector of \(multipliers.count) for a layout of \(layout.count)")
    var hash = SHA256()
    for (index, matrix) in layout.matrices.enumerated() {
      hash.update(matrix.name + "\0")
      unsafe multipliers[layout.range(of: index)].withUnsafeBytes { unsafe hash.update($0) }
    }
    digest = hash.finish()
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
