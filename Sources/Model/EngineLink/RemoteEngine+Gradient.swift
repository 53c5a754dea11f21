package import Engines
package import LinearAlgebra
package import Multipliers
package import Settings

extension RemoteEngine {
  /// Scores now; what a gradient needs the engine computes again when it is asked for one, since an engine keeps nothing
  /// between two requests: either may go to another replica.
  package func record(
    _ items: [ScoringItem], under multipliers: MultiplierVector, temperature: Float, divergence: DivergenceDirection?,
    gradientFollows: Bool, priority: ComputePool.Priority, shouldStop: () -> Bool
  ) throws(EngineError) -> any GradientRecord {
    guard facts.hasGradients else {
      throw .unsupported(
        "the engine '\(facts.tag.name)' of model '\(facts.modelID)' computes no gradients; search with a method that needs "
          + "none, and train on an engine that has them")
    }
    try check(items)
    let mixture = try mixture(of: multipliers)
    let units = units(of: items)
    var scores: [[ContinuationScore]] = []
    var divergences: [[Double]]? = divergence == nil ? nil : []
    for unit in units {
      let found = try ask(
        GradientRequest(
          items: unit.map { EngineItem(items[$0], nil) }, mixture: mixture, temperature: Double(temperature),
          divergence: divergence.map(GradientRequest.Divergence.init)), shouldStop)
      for (index, found) in zip(unit, found.scores) {
        guard found.allSatisfy({ $0.allSatisfy(\.isFinite) }) else { throw .overflow(item: index) }
        scores.append(items[index].scores(found))
      }
      divergences? += (found.divergences ?? []).map { $0.map { Double($0) } }
    }
    return RemoteRecord(
      engine: self, items: items, units: units, mixture: mixture, temperature: Double(temperature),
      divergence: divergence, scores: scores, divergences: divergences)
  }

  fileprivate func ask(
    _ request: GradientRequest, _ shouldStop: () -> Bool
  ) throws(EngineError) -> EngineGradient {
    try withoutActuallyEscaping(shouldStop) { shouldStop throws(EngineError) in
      try Self.reaching { try replicas.gradient(request, Patience(until: .never, shouldStop: shouldStop)) }
    }
  }
}

/// Items whose gradient can be asked for.
private final class RemoteRecord: GradientRecord {
  let scores: [[ContinuationScore]]
  let divergences: [[Double]]?
  private let engine: RemoteEngine
  private let items: [ScoringItem]
  private let units: [Range<Int>]
  private let mixture: EngineMixture?
  private let temperature: Double
  private let divergence: DivergenceDirection?

  init(
    engine: RemoteEngine, items: [ScoringItem], units: [Range<Int>], mixture: EngineMixture?, temperature: Double,
    divergence: DivergenceDirection?, scores: [[ContinuationScore]], divergences: [[Double]]?
  ) {
    self.engine = engine
    self.items = items
    self.units = units
    self.mixture = mixture
    self.temperature = temperature
    self.divergence = divergence
    self.scores = scores
    self.divergences = divergences
  }

  func gradient(
    _ derivatives: [[[Float]]], divergenceWeight: Float, fromLayer: Int, priority: ComputePool.Priority,
    shouldStop: () -> Bool
  ) throws(EngineError) -> [Float] {
    precondition(divergenceWeight == 0 || divergence != nil, "a divergence that was not recorded has a weight")
    guard derivatives.count == items.count else {
      throw .countMismatch(what: "items' derivatives", found: derivatives.count, expected: items.count)
    }
    for (item, mine) in derivatives.enumerated() {
      for (continuation, mine) in mine.enumerated() where !mine.allSatisfy(\.isFinite) {
        throw .derivativeNotFinite(item: item, continuation: continuation)
      }
    }
    var sums = [Double](repeating: 0, count: engine.facts.layout.count)
    for unit in units {
      let mine = Array(derivatives[unit])
      // A part that the loss does not look at says nothing.
      guard divergenceWeight != 0 || mine.contains(where: { $0.contains { $0.contains { $0 != 0 } } }) else { continue }
      let found = try engine.ask(
        GradientRequest(
          items: unit.map { EngineItem(items[$0], nil) }, mixture: mixture, temperature: temperature,
          divergence: divergence.map(GradientRequest.Divergence.init), derivatives: mine,
          divergenceWeight: Double(divergenceWeight), fromLayer: fromLayer), shouldStop)
      for (place, value) in (found.multipliers ?? []).enumerated() { sums[place] += Double(value) }
    }
    let layout = engine.facts.layout
    for (index, matrix) in layout.matrices.enumerated()
    where !sums[layout.range(of: index)].allSatisfy(\.isFinite) {
      throw .gradientOverflow(matrix: matrix.name)
    }
    return sums.map { Float($0) }
  }
}

extension GradientRequest.Divergence {
  init(_ direction: DivergenceDirection) {
    switch direction {
    case .paper: self = .paper
    case .reference: self = .reference
    }
  }
}
