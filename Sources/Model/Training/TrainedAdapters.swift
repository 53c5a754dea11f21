package import Settings
import LinearAlgebra
import Multipliers
import Search
package import Engines
package import Transformer

/// LoRA on queries, keys or values, to compare SVF with (arXiv:2501.06252, tables 1 and 4): trained and scored by the same
/// rules on the same rows, and neither stored as an expert nor served.
package struct TrainedAdapters: TrainedParameters {
  private let languageModel: LanguageModel
  package var model: any Engine { languageModel }
  package let start: [Float]
  private let layout: LowRankLayout
  private let lowestLayer: Int

  /// Told apart from the streams of ``RowOrder``.
  private static let stream: UInt32 = 0x4C52_0000

  /// - Parameter matrices: ascending numbers of queries', keys' or values' matrices.
  package init(_ model: LanguageModel, rank: Int, matrices: [Int], seed: UInt64) {
    languageModel = model
    let layout = LowRankLayout(rank: rank, matrices: matrices, of: model)
    self.layout = layout
    lowestLayer = matrices.compactMap { model.layout.matrices[$0].layer }.min() ?? 0
    // As is common: A uniform within 1 / √n, B zero, which is the base.
    let random = Philox(seed: seed)
    var start = [Float](repeating: 0, count: layout.count)
    for (number, matrix) in matrices.enumerated() {
      let bound = 1 / Double(model.layout.matrices[matrix].columns).squareRoot()
      for place in layout.ranges(of: number).a {
        let (unit, _) = random.uniforms([Self.stream, UInt32(truncatingIfNeeded: place), 0, 0])
        start[place] = Float((2 * unit - 1) * bound)
      }
    }
    self.start = start
  }

  package var origin: Float { 0 }
  package var trainedCount: Int { layout.count }
  /// Nothing is chosen of them.
  package var groups: [Range<Int>] { [] }

  package func view(at parameters: [Float]) -> WeightView {
    .lowRank(LowRankWeights([(LowRankAdapters(layout, parameters: parameters), 1)], model: languageModel))
  }

  /// The mean of A and B, weighted: what averaging two LoRAs file by file does, cross products of one's B and the other's
  /// A included.
  package func view(averaging first: [Float], _ second: [Float], share: Float) -> WeightView {
    view(at: zip(first, second).map { (1 - share) * $0 + share * $1 })
  }

  /// The mean of the additions B A, weighted: between the two models in a straight line.
  package func view(adding first: [Float], _ second: [Float], share: Float) -> WeightView {
    .lowRank(
      LowRankWeights(
        [
          (LowRankAdapters(layout, parameters: first), 1 - share),
          (LowRankAdapters(layout, parameters: second), share),
        ], model: languageModel))
  }

  package func record(
    _ items: [ScoringItem], at parameters: [Float], temperature: Float, divergence: DivergenceDirection?,
    gradientFollows: Bool, shouldStop: () -> Bool
  ) throws(EngineError) -> any GradientRecord {
    try languageModel.record(
      items, under: .ones(languageModel.layout.count), adding: LowRankAdapters(layout, parameters: parameters),
      temperature: temperature, divergence: divergence,
      memory: gradientFollows ? GradientTape.standardMemory : 0, priority: .job, shouldStop: shouldStop)
  }

  package func gradient(
    _ tape: any GradientRecord, _ derivatives: [[[Float]]], divergenceWeight: Float, at parameters: [Float],
    shouldStop: () -> Bool
  ) throws(EngineError) -> [Float] {
    guard let tape = tape as? GradientTape else { preconditionFailure("LoRA is trained by the built-in engine alone") }
    return try tape.adapterGradient(
      derivatives, divergenceWeight: divergenceWeight, fromLayer: lowestLayer, priority: .job, shouldStop: shouldStop)
  }
}
