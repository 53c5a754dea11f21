internal import LinearAlgebra
internal import SVF

// The products of a recorded pass, all in this file, in factored form both ways. For y = Q (s ⊙ (A x)) + b: p = A x,
// q = Qᵀ dy, dL/ds = Σ p ⊙ q over the rows, dx = Aᵀ (s ⊙ q); for y = B (s ⊙ (Qᵀ x)) + b: p = Qᵀ x, q = Bᵀ dy, the same
// sum, dx = Q (s ⊙ q).
extension RecordedPass {
  /// The first half: p into `target`, and s ⊙ p into the factors of the space, which lie alike.
  /// - Parameter input: (rows, inputs)
  func project(
    _ layer: Int, _ stage: Stage, _ tile: RecordTile, input: UnsafePointer<Float>,
    to target: UnsafeMutablePointer<Float>
  ) {
    let stride = stage.factors
    for matrix in stage.matrices {
      let part = tile.columns.clamped(to: matrix.factors)
      guard !part.isEmpty else { continue }
      let index = shape.index(layer, matrix)
      let first = part.lowerBound - matrix.factors.lowerBound
      let corner = tile.rows.lowerBound * stride + part.lowerBound
      unsafe table.factorization[index].components(
        first..<first + part.count, of: input + tile.rows.lowerBound * stage.inputs, rows: tile.rows.count,
        y: target + corner, yStride: stride)
      let s = unsafe table.values(0, index) + first
      for row in 0..<tile.rows.count {
        let place = corner + row * stride
        unsafe multiplyElements(space.factors.pointer + place, target + place, by: s, count: part.count)
      }
    }
  }

  /// The second half for some rows and outputs: y (+)= Q or B times the factors, and the bias.
  func expand(
    _ layer: Int, _ stage: Stage, rows: Range<Int>, outputs: Range<Int>, to y: UnsafeMutablePointer<Float>, stride: Int,
    accumulate: Bool = false
  ) {
    for matrix in stage.matrices {
      let part = outputs.clamped(to: matrix.outputs)
      guard !part.isEmpty else { continue }
      let first = part.lowerBound - matrix.outputs.lowerBound
      let t = unsafe space.factors.pointer + rows.lowerBound * stage.factors + matrix.factors.lowerBound
      unsafe table.factorization[shape.index(layer, matrix)].outputs(
        first..<first + part.count, of: t, stride: stage.factors, rows: rows.count,
        y: y + (part.lowerBound - outputs.lowerBound), yStride: stride, accumulate: accumulate)
    }
    guard let bias = unsafe weights.bias(layer, stage) else { return }
    for row in 0..<rows.count {
      unsafe addElements(y + row * stride, bias + outputs.lowerBound, count: outputs.count)
    }
  }

  /// Of a tile; y is (rows, `stride`).
  func expand(
    _ layer: Int, _ stage: Stage, _ tile: RecordTile, to y: UnsafeMutablePointer<Float>, stride: Int,
    accumulate: Bool = false
  ) {
    unsafe expand(
      layer, stage, rows: tile.rows, outputs: tile.columns,
      to: y + tile.rows.lowerBound * stride + tile.columns.lowerBound, stride: stride, accumulate: accumulate)
  }

  /// Back through the second half: q, of which p ⊙ q over the tile's rows is added to dL/ds, and s ⊙ q is left in the
  /// factors of the space.
  /// - Parameter dy: (rows, the stage's outputs)
  func projectBack(
    _ layer: Int, _ stage: Stage, _ tile: RecordTile, dy: UnsafePointer<Float>, p: UnsafePointer<Float>,
    _ state: BackwardState
  ) {
    let stride = stage.factors
    for matrix in stage.matrices {
      let part = tile.columns.clamped(to: matrix.factors)
      guard !part.isEmpty else { continue }
      let index = shape.index(layer, matrix)
      let factored = table.factorization[index]
      let first = part.lowerBound - matrix.factors.lowerBound
      let corner = tile.rows.lowerBound * stride + part.lowerBound
      let q = unsafe space.factors.pointer + corner
      // Q (m, m) and B (m, n) both lie as (outputs, components).
      unsafe multiply(
        rows: tile.rows.count, columns: part.count, inner: matrix.outputs.count,
        x: dy + tile.rows.lowerBound * stage.outputs + matrix.outputs.lowerBound, xStride: stage.outputs,
        matrix: (factored.side == .left ? factored.q : factored.product) + first, matrixStride: matrix.rank, y: q,
        yStride: stride)
      let s = unsafe table.values(0, index) + first
      let sums = unsafe state.partial.pointer + tile.part * state.count + table.offset(index) + first
      for row in 0..<tile.rows.count {
        unsafe accumulateGradient(
          sums, p: p + corner + row * stride, q: q + row * stride, multipliers: s, count: part.count)
      }
    }
  }

  /// Back through the first half: dx of the tile's inputs, (rows, inputs), summed over the stage's matrices.
  func expandBack(_ layer: Int, _ stage: Stage, _ tile: RecordTile, to dx: UnsafeMutablePointer<Float>) {
    let y = unsafe dx + tile.rows.lowerBound * stage.inputs + tile.columns.lowerBound
    for matrix in stage.matrices {
      let factored = table.factorization[shape.index(layer, matrix)]
      let (rank, isFirst) = (matrix.rank, matrix.factors.lowerBound == 0)
      let q = unsafe space.factors.pointer + tile.rows.lowerBound * stage.factors + matrix.factors.lowerBound
      switch factored.side {
      case .left:
        unsafe multiply(
          rows: tile.rows.count, columns: tile.columns.count, inner: rank, x: q, xStride: stage.factors,
          matrix: factored.product + tile.columns.lowerBound, matrixStride: stage.inputs, y: y,
          yStride: stage.inputs, accumulate: !isFirst)
      case .right:
        unsafe multiplyTransposed(
          rows: tile.rows.count, columns: tile.columns.count, inner: rank, x: q, xStride: stage.factors,
          weights: factored.q + tile.columns.lowerBound * rank, y: y, yStride: stage.inputs, accumulate: !isFirst)
      }
    }
  }
}
