internal import LinearAlgebra
internal import SVF

// The products of a recorded pass, all in this file, in both forms (FactoredForm) both ways. Forward they are those of
// ForwardPass+Stages, and the components p, before the multipliers, are kept. On the way back, with dL/ds = Σ p ⊙ q over
// the rows in every case:
//
//     phase     products, left     right             weights, left           right
//     first     q = Qᵀ dy          q = Bᵀ dy         q = Qᵀ dy               z = Wᵀ dy
//     second                                       z = dy + Q t            q = Qᵀ z
//     inputs    dx = Aᵀ t          dx = Q t          dx = Wᵀ z               dx = z + Q t
//
// where t = s ⊙ q with products, and (s − 1) ⊙ q with weights. On either side q, t and z are r wide for a matrix: t and z
// lie in `factors` and `between` of the space. A matrix that is not factored has y = W x and dx = Wᵀ dy.
extension RecordedPass {
  private var table: MultiplierTable { factored.table }
  private var form: FactoredForm { factored.form }

  /// (rows, inputs)
  private func input(_ stage: Stage) -> FloatBuffer {
    switch stage.kind {
    case .heads, .gateUp: space.normed
    case .output: space.attended
    case .down: space.activated
    }
  }

  /// p, (rows, the stage's factors)
  private func components(_ layer: Int, _ stage: Stage) -> UnsafeMutablePointer<Float> {
    switch stage.kind {
    case .heads: unsafe record(layer).headFactors
    case .output: unsafe record(layer).outputFactors
    case .gateUp: unsafe record(layer).gateUpFactors
    case .down: unsafe record(layer).downFactors
    }
  }

  /// Each matrix that has some of a tile's components, with them and the place of the first in rows of the stage's factors.
  private func forEachMatrix(
    _ layer: Int, _ stage: Stage, _ tile: RecordTile,
    _ body: (Stage.Matrix, FactoredMatrix, _ components: Range<Int>, _ corner: Int) -> Void
  ) {
    for matrix in stage.matrices {
      let part = tile.columns.clamped(to: matrix.factors)
      guard !part.isEmpty else { continue }
      let first = part.lowerBound - matrix.factors.lowerBound
      body(
        matrix, table.factorization[shape.index(layer, matrix)], first..<first + part.count,
        tile.rows.lowerBound * stage.factors + part.lowerBound)
    }
  }

  /// s or s − 1 of a matrix, as the form wants it.
  private func multipliers(_ layer: Int, _ matrix: Stage.Matrix) -> UnsafePointer<Float> {
    let index = shape.index(layer, matrix)
    return unsafe form == .products ? table.values(0, index) : table.differences(0, index)
  }

  /// Where a matrix's part of the rows of an intermediate begins.
  private func place(
    _ buffer: FloatBuffer, _ stage: Stage, _ matrix: Stage.Matrix, _ tile: RecordTile
  ) -> UnsafeMutablePointer<Float> {
    unsafe buffer.pointer + tile.rows.lowerBound * stage.factors + matrix.factors.lowerBound
  }

  // MARK: Forward

  /// What comes before the outputs of a stage.
  /// - Parameter tiles: by the stage's components.
  func beforeOutputs(_ layer: Int, _ stage: Stage, _ tiles: [RecordTile]) -> [Phase] {
    let products = phase(tiles) { [self] tile, scratch in first(layer, stage, tile, scratch) }
    guard form == .weights else { return [products] }
    return [products, phase(tiles) { [self] tile, scratch in second(layer, stage, tile, scratch) }]
  }

  private func first(_ layer: Int, _ stage: Stage, _ tile: RecordTile, _ scratch: Scratch) {
    forEachMatrix(layer, stage, tile) { matrix, f, range, corner in
      let x = unsafe input(stage).pointer + tile.rows.lowerBound * stage.inputs
      let p = unsafe components(layer, stage) + corner
      switch (form, f.side) {
      case (.products, .left):
        unsafe f.multiplyProduct(
          range, rows: tile.rows.count, x: x, xStride: stage.inputs, to: p, yStride: stage.factors)
        scale(layer, stage, matrix, tile, range, corner)
      case (.products, .right), (.weights, .right):
        unsafe f.project(
          range, rows: tile.rows.count, x: x, xStride: stage.inputs, to: p, yStride: stage.factors, scratch)
        scale(layer, stage, matrix, tile, range, corner)
      case (.weights, .left):
        let first = matrix.outputs.lowerBound
        unsafe weights.multiply(
          layer, stage, outputs: first + range.lowerBound..<first + range.upperBound, rows: tile.rows.count, x: x,
          xStride: stage.inputs, to: space.between.pointer + corner, yStride: stage.factors, scratch)
      }
    }
  }

  private func second(_ layer: Int, _ stage: Stage, _ tile: RecordTile, _ scratch: Scratch) {
    forEachMatrix(layer, stage, tile) { matrix, f, range, corner in
      let z = unsafe space.between.pointer + corner
      switch f.side {
      case .left:
        unsafe f.project(
          range, rows: tile.rows.count, x: place(space.between, stage, matrix, tile), xStride: stage.factors,
          to: components(layer, stage) + corner, yStride: stage.factors, scratch)
        scale(layer, stage, matrix, tile, range, corner)
      case .right:
        let x = unsafe input(stage).pointer + tile.rows.lowerBound * stage.inputs + range.lowerBound
        unsafe put(
          x, stride: stage.inputs, into: z, stride: stage.factors, rows: tile.rows.count, count: range.count,
          accumulate: false)
        unsafe f.expand(
          range, rows: tile.rows.count, t: place(space.factors, stage, matrix, tile), tStride: stage.factors, to: z,
          yStride: stage.factors, accumulate: true, scratch)
      }
    }
  }

  /// t = s ⊙ p or (s − 1) ⊙ p.
  private func scale(
    _ layer: Int, _ stage: Stage, _ matrix: Stage.Matrix, _ tile: RecordTile, _ range: Range<Int>, _ corner: Int
  ) {
    let s = unsafe multipliers(layer, matrix) + range.lowerBound
    for row in 0..<tile.rows.count {
      let place = corner + row * stage.factors
      unsafe multiplyElements(
        space.factors.pointer + place, components(layer, stage) + place, by: s, count: range.count)
    }
  }

  /// y (+)= the outputs of a stage for some rows, and the bias.
  func outputs(
    _ layer: Int, _ stage: Stage, rows: Range<Int>, outputs: Range<Int>, to y: UnsafeMutablePointer<Float>, stride: Int,
    accumulate: Bool = false, _ scratch: Scratch
  ) {
    for matrix in stage.matrices {
      let part = outputs.clamped(to: matrix.outputs)
      guard !part.isEmpty else { continue }
      guard matrix.isFactored else {
        unsafe weights.multiply(
          layer, stage, outputs: part, rows: rows.count, x: input(stage).pointer + rows.lowerBound * stage.inputs,
          xStride: stage.inputs, to: y + (part.lowerBound - outputs.lowerBound), yStride: stride,
          accumulate: accumulate, scratch)
        continue
      }
      let corner = rows.lowerBound * stage.factors + matrix.factors.lowerBound
      unsafe weights.finish(
        form, table.factorization[shape.index(layer, matrix)], layer, stage, matrix, outputs: part, rows: rows.count,
        t: space.factors.pointer + corner, z: space.between.pointer + corner,
        to: y + (part.lowerBound - outputs.lowerBound), stride: stride, accumulate: accumulate, scratch)
    }
    guard let bias = unsafe weights.bias(layer, stage) else { return }
    for row in 0..<rows.count {
      unsafe addElements(y + row * stride, bias + outputs.lowerBound, count: outputs.count)
    }
  }

  /// Of a tile; y is (rows, `stride`).
  func outputs(
    _ layer: Int, _ stage: Stage, _ tile: RecordTile, to y: UnsafeMutablePointer<Float>, stride: Int,
    accumulate: Bool = false, _ scratch: Scratch
  ) {
    unsafe outputs(
      layer, stage, rows: tile.rows, outputs: tile.columns,
      to: y + tile.rows.lowerBound * stride + tile.columns.lowerBound, stride: stride, accumulate: accumulate, scratch)
  }

  // MARK: Backward

  /// What comes before the gradient of a stage's inputs; p ⊙ q over the rows of a tile is added to dL/ds.
  /// - Parameters:
  ///   - tiles: by the stage's components.
  ///   - dy: (rows, the stage's outputs)
  func beforeInputs(
    _ layer: Int, _ stage: Stage, _ tiles: [RecordTile], dy: FloatBuffer, _ state: BackwardState
  ) -> [Phase] {
    let first = phase(tiles) { [self] tile, scratch in firstBack(layer, stage, tile, dy: dy, state, scratch) }
    guard form == .weights else { return [first] }
    return [
      first, phase(tiles) { [self] tile, scratch in secondBack(layer, stage, tile, dy: dy, state, scratch) },
    ]
  }

  private func firstBack(
    _ layer: Int, _ stage: Stage, _ tile: RecordTile, dy: FloatBuffer, _ state: BackwardState, _ scratch: Scratch
  ) {
    forEachMatrix(layer, stage, tile) { matrix, f, range, corner in
      let dy = unsafe dy.pointer + tile.rows.lowerBound * stage.outputs + matrix.outputs.lowerBound
      let q = unsafe space.factors.pointer + corner
      switch (form, f.side) {
      case (.products, .left), (.weights, .left):
        unsafe f.project(
          range, rows: tile.rows.count, x: dy, xStride: stage.outputs, to: q, yStride: stage.factors, scratch)
        accumulate(layer, stage, matrix, tile, range, corner, state)
      case (.products, .right):
        unsafe f.multiplyProductBack(
          range, rows: tile.rows.count, x: dy, xStride: stage.outputs, to: q, yStride: stage.factors)
        accumulate(layer, stage, matrix, tile, range, corner, state)
      case (.weights, .right):
        unsafe weights.multiplyBack(
          layer, stage, matrix, inputs: range, rows: tile.rows.count, dy: dy, dyStride: stage.outputs,
          to: space.between.pointer + corner, dxStride: stage.factors, scratch)
      }
    }
  }

  private func secondBack(
    _ layer: Int, _ stage: Stage, _ tile: RecordTile, dy: FloatBuffer, _ state: BackwardState, _ scratch: Scratch
  ) {
    forEachMatrix(layer, stage, tile) { matrix, f, range, corner in
      switch f.side {
      case .left:
        let z = unsafe space.between.pointer + corner
        let first = matrix.outputs.lowerBound + range.lowerBound
        unsafe put(
          dy.pointer + tile.rows.lowerBound * stage.outputs + first, stride: stage.outputs, into: z,
          stride: stage.factors, rows: tile.rows.count, count: range.count, accumulate: false)
        unsafe f.expand(
          range, rows: tile.rows.count, t: place(space.factors, stage, matrix, tile), tStride: stage.factors, to: z,
          yStride: stage.factors, accumulate: true, scratch)
      case .right:
        unsafe f.project(
          range, rows: tile.rows.count, x: place(space.between, stage, matrix, tile), xStride: stage.factors,
          to: space.factors.pointer + corner, yStride: stage.factors, scratch)
        accumulate(layer, stage, matrix, tile, range, corner, state)
      }
    }
  }

  /// dL/ds += p ⊙ q, and t = s ⊙ q or (s − 1) ⊙ q.
  private func accumulate(
    _ layer: Int, _ stage: Stage, _ matrix: Stage.Matrix, _ tile: RecordTile, _ range: Range<Int>, _ corner: Int,
    _ state: BackwardState
  ) {
    let s = unsafe multipliers(layer, matrix) + range.lowerBound
    let place = tile.part * state.count + table.offset(shape.index(layer, matrix)) + range.lowerBound
    for row in 0..<tile.rows.count {
      let corner = corner + row * stage.factors
      unsafe accumulateGradient(
        state.partial.pointer + place, p: components(layer, stage) + corner, q: space.factors.pointer + corner,
        multipliers: s, count: range.count)
    }
  }

  /// dx of the tile's inputs, (rows, inputs), summed over the stage's matrices.
  /// - Parameter dy: (rows, the stage's outputs), as for what comes before.
  func inputs(
    _ layer: Int, _ stage: Stage, _ tile: RecordTile, dy: FloatBuffer, to dx: UnsafeMutablePointer<Float>,
    _ scratch: Scratch
  ) {
    let y = unsafe dx + tile.rows.lowerBound * stage.inputs + tile.columns.lowerBound
    for matrix in stage.matrices {
      let isLater = matrix.outputs.lowerBound > 0
      guard matrix.isFactored else {
        unsafe weights.multiplyBack(
          layer, stage, matrix, inputs: tile.columns, rows: tile.rows.count,
          dy: dy.pointer + tile.rows.lowerBound * stage.outputs + matrix.outputs.lowerBound, dyStride: stage.outputs,
          to: y, dxStride: stage.inputs, accumulate: isLater, scratch)
        continue
      }
      let f = table.factorization[shape.index(layer, matrix)]
      let t = unsafe place(space.factors, stage, matrix, tile)
      let z = unsafe place(space.between, stage, matrix, tile)
      switch (form, f.side) {
      case (.products, .left):
        unsafe f.multiplyProductBack(
          tile.columns, rows: tile.rows.count, x: t, xStride: stage.factors, to: y, yStride: stage.inputs,
          accumulate: isLater)
      case (.products, .right):
        unsafe f.expand(
          tile.columns, rows: tile.rows.count, t: t, tStride: stage.factors, to: y, yStride: stage.inputs,
          accumulate: isLater, scratch)
      case (.weights, .left):
        unsafe weights.multiplyBack(
          layer, stage, matrix, inputs: tile.columns, rows: tile.rows.count, dy: z, dyStride: stage.factors, to: y,
          dxStride: stage.inputs, accumulate: isLater, scratch)
      case (.weights, .right):
        unsafe put(
          z + tile.columns.lowerBound, stride: stage.factors, into: y, stride: stage.inputs, rows: tile.rows.count,
          count: tile.columns.count, accumulate: isLater)
        unsafe f.expand(
          tile.columns, rows: tile.rows.count, t: t, tStride: stage.factors, to: y, yStride: stage.inputs,
          accumulate: true, scratch)
      }
    }
  }
}
