internal import ModelFormats

/// A configuration as the passes use it: dimensions, where a layer's matrices lie, and which windows there are.
package struct ModelShape: Sendable, Equatable {
  /// What is not repeated here: norms, activation, scales, rotations.
  let configuration: ModelConfiguration
  package let layers: Int
  package let hidden: Int
  package let intermediate: Int
  package let heads: Int
  package let keyValueHeads: Int
  package let headDimension: Int
  package let vocabulary: Int
  /// Positions that sequences may have: those of the configuration, or what rotary tables are made for.
  package let context: Int
  package let epsilon: Float

  let headStage: Stage
  let outputStage: Stage
  let gateUpStage: Stage
  let downStage: Stage
  /// Target matrices of a layer, over all stages.
  let matrices: [Stage.Matrix]
  /// Floats of one layer's matrices, and of those that are factored.
  package let layerSize: Int
  let factoredLayerSize: Int

  /// Query heads that share one key and value head.
  let group: Int
  /// Columns of the attention's output.
  let queryWidth: Int
  let keyWidth: Int
  /// Head-sized pieces of one row's queries, keys and values together.
  let headUnits: Int

  /// The different windows of the layers, nil among them where a layer sees all that comes before; and by layer its
  /// window's number. A window that holds the context is none.
  let windows: [Int?]
  let windowOfLayer: [Int]

  init(_ configuration: ModelConfiguration, contextLimit: Int) {
    self.configuration = configuration
    layers = configuration.layers
    hidden = configuration.hidden
    intermediate = configuration.intermediate
    heads = configuration.heads
    keyValueHeads = configuration.kvHeads
    headDimension = configuration.headDim
    vocabulary = configuration.vocabulary
    let context = min(configuration.contextLength, contextLimit)
    self.context = context
    epsilon = configuration.rmsEpsilon

    var (number, offset) = (0, 0)
    func stage(_ kind: Stage.Kind) -> Stage {
      let stage = Stage(kind, configuration, firstNumber: number, offset: offset)
      number += stage.matrices.count
      offset += stage.factoredSize
      return stage
    }
    headStage = stage(.heads)
    outputStage = stage(.output)
    gateUpStage = stage(.gateUp)
    downStage = stage(.down)
    matrices = headStage.matrices + outputStage.matrices + gateUpStage.matrices + downStage.matrices
    factoredLayerSize = offset
    layerSize = [headStage, outputStage, gateUpStage, downStage].reduce(0) { $0 + $1.size }

    group = heads / keyValueHeads
    queryWidth = heads * headDimension
    keyWidth = keyValueHeads * headDimension
    headUnits = heads + 2 * keyValueHeads

    var windows: [Int?] = []
    var windowOfLayer: [Int] = []
    for attention in configuration.attention {
      let window = attention.window.flatMap { $0 < context ? $0 : nil }
      let known = windows.firstIndex { $0 == window }
      windowOfLayer.append(known ?? windows.count)
      if known == nil { windows.append(window) }
    }
    self.windows = windows
    self.windowOfLayer = windowOfLayer
  }

  var lastWindow: Int? { windows[windowOfLayer[layers - 1]] }

  var stages: [Stage] { [headStage, outputStage, gateUpStage, downStage] }

  /// The number of a target matrix in the model's layout.
  func index(_ layer: Int, _ matrix: Stage.Matrix) -> Int { layer * matrices.count + matrix.number }

  /// The matrix of a number in the model's layout.
  func matrix(_ index: Int) -> Stage.Matrix { matrices[index % matrices.count] }

  /// Columns of the widest intermediate of the factored form.
  var widestFactors: Int { stages.map(\.factors).max() ?? 0 }
}
