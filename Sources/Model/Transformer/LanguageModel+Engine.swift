package import Engines
package import LinearAlgebra
package import Multipliers
package import Settings

// What the seam asks beside scoring, generating and recording, which are files of their own.
extension LanguageModel {
  package var passRows: Int { Self.batchRows }

  /// Of its factorization, which is a mapped file.
  package func damage(thoroughly: Bool, shouldStop: @escaping @Sendable () -> Bool) -> String? {
    guard thoroughly || factorization.hasChanged else { return nil }
    return factorization.damage(pool, shouldStop: shouldStop)
  }

  /// Of an expert's matrices where many mixtures are compared: each candidate's weights are then mixed layer by layer. Few
  /// mixtures need none: building one costs as much as some hundred rows, and its matrices would lie beside the activations
  /// of a gradient; the factored form does for them.
  package func mixtureScorer(
    _ mixer: Mixer, many: Bool, priority: ComputePool.Priority, shouldStop: @escaping @Sendable () -> Bool
  ) throws(EngineError) -> any MixtureScorer {
    guard many else { return FactoredMixtures(model: self, mixer: mixer) }
    return MixedMatrices(
      model: self, mixer: mixer,
      basis: try ExpertBasis(model: self, experts: mixer.experts, priority: priority, shouldStop: shouldStop))
  }

  /// A forward pass under matrices that were built costs what the base's costs and not half as much again. Where they
  /// would not stay in memory the vector is as good; the base is not built from its own vectors, which would cost its
  /// last bits.
  package func weights(
    forManyRowsUnder vector: MultiplierVector, priority: ComputePool.Priority
  ) throws(EngineError) -> WeightView {
    guard !vector.isIdentity else { return .base }
    let basis = try ExpertBasis(model: self, experts: [vector], priority: priority)
    return basis.isResident ? .prepared(basis) : .factored(vector)
  }

  package func record(
    _ items: [ScoringItem], under multipliers: MultiplierVector, temperature: Float, divergence: DivergenceDirection?,
    gradientFollows: Bool, priority: ComputePool.Priority, shouldStop: () -> Bool
  ) throws(EngineError) -> any GradientRecord {
    try record(
      items, under: multipliers, temperature: temperature, divergence: divergence,
      memory: gradientFollows ? GradientTape.standardMemory : 0, priority: priority, shouldStop: shouldStop)
  }

  /// Under the only expert of a basis.
  func score(
    _ items: [ScoringItem], _ basis: ExpertBasis, _ priority: ComputePool.Priority,
    _ shouldStop: @escaping @Sendable () -> Bool
  ) throws(EngineError) -> [[ContinuationScore]] {
    precondition(basis.experts.count == 1, "a basis of \(basis.experts.count) experts is not one set of weights")
    let matrices = layout.matrices.count
    let alone = BlendCoefficients(
      base: [Float](repeating: 0, count: matrices), experts: [[Float]](repeating: [1], count: matrices))
    return try scoreCandidates(
      basis: basis, [Candidate(alone, items)], priority: priority, shouldStop: shouldStop)[0]
  }
}

/// Mixtures whose matrices are mixed from the experts', for all of a call together.
private struct MixedMatrices: MixtureScorer {
  let model: LanguageModel
  let mixer: Mixer
  let basis: ExpertBasis

  func score(
    _ work: [MixtureWork], priority: ComputePool.Priority, shouldStop: @escaping @Sendable () -> Bool
  ) throws(EngineError) -> [[[ContinuationScore]]] {
    var candidates: [Candidate] = []
    for piece in work {
      do throws(MixtureError) {
        candidates.append(Candidate(try mixer.blend(piece.mixture), piece.items))
      } catch {
        throw .mixture(error)
      }
    }
    return try model.scoreCandidates(basis: basis, candidates, priority: priority, shouldStop: shouldStop)
  }
}

/// Mixtures in the factored form, piece by piece, since what is computed together decides the last bits.
private struct FactoredMixtures: MixtureScorer {
  let model: LanguageModel
  let mixer: Mixer

  func score(
    _ work: [MixtureWork], priority: ComputePool.Priority, shouldStop: @escaping @Sendable () -> Bool
  ) throws(EngineError) -> [[[ContinuationScore]]] {
    var results: [[[ContinuationScore]]] = []
    for piece in work {
      guard !shouldStop() else { throw .stopped }
      let vector: MultiplierVector
      do throws(MixtureError) { vector = try mixer.multipliers(piece.mixture) } catch { throw .mixture(error) }
      do throws(EngineError) {
        results.append(try model.score(piece.items, under: .factored(vector), priority: priority))
      } catch {
        guard case .overflow = error else { throw error }
        results.append(piece.items.map(\.outOfRange))
      }
    }
    return results
  }
}
