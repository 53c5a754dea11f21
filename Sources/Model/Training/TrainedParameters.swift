package import Engines
package import Settings
import LinearAlgebra
package import Multipliers

/// How the numbers that are trained become weights, and how a loss comes back to them. What is learned from, rows and
/// their rewards, knows nothing of it, and it nothing of them.
package protocol TrainedParameters {
  var model: any Engine { get }
  /// The base: what training begins with.
  var start: [Float] { get }
  /// What a decay of the weights pulls every number towards.
  var origin: Float { get }
  /// How many numbers change.
  var trainedCount: Int { get }
  /// Those of one matrix each, where a training may choose some of each.
  var groups: [Range<Int>] { get }

  func view(at parameters: [Float]) -> WeightView

  /// Scores items and keeps what a gradient needs, and how far from the base they are where that is asked for.
  /// - Parameter temperature: of the model and of the base that it is compared with.
  func record(
    _ items: [ScoringItem], at parameters: [Float], temperature: Float, divergence: DivergenceDirection?,
    gradientFollows: Bool, shouldStop: () -> Bool
  ) throws(EngineError) -> any GradientRecord

  /// dL/d parameters, 0 where one is not trained; see ``GradientRecord/gradient(_:divergenceWeight:fromLayer:priority:shouldStop:)``.
  func gradient(
    _ tape: any GradientRecord, _ derivatives: [[[Float]]], divergenceWeight: Float, at parameters: [Float],
    shouldStop: () -> Bool
  ) throws(EngineError) -> [Float]
}

/// SVF: the multipliers of the singular values, or their logits, flat by the model's layout.
package struct TrainedMultipliers: TrainedParameters {
  package let model: any Engine
  private let space: ParameterSpace
  private let isTrained: [Bool]
  private let lowestLayer: Int
  package let groups: [Range<Int>]
  package let trainedCount: Int

  /// Of the mask, so that a logit of 0 is a multiplier of exactly 1, the base, and none leaves 0 to 2.
  package static let maximumMultiplier: Float = 2

  /// - Parameters:
  ///   - matrices: the numbers of those that are trained.
  ///   - largest: how many of each, those of the largest singular values; nil: all.
  ///   - chosen: how many of these the training chooses; nil: all.
  package init(
    _ model: any Engine, space: ParameterSpace = .multiplier, matrices: [Int], largest: Int? = nil,
    chosen: Int? = nil
  ) {
    self.model = model
    self.space = space
    var isTrained = [Bool](repeating: false, count: model.layout.count)
    groups = matrices.map { matrix in
      let range = model.layout.range(of: matrix)
      return range.lowerBound..<min(range.upperBound, range.lowerBound + min(range.count, largest ?? .max))
    }
    for i in groups.joined() { isTrained[i] = true }
    self.isTrained = isTrained
    trainedCount = groups.reduce(0) { $0 + min($1.count, chosen ?? .max) }
    lowestLayer = matrices.compactMap { model.layout.matrices[$0].layer }.min() ?? 0
  }

  package var start: [Float] { [Float](repeating: origin, count: model.layout.count) }
  package var origin: Float { space == .logit ? 0 : 1 }

  package func view(at parameters: [Float]) -> WeightView { .factored(vector(parameters)) }

  private func vector(_ parameters: [Float]) -> MultiplierVector {
    MultiplierVector(multipliers(from: parameters, space: space, maximumMultiplier: Self.maximumMultiplier))
  }

  package func record(
    _ items: [ScoringItem], at parameters: [Float], temperature: Float, divergence: DivergenceDirection?,
    gradientFollows: Bool, shouldStop: () -> Bool
  ) throws(EngineError) -> any GradientRecord {
    try model.record(
      items, under: vector(parameters), temperature: temperature, divergence: divergence,
      gradientFollows: gradientFollows, priority: .job, shouldStop: shouldStop)
  }

  package func gradient(
    _ tape: any GradientRecord, _ derivatives: [[[Float]]], divergenceWeight: Float, at parameters: [Float],
    shouldStop: () -> Bool
  ) throws(EngineError) -> [Float] {
    let gradient = try tape.gradient(
      derivatives, divergenceWeight: divergenceWeight, fromLayer: lowestLayer, priority: .job, shouldStop: shouldStop)
    let back = gradientBeforeMask(gradient, at: parameters, space: space, maximumMultiplier: Self.maximumMultiplier)
    return zip(back, isTrained).map { $1 ? $0 : 0 }
  }
}
