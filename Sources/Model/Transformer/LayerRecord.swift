internal import LinearAlgebra

/// What the backward pass of a layer reads besides the stream that came in: kept from the forward pass, or computed again
/// from the stream when the backward pass arrives at the layer.
///
/// One mapping, so that large pages back it. `rest` counts the rows behind the attention: all of them, or in the last
/// layer those that need logits. Factors are p = A x or Qᵀ x, before the multipliers: p itself is what the gradient needs,
/// and s may be 0.
final class LayerRecord: Sendable {
  private let buffer: FloatBuffer
  private let offsets: [Int]

  init(shape: ModelShape, rows: Int, rest: Int) {
    var offsets = [0]
    for part in Self.parts(shape, rows: rows, rest: rest) { offsets.append(offsets[offsets.count - 1] + part) }
    self.offsets = offsets
    buffer = FloatBuffer(count: offsets[offsets.count - 1])
  }

  private static func parts(_ shape: ModelShape, rows: Int, rest: Int) -> [Int] {
    let configuration = shape.configuration
    let normedHeads = configuration.hasHeadNorms ? shape.queryWidth + shape.keyWidth : 0
    let branch = configuration.norms == .around ? rest * shape.hidden : 0
    return [
      rows * shape.headStage.factors, rows * shape.queryWidth, rows * shape.keyWidth, rows * shape.keyWidth,
      rest * shape.outputStage.factors, rest * shape.hidden, rest * shape.gateUpStage.factors,
      rest * 2 * shape.intermediate, rest * shape.downStage.factors, rows * normedHeads, branch, branch,
      // Each begins at a cache line.
    ].map { ($0 + 15) & ~15 }
  }

  static func byteCount(shape: ModelShape, rows: Int, rest: Int) -> Int {
    parts(shape, rows: rows, rest: rest).reduce(0, +) * MemoryLayout<Float>.stride
  }

  /// (rows, components of q, k and v)
  var headFactors: UnsafeMutablePointer<Float> { unsafe buffer.pointer }
  /// Rotated: (key head, row, head of the group, component), and (key head, row, component).
  var queries: UnsafeMutablePointer<Float> { unsafe buffer.pointer + offsets[1] }
  var keys: UnsafeMutablePointer<Float> { unsafe buffer.pointer + offsets[2] }
  var values: UnsafeMutablePointer<Float> { unsafe buffer.pointer + offsets[3] }
  /// (rest, components)
  var outputFactors: UnsafeMutablePointer<Float> { unsafe buffer.pointer + offsets[4] }
  /// (rest, hidden): the stream between attention and MLP.
  var middle: UnsafeMutablePointer<Float> { unsafe buffer.pointer + offsets[5] }
  /// (rest, components of gate and up)
  var gateUpFactors: UnsafeMutablePointer<Float> { unsafe buffer.pointer + offsets[6] }
  /// (rest, 2 x intermediate): gate, before the activation, and up.
  var gateUp: UnsafeMutablePointer<Float> { unsafe buffer.pointer + offsets[7] }
  /// (rest, components)
  var downFactors: UnsafeMutablePointer<Float> { unsafe buffer.pointer + offsets[8] }
  /// (rows, heads and key heads x components): queries and keys before their norms, where they have any.
  var headInputs: UnsafeMutablePointer<Float> { unsafe buffer.pointer + offsets[9] }
  /// (rest, hidden): what attention and MLP give, where that is normed before it is added to the stream.
  var attentionBranch: UnsafeMutablePointer<Float> { unsafe buffer.pointer + offsets[10] }
  var mlpBranch: UnsafeMutablePointer<Float> { unsafe buffer.pointer + offsets[11] }
}

/// The memory that all layers of a recorded pass work in, one after the other. Mapped lazily: the gradients cost nothing
/// while the pass goes forward.
final class RecordSpace: Sendable {
  // Forward.
  let normed: FloatBuffer  // (rows, hidden)
  /// (rows, widest factored intermediate): s ⊙ p on the way forward, s ⊙ q on the way back, or with s − 1.
  let factors: FloatBuffer
  /// Likewise, with weights: what is W x, or an input of W, before it has all.
  let between: FloatBuffer
  let attended: FloatBuffer  // (rest, heads x components), its gradient on the way back
  let activated: FloatBuffer  // (rest, intermediate), its gradient on the way back
  // Backward.
  let gateUpGradient: FloatBuffer  // (rest, 2 x intermediate)
  /// (rows, hidden): of a norm's output; before that, of what a norm behind attention or MLP has read.
  let hiddenGradient: FloatBuffer
  let headGradient: FloatBuffer  // (rows, head units x components): of q, k, v before their rotation
  let outGradient: FloatBuffer  // (key head, row, head of the group, component): of the attention's output, by head
  let probabilities: FloatBuffer  // (key head, block, row x group, key)
  let scoreGradient: FloatBuffer  // likewise

  init(shape: ModelShape, rows: Int, scores: Int) {
    normed = FloatBuffer(count: rows * shape.hidden)
    factors = FloatBuffer(count: rows * shape.widestFactors)
    between = FloatBuffer(count: rows * shape.widestFactors)
    attended = FloatBuffer(count: rows * shape.queryWidth)
    activated = FloatBuffer(count: rows * shape.intermediate)
    gateUpGradient = FloatBuffer(count: rows * 2 * shape.intermediate)
    hiddenGradient = FloatBuffer(count: rows * shape.hidden)
    headGradient = FloatBuffer(count: rows * shape.headUnits * shape.headDimension)
    outGradient = FloatBuffer(count: rows * shape.queryWidth)
    probabilities = FloatBuffer(count: scores)
    scoreGradient = FloatBuffer(count: scores)
  }

  /// Of one that has been used for all that it is for.
  static func byteCount(shape: ModelShape, rows: Int, scores: Int) -> Int {
    let columns =
      2 * shape.hidden + 2 * shape.widestFactors + 2 * shape.queryWidth + 3 * shape.intermediate + shape.headUnits
      * shape.headDimension
    return (rows * columns + 2 * scores) * MemoryLayout<Float>.stride
  }

  var byteCount: Int {
    [
      normed, factors, between, attended, activated, gateUpGradient, hiddenGradient, headGradient, outGradient,
      probabilities, scoreGradient,
    ].reduce(0) { $0 + $1.count * MemoryLayout<Float>.stride }
  }
}
