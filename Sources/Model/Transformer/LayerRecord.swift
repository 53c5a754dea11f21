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
    [
      rows * (shape.rank(.query) + shape.rank(.key) + shape.rank(.value)),
      rows * shape.queryWidth, rows * shape.keyWidth, rows * shape.keyWidth,
      rest * shape.rank(.output), rest * shape.hidden, rest * (shape.rank(.gate) + shape.rank(.up)),
      rest * shape.intermediate, rest * shape.intermediate, rest * shape.rank(.down),
      // Each begins at a cache line.
    ].map { ($0 + 15) & ~15 }
  }

  static func byteCount(shape: ModelShape, rows: Int, rest: Int) -> Int {
    parts(shape, rows: rows, rest: rest).reduce(0, +) * MemoryLayout<Float>.stride
  }

  /// (rows, ranks of q, k and v)
  var headFactors: UnsafeMutablePointer<Float> { unsafe buffer.pointer }
  /// Rotated: (key head, row, head of the group, component), and (key head, row, component).
  var queries: UnsafeMutablePointer<Float> { unsafe buffer.pointer + offsets[1] }
  var keys: UnsafeMutablePointer<Float> { unsafe buffer.pointer + offsets[2] }
  var values: UnsafeMutablePointer<Float> { unsafe buffer.pointer + offsets[3] }
  /// (rest, rank)
  var outputFactors: UnsafeMutablePointer<Float> { unsafe buffer.pointer + offsets[4] }
  /// (rest, hidden): the stream between attention and MLP.
  var middle: UnsafeMutablePointer<Float> { unsafe buffer.pointer + offsets[5] }
  /// (rest, ranks of gate and up)
  var gateFactors: UnsafeMutablePointer<Float> { unsafe buffer.pointer + offsets[6] }
  /// (rest, intermediate), before the activation.
  var gate: UnsafeMutablePointer<Float> { unsafe buffer.pointer + offsets[7] }
  var up: UnsafeMutablePointer<Float> { unsafe buffer.pointer + offsets[8] }
  /// (rest, rank)
  var downFactors: UnsafeMutablePointer<Float> { unsafe buffer.pointer + offsets[9] }
}

/// The memory that all layers of a recorded pass work in, one after the other. Mapped lazily: the gradients cost nothing
/// while the pass goes forward.
final class RecordSpace: Sendable {
  // Forward.
  let normed: FloatBuffer  // (rows, hidden)
  /// (rows, widest factored intermediate): s ⊙ p on the way forward, s ⊙ q on the way back.
  let factors: FloatBuffer
  let attended: FloatBuffer  // (rest, heads x components), its gradient on the way back
  let activated: FloatBuffer  // (rest, intermediate), and d up on the way back
  // Backward.
  let gateGradient: FloatBuffer  // (rest, intermediate)
  let hiddenGradient: FloatBuffer  // (rows, hidden): of a norm's output
  let headGradient: FloatBuffer  // (rows, head units x components): of q, k, v before their rotation
  let outGradient: FloatBuffer  // (key head, row, head of the group, component): of the attention's output, by head
  let probabilities: FloatBuffer  // (key head, block, row x group, key)
  let scoreGradient: FloatBuffer  // likewise

  init(shape: ModelShape, rows: Int, scores: Int) {
    normed = FloatBuffer(count: rows * shape.hidden)
    factors = FloatBuffer(count: rows * shape.widestFactors)
    attended = FloatBuffer(count: rows * shape.queryWidth)
    activated = FloatBuffer(count: rows * shape.intermediate)
    gateGradient = FloatBuffer(count: rows * shape.intermediate)
    hiddenGradient = FloatBuffer(count: rows * shape.hidden)
    headGradient = FloatBuffer(count: rows * shape.headUnits * shape.headDimension)
    outGradient = FloatBuffer(count: rows * shape.queryWidth)
    probabilities = FloatBuffer(count: scores)
    scoreGradient = FloatBuffer(count: scores)
  }
}
