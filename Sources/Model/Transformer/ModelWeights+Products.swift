internal import LinearAlgebra

// Products with the weights of a layer: the only way for a pass to reach them.
extension ModelWeights {
  /// y (rows, outputs) = x (rows, the stage's inputs) Wᵀ, or y +=, for some outputs of a stage. Strides are distances
  /// between rows. On a compute thread, whose scratch it uses (``ScratchSlot/widened``).
  func multiply(
    _ layer: Int, _ stage: Stage, outputs: Range<Int>, rows: Int, x: UnsafePointer<Float>, xStride: Int,
    to y: UnsafeMutablePointer<Float>, yStride: Int, accumulate: Bool = false, _ scratch: Scratch
  ) {
    unsafe multiplyTransposed(
      rows: rows, columns: outputs.count, inner: stage.inputs, x: x, xStride: xStride,
      weights: self.layer(layer) + stage.offset + outputs.lowerBound * stage.inputs, y: y, yStride: yStride,
      accumulate: accumulate)
  }

  /// dx (rows, inputs) = dy (rows, the matrix's outputs) W, or dx +=, for some inputs of a matrix.
  func multiplyBack(
    _ layer: Int, _ stage: Stage, _ matrix: Stage.Matrix, inputs: Range<Int>, rows: Int, dy: UnsafePointer<Float>,
    dyStride: Int, to dx: UnsafeMutablePointer<Float>, dxStride: Int, accumulate: Bool = false, _ scratch: Scratch
  ) {
    let w = unsafe self.layer(layer) + stage.offset + matrix.outputs.lowerBound * stage.inputs + inputs.lowerBound
    unsafe Transformer.multiply(
      rows: rows, columns: inputs.count, inner: matrix.outputs.count, x: dy, xStride: dyStride, matrix: w,
      matrixStride: stage.inputs, y: dx, yStride: dxStride, accumulate: accumulate)
  }
}
