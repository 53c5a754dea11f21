internal import LinearAlgebra

// Products with the weights: the only way for a pass to reach the matrices. Strides are distances between rows; all run on a
// compute thread, whose scratch they use (``ScratchSlot/widened``).
extension ModelWeights {
  /// y (rows, outputs) = x (rows, the stage's inputs) Wᵀ, or y +=, for some outputs of a stage.
  func multiply(
    _ layer: Int, _ stage: Stage, outputs: Range<Int>, rows: Int, x: UnsafePointer<Float>, xStride: Int,
    to y: UnsafeMutablePointer<Float>, yStride: Int, accumulate: Bool = false, _ scratch: Scratch
  ) {
    for matrix in stage.matrices {
      let part = outputs.clamped(to: matrix.outputs)
      guard !part.isEmpty else { continue }
      let stored = unsafe self.matrix(shape.index(layer, matrix))
      unsafe multiplyTransposed(
        rows: rows, columns: part.count, inner: stage.inputs, x: x, xStride: xStride,
        weights: stored.from(part.lowerBound - matrix.outputs.lowerBound),
        y: y + (part.lowerBound - outputs.lowerBound), yStride: yStride, accumulate: accumulate, scratch: scratch)
    }
  }

  /// dx (rows, inputs) = dy (rows, the matrix's outputs) W, or dx +=, for some inputs of a matrix.
  func multiplyBack(
    _ layer: Int, _ stage: Stage, _ matrix: Stage.Matrix, inputs: Range<Int>, rows: Int, dy: UnsafePointer<Float>,
    dyStride: Int, to dx: UnsafeMutablePointer<Float>, dxStride: Int, accumulate: Bool = false, _ scratch: Scratch
  ) {
    unsafe Transformer.multiply(
      rows: rows, columns: inputs, inner: matrix.outputs.count, x: dy, xStride: dyStride,
      matrix: self.matrix(shape.index(layer, matrix)), width: stage.inputs, y: dx, yStride: dxStride,
      accumulate: accumulate, scratch: scratch)
  }

  /// y (rows, tokens): what some tokens of the vocabulary get from inputs of the head, (rows, hidden).
  func logits(
    of input: UnsafePointer<Float>, rows: Int, tokens: Range<Int>, _ form: LogitForm, to y: UnsafeMutablePointer<Float>,
    stride: Int, _ scratch: Scratch
  ) {
    unsafe multiplyTransposed(
      rows: rows, columns: tokens.count, inner: shape.hidden, x: input, xStride: shape.hidden,
      weights: head.from(tokens.lowerBound), y: y, yStride: stride, scratch: scratch)
    unsafe form.apply(y, rows: rows, columns: tokens.count, stride: stride)
  }

  /// Back through the head: dx (rows, some of hidden) from dL of all logits, (rows, vocabulary).
  func logitsBack(
    _ gradient: UnsafePointer<Float>, rows: Int, inputs: Range<Int>, to dx: UnsafeMutablePointer<Float>, dxStride: Int,
    _ scratch: Scratch
  ) {
    unsafe Transformer.multiply(
      rows: rows, columns: inputs, inner: shape.vocabulary, x: gradient, xStride: shape.vocabulary, matrix: head,
      width: shape.hidden, y: dx, yStride: dxStride, scratch: scratch)
  }
}
