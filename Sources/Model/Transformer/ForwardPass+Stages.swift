internal import LinearAlgebra
internal import SVF

// The products of a layer, all in this file. Dense rows have one, y = W x + b. Factored rows have up to three phases of them
// (see FactoredForm), all of which are shared whatever the number of vectors; only the elementwise products between them
// are each row's own. Rows whose vector leaves a matrix as it is see W, to the bit. Their readable twin forms W' itself:
// `NaiveDecoder.init(_:under:)` in Tests/Model/TransformerTests/NaiveDecoder.swift.
//
//     phase     products, left  right         weights, left          right
//     first     t = s ⊙ (A x)   t = s ⊙ (Qᵀ x)  z = W x                t = (s − 1) ⊙ (Qᵀ x)
//     second                                  t = (s − 1) ⊙ (Qᵀ z)   z = x + Q t
//     outputs   y = Q t         y = B t       y = z + Q t            y = W z
//
// With M = Q diag(s − 1) Qᵀ, where all factored rows see one vector: z = W x, y = z + M z, or z = x + M x, y = W z.
//
// On either side t and z are r wide for a matrix: they lie alike, in `factors` and `between` of the workspace.
extension ForwardPass {
  /// (rows, inputs)
  private func input(_ stage: Stage) -> FloatBuffer {
    switch stage.kind {
    case .heads, .gateUp: workspace.normed
    case .output: workspace.attended
    case .down: workspace.gate
    }
  }

  private var factoredRows: FactoredRows {
    guard let factored else { preconditionFailure("a forward pass has factored rows and no multipliers") }
    return factored
  }

  // MARK: Before the outputs

  /// The first products of factored rows, for the components that the tile counts.
  /// - Parameter views: of the rows that the tile counts.
  func first(_ layer: Int, _ stage: Stage, _ tile: Tile, _ views: [Int], _ scratch: Scratch) {
    forEachChanged(layer, stage, tile, views) { matrix, f, rows, components in
      let x = unsafe input(stage).pointer + rows.lowerBound * stage.inputs
      let t = unsafe place(workspace.factors, stage, matrix, rows) + components.lowerBound
      if let change = unsafe factoredRows.change(shape.index(layer, matrix)) {
        switch f.side {
        case .left: multiplyWeights(layer, stage, matrix, rows, components, scratch)
        case .right:
          let z = unsafe place(workspace.between, stage, matrix, rows) + components.lowerBound
          unsafe addChange(
            change, components, inner: f.rank, rows: rows.count, x: x, xStride: stage.inputs, to: z,
            yStride: stage.factors,
            accumulate: false, scratch)
        }
        return
      }
      switch (factoredRows.form, f.side) {
      case (.products, .left):
        unsafe f.multiplyProduct(
          components, rows: rows.count, x: x, xStride: stage.inputs, to: t, yStride: stage.factors)
        unsafe scale(t, layer, stage, matrix, rows, components, views)
      case (.products, .right), (.weights, .right):
        unsafe f.project(
          components, rows: rows.count, x: x, xStride: stage.inputs, to: t, yStride: stage.factors, scratch)
        unsafe scale(t, layer, stage, matrix, rows, components, views)
      case (.weights, .left):
        multiplyWeights(layer, stage, matrix, rows, components, scratch)
      }
    }
  }

  /// z = W x for some of the r outputs of a matrix on the left side.
  private func multiplyWeights(
    _ layer: Int, _ stage: Stage, _ matrix: Stage.Matrix, _ rows: Range<Int>, _ components: Range<Int>,
    _ scratch: Scratch
  ) {
    let first = matrix.outputs.lowerBound
    unsafe weights.multiply(
      layer, stage, outputs: first + components.lowerBound..<first + components.upperBound, rows: rows.count,
      x: input(stage).pointer + rows.lowerBound * stage.inputs, xStride: stage.inputs,
      to: place(workspace.between, stage, matrix, rows) + components.lowerBound, yStride: stage.factors, scratch)
  }

  /// y = x + M x, or y +=, for some of the r places.
  private func addChange(
    _ change: StoredRows, _ places: Range<Int>, inner: Int, rows: Int, x: UnsafePointer<Float>, xStride: Int,
    to y: UnsafeMutablePointer<Float>, yStride: Int, accumulate: Bool, _ scratch: Scratch
  ) {
    unsafe put(
      x + places.lowerBound, stride: xStride, into: y, stride: yStride, rows: rows, count: places.count,
      accumulate: accumulate)
    unsafe multiplyTransposed(
      rows: rows, columns: places.count, inner: inner, x: x, xStride: xStride,
      weights: change.from(places.lowerBound), y: y, yStride: yStride, accumulate: true, scratch: scratch)
  }

  /// Whether anything comes between the first products of a stage and its outputs.
  func hasSecond(_ layer: Int, _ stage: Stage) -> Bool {
    factoredRows.form == .weights
      && stage.matrices.contains { unsafe factoredRows.change(shape.index(layer, $0)) == nil }
  }

  /// What comes between.
  func second(_ layer: Int, _ stage: Stage, _ tile: Tile, _ views: [Int], _ scratch: Scratch) {
    forEachChanged(layer, stage, tile, views) { matrix, f, rows, components in
      guard unsafe factoredRows.change(shape.index(layer, matrix)) == nil else { return }
      let t = unsafe place(workspace.factors, stage, matrix, rows)
      let z = unsafe place(workspace.between, stage, matrix, rows)
      switch (factoredRows.form, f.side) {
      case (.products, _): break
      case (.weights, .left):
        unsafe f.project(
          components, rows: rows.count, x: z, xStride: stage.factors, to: t + components.lowerBound,
          yStride: stage.factors, scratch)
        unsafe scale(t + components.lowerBound, layer, stage, matrix, rows, components, views)
      case (.weights, .right):
        let x = unsafe input(stage).pointer + rows.lowerBound * stage.inputs
        unsafe put(
          x + components.lowerBound, stride: stage.inputs, into: z + components.lowerBound, stride: stage.factors,
          rows: rows.count, count: components.count, accumulate: false)
        unsafe f.expand(
          components, rows: rows.count, t: t, tStride: stage.factors, to: z + components.lowerBound,
          yStride: stage.factors, accumulate: true, scratch)
      }
    }
  }

  /// Each matrix that has some of a tile's components, with them and the rows whose vectors change it.
  private func forEachChanged(
    _ layer: Int, _ stage: Stage, _ tile: Tile, _ views: [Int],
    _ body: (Stage.Matrix, FactoredMatrix, _ rows: Range<Int>, _ components: Range<Int>) -> Void
  ) {
    for matrix in stage.matrices {
      let part = tile.columns.clamped(to: matrix.factors)
      guard !part.isEmpty else { continue }
      let index = shape.index(layer, matrix)
      let first = part.lowerBound - matrix.factors.lowerBound
      factoredRows.table.forEachRun(tile.rows, views, of: index) { run, isChanged in
        if isChanged { body(matrix, factoredRows.table.factorization[index], run, first..<first + part.count) }
      }
    }
  }

  /// Where a matrix's part of some rows of an intermediate begins; rows are the stage's factors apart.
  private func place(
    _ buffer: FloatBuffer, _ stage: Stage, _ matrix: Stage.Matrix, _ rows: Range<Int>
  ) -> UnsafeMutablePointer<Float> {
    unsafe buffer.pointer + rows.lowerBound * stage.factors + matrix.factors.lowerBound
  }

  /// t = s ⊙ t or (s − 1) ⊙ t, as the form wants it.
  private func scale(
    _ t: UnsafeMutablePointer<Float>, _ layer: Int, _ stage: Stage, _ matrix: Stage.Matrix, _ rows: Range<Int>,
    _ components: Range<Int>, _ views: [Int]
  ) {
    let (table, index) = (factoredRows.table, shape.index(layer, matrix))
    for row in rows {
      let s =
        unsafe factoredRows.form == .products ? table.values(views[row], index) : table.differences(views[row], index)
      unsafe scaleElements(
        t + (row - rows.lowerBound) * stage.factors, by: s + components.lowerBound, count: components.count)
    }
  }

  // MARK: Outputs

  /// y (+)= some outputs of a stage for some rows, bias and all.
  /// - Parameter views: of factored rows; nil for dense ones.
  func outputs(
    _ layer: Int, _ stage: Stage, rows: Range<Int>, outputs: Range<Int>, views: [Int]?,
    to y: UnsafeMutablePointer<Float>, stride: Int, accumulate: Bool = false, _ scratch: Scratch
  ) {
    if let views {
      for matrix in stage.matrices {
        let part = outputs.clamped(to: matrix.outputs)
        guard !part.isEmpty else { continue }
        factoredRows.table.forEachRun(rows, views, of: shape.index(layer, matrix)) { run, isChanged in
          let corner = unsafe y + (run.lowerBound - rows.lowerBound) * stride + part.lowerBound - outputs.lowerBound
          if isChanged {
            unsafe changed(
              layer, stage, matrix, rows: run, outputs: part, to: corner, stride: stride, accumulate: accumulate,
              scratch)
          } else {
            unsafe dense(
              layer, stage, rows: run, outputs: part, to: corner, stride: stride, accumulate: accumulate, scratch)
          }
        }
      }
    } else {
      unsafe dense(
        layer, stage, rows: rows, outputs: outputs, to: y, stride: stride, accumulate: accumulate, scratch)
    }
    if let bias = unsafe weights.bias(layer, stage) {
      for row in 0..<rows.count {
        unsafe addElements(y + row * stride, bias + outputs.lowerBound, count: outputs.count)
      }
    }
  }

  private func dense(
    _ layer: Int, _ stage: Stage, rows: Range<Int>, outputs: Range<Int>, to y: UnsafeMutablePointer<Float>, stride: Int,
    accumulate: Bool, _ scratch: Scratch
  ) {
    unsafe source.multiply(
      weights, layer: layer, stage, outputs: outputs, rows: rows.count,
      x: input(stage).pointer + rows.lowerBound * stage.inputs, to: y, yStride: stride, accumulate: accumulate, scratch)
  }

  /// Some outputs of a matrix, for rows whose vectors change it.
  private func changed(
    _ layer: Int, _ stage: Stage, _ matrix: Stage.Matrix, rows: Range<Int>, outputs: Range<Int>,
    to y: UnsafeMutablePointer<Float>, stride: Int, accumulate: Bool, _ scratch: Scratch
  ) {
    let f = factoredRows.table.factorization[shape.index(layer, matrix)]
    let first = outputs.lowerBound - matrix.outputs.lowerBound
    let part = first..<first + outputs.count
    let t = unsafe place(workspace.factors, stage, matrix, rows)
    let z = unsafe place(workspace.between, stage, matrix, rows)
    if let change = unsafe factoredRows.change(shape.index(layer, matrix)), f.side == .left {
      unsafe addChange(
        change, part, inner: f.rank, rows: rows.count, x: z, xStride: stage.factors, to: y, yStride: stride,
        accumulate: accumulate,
        scratch)
      return
    }
    // On the right side the inputs have been changed: as with weights.
    let isChanged = unsafe factoredRows.change(shape.index(layer, matrix)) != nil
    unsafe weights.finish(
      isChanged ? .weights : factoredRows.form, f, layer, stage, matrix, outputs: outputs, rows: rows.count, t: t, z: z,
      to: y, stride: stride, accumulate: accumulate, scratch)
  }
}

extension ModelWeights {
  /// The last phase of a form, of every pass: y (rows, some outputs of a matrix), or y +=.
  /// - Parameters:
  ///   - t: what the phases before left in `factors`, (rows, r); rows are the stage's factors apart.
  ///   - z: what they left in `between`, likewise.
  func finish(
    _ form: FactoredForm, _ f: FactoredMatrix, _ layer: Int, _ stage: Stage, _ matrix: Stage.Matrix,
    outputs: Range<Int>, rows: Int, t: UnsafePointer<Float>, z: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>,
    stride: Int, accumulate: Bool, _ scratch: Scratch
  ) {
    let first = outputs.lowerBound - matrix.outputs.lowerBound
    let part = first..<first + outputs.count
    switch (form, f.side) {
    case (.products, .left):
      unsafe f.expand(
        part, rows: rows, t: t, tStride: stage.factors, to: y, yStride: stride, accumulate: accumulate, scratch)
    case (.products, .right):
      unsafe f.multiplyProduct(
        part, rows: rows, x: t, xStride: stage.factors, to: y, yStride: stride, accumulate: accumulate)
    case (.weights, .left):
      unsafe put(
        z + first, stride: stage.factors, into: y, stride: stride, rows: rows, count: part.count,
        accumulate: accumulate)
      unsafe f.expand(part, rows: rows, t: t, tStride: stage.factors, to: y, yStride: stride, accumulate: true, scratch)
    case (.weights, .right):
      unsafe multiply(
        layer, stage, outputs: outputs, rows: rows, x: z, xStride: stage.factors, to: y, yStride: stride,
        accumulate: accumulate, scratch)
    }
  }
}

/// y = x or y += x, each (rows, count) with a stride of its own.
func put(
  _ x: UnsafePointer<Float>, stride xStride: Int, into y: UnsafeMutablePointer<Float>, stride yStride: Int, rows: Int,
  count: Int, accumulate: Bool
) {
  for row in 0..<rows {
    let (source, target) = unsafe (x + row * xStride, y + row * yStride)
    if accumulate {
      unsafe addElements(target, source, count: count)
    } else {
      unsafe target.update(from: source, count: count)
    }
  }
}
