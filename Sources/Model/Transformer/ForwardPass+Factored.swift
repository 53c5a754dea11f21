internal import LinearAlgebra
internal import Multipliers
internal import SVF

/// The multiplier vectors that the factored rows of a pass use, and the factorization they belong to.
///
/// Copied once into one block, so that a tile takes a row's multipliers by address.
final class MultiplierTable: Sendable {
  let factorization: Factorization
  private let layout: MultiplierLayout
  private let buffer: FloatBuffer

  init(_ vectors: [MultiplierVector], factorization: Factorization) {
    self.factorization = factorization
    layout = factorization.layout
    buffer = FloatBuffer(count: vectors.count * layout.count)
    for (index, vector) in vectors.enumerated() {
      precondition(vector.values.count == layout.count, "vector \(index) has \(vector.values.count) of \(layout.count)")
      for (place, value) in vector.values.enumerated() {
        unsafe buffer.pointer[index * layout.count + place] = value
      }
    }
  }

  /// The multipliers of one matrix, (rank).
  func values(_ vector: Int, _ matrix: Int) -> UnsafePointer<Float> {
    unsafe UnsafePointer(buffer.pointer + vector * layout.count + layout.offsets[matrix])
  }

  /// Where a matrix's multipliers begin in the flat arrays of the layout.
  func offset(_ matrix: Int) -> Int { layout.offsets[matrix] }
}

// The factored form: y = Q (s ⊙ (A x)) with A = Qᵀ W for a matrix with no more outputs than inputs, else
// y = B (s ⊙ (Qᵀ x)) with B = W Q (Sources/README.md, "The mathematics"). Two shared products whatever the number of
// vectors; only the elementwise product between them is each row's own. Its readable twin forms W' itself:
// `NaiveLlama.init(_:under:)` in Tests/Model/TransformerTests/NaiveLlama.swift.
extension ForwardPass {
  private func matrix(_ layer: Int, _ projection: Projection) -> Int {
    layer * Projection.allCases.count + projection.rawValue
  }

  private var table: MultiplierTable {
    guard let multipliers else { preconditionFailure("a forward pass has factored rows and no multipliers") }
    return multipliers
  }

  /// The first half for `projections`, whose intermediates lie side by side: factors = s ⊙ (A x) or s ⊙ (Qᵀ x).
  /// - Parameter views: of the rows that the tile counts.
  func factor(
    _ layer: Int, _ projections: [Projection], _ tile: Tile, _ views: [Int], input: UnsafeMutablePointer<Float>,
    width: Int
  ) {
    let stride = projections.reduce(0) { $0 + shape.rank($1) }
    let x = unsafe input + tile.rows.lowerBound * width
    var start = 0
    for projection in projections {
      let rank = shape.rank(projection)
      let part = tile.columns.clamped(to: start..<start + rank)
      let first = part.lowerBound - start
      start += rank
      guard !part.isEmpty else { continue }
      let index = matrix(layer, projection)
      let factored = table.factorization[index]
      let y = unsafe workspace.factors.pointer + tile.rows.lowerBound * stride + part.lowerBound
      unsafe factored.components(first..<first + part.count, of: x, rows: tile.rows.count, y: y, yStride: stride)
      for row in tile.rows {
        unsafe scaleElements(
          y + (row - tile.rows.lowerBound) * stride, by: table.values(views[row], index) + first, count: part.count)
      }
    }
  }

  /// The second half for the outputs `columns` of one matrix: y (+)= Q t or B t, t being the columns of `factors` from
  /// `start` in rows of `stride`.
  private func unfactor(
    _ layer: Int, _ projection: Projection, rows: Range<Int>, columns: Range<Int>, start: Int, stride: Int,
    y: UnsafeMutablePointer<Float>, yStride: Int, accumulate: Bool = false
  ) {
    unsafe table.factorization[matrix(layer, projection)].outputs(
      columns, of: workspace.factors.pointer + rows.lowerBound * stride + start, stride: stride, rows: rows.count, y: y,
      yStride: yStride, accumulate: accumulate)
  }

  /// Queries, keys and values of some heads.
  func projectFactored(_ layer: Int, heads tile: Tile, _ scratch: Scratch) {
    let size = shape.headDimension
    let width = tile.columns.count * size
    let out = unsafe scratch.floats(ScratchSlot.product, count: tile.rows.count * width)
    let projections: [Projection] = [.query, .key, .value]
    let stride = projections.reduce(0) { $0 + shape.rank($1) }
    var start = 0
    var firstHead = 0
    for projection in projections {
      let heads = shape.rows(projection) / size
      let part = tile.columns.clamped(to: firstHead..<firstHead + heads)
      if !part.isEmpty {
        unsafe unfactor(
          layer, projection, rows: tile.rows,
          columns: (part.lowerBound - firstHead) * size..<(part.upperBound - firstHead) * size, start: start,
          stride: stride, y: out + (part.lowerBound - tile.columns.lowerBound) * size, yStride: width)
      }
      start += shape.rank(projection)
      firstHead += heads
    }
    unsafe store(layer, heads: tile, out)
  }

  /// x += the outputs of o or down.
  func addFactored(_ layer: Int, _ projection: Projection, _ tile: Tile, to x: FloatBuffer) {
    unsafe unfactor(
      layer, projection, rows: tile.rows, columns: tile.columns, start: 0, stride: shape.rank(projection),
      y: x.pointer + tile.rows.lowerBound * shape.hidden + tile.columns.lowerBound, yStride: shape.hidden,
      accumulate: true)
  }

  /// gate = silu(gate) * up.
  func gateAndUpFactored(_ layer: Int, _ tile: Tile) {
    let stride = shape.rank(.gate) + shape.rank(.up)
    let corner = tile.rows.lowerBound * shape.intermediate + tile.columns.lowerBound
    unsafe unfactor(
      layer, .gate, rows: tile.rows, columns: tile.columns, start: 0, stride: stride, y: gate + corner,
      yStride: shape.intermediate)
    unsafe unfactor(
      layer, .up, rows: tile.rows, columns: tile.columns, start: shape.rank(.gate), stride: stride,
      y: workspace.up.pointer + corner, yStride: shape.intermediate)
    activate(tile)
  }
}
