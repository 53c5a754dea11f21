internal import LinearAlgebra
internal import SVF

// The products of a layer, all in this file. Dense rows have one, y = W x + b. The factored form has two, y = Q (s ⊙ (A x))
// + b with A = Qᵀ W for a matrix with no more outputs than inputs, else y = B (s ⊙ (Qᵀ x)) + b with B = W Q
// (Sources/README.md, "The mathematics"): both are shared whatever the number of vectors, and only the elementwise product
// between them is each row's own. Its readable twin forms W' itself: `NaiveDecoder.init(_:under:)` in
// Tests/Model/TransformerTests/NaiveDecoder.swift.
extension ForwardPass {
  /// (rows, inputs)
  private func input(_ stage: Stage) -> FloatBuffer {
    switch stage.kind {
    case .heads, .gateUp: workspace.normed
    case .output: workspace.attended
    case .down: workspace.gate
    }
  }

  private var table: MultiplierTable {
    guard let multipliers else { preconditionFailure("a forward pass has factored rows and no multipliers") }
    return multipliers
  }

  /// The first half of factored rows: factors = s ⊙ (A x) or s ⊙ (Qᵀ x) for the components that the tile counts.
  /// - Parameter views: of the rows that the tile counts.
  func factor(_ layer: Int, _ stage: Stage, _ tile: Tile, _ views: [Int]) {
    let stride = stage.factors
    let x = unsafe input(stage).pointer + tile.rows.lowerBound * stage.inputs
    for matrix in stage.matrices {
      let part = tile.columns.clamped(to: matrix.factors)
      guard !part.isEmpty else { continue }
      let index = shape.index(layer, matrix)
      let first = part.lowerBound - matrix.factors.lowerBound
      let y = unsafe workspace.factors.pointer + tile.rows.lowerBound * stride + part.lowerBound
      unsafe table.factorization[index].components(
        first..<first + part.count, of: x, rows: tile.rows.count, y: y, yStride: stride)
      for row in tile.rows {
        unsafe scaleElements(
          y + (row - tile.rows.lowerBound) * stride, by: table.values(views[row], index) + first, count: part.count)
      }
    }
  }

  /// y (+)= some outputs of a stage for some rows: the whole product of dense rows, the second half of factored ones.
  func outputs(
    _ layer: Int, _ stage: Stage, rows: Range<Int>, outputs: Range<Int>, isFactored: Bool,
    to y: UnsafeMutablePointer<Float>, stride: Int, accumulate: Bool = false, _ scratch: Scratch
  ) {
    if isFactored {
      for matrix in stage.matrices {
        let part = outputs.clamped(to: matrix.outputs)
        guard !part.isEmpty else { continue }
        let first = part.lowerBound - matrix.outputs.lowerBound
        let t = unsafe workspace.factors.pointer + rows.lowerBound * stage.factors + matrix.factors.lowerBound
        unsafe table.factorization[shape.index(layer, matrix)].outputs(
          first..<first + part.count, of: t, stride: stage.factors, rows: rows.count,
          y: y + (part.lowerBound - outputs.lowerBound), yStride: stride, accumulate: accumulate)
      }
    } else {
      unsafe source.multiply(
        weights, layer: layer, stage, outputs: outputs, rows: rows.count,
        x: input(stage).pointer + rows.lowerBound * stage.inputs, to: y, yStride: stride, accumulate: accumulate,
        scratch)
    }
    if let bias = unsafe weights.bias(layer, stage) {
      for row in 0..<rows.count {
        unsafe addElements(y + row * stride, bias + outputs.lowerBound, count: outputs.count)
      }
    }
  }
}
