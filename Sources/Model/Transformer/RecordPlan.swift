/// A tile of a product of the recorded pass.
struct RecordTile: Sendable, Equatable {
  var rows: Range<Int>
  var columns: Range<Int>
  /// Which block of rows it is: sums over rows are kept for each block, and added up in the order of blocks.
  var part: Int
}

/// The tiles of a recorded pass's products for one set of rows, cut by shape alone: neither threads nor what is kept in
/// memory change what is computed together, so neither changes a bit of the result.
struct RecordPlan: Sendable {
  /// Blocks of rows for elementwise work.
  let elementwise: [Range<Int>]
  /// By heads of q, k, v; by columns of the stream, of the attention's output, of the activations.
  let heads: [RecordTile]
  let hidden: [RecordTile]
  let queryWidth: [RecordTile]
  let intermediate: [RecordTile]
  /// By components of the intermediates of q k v, of o, of gate up, of down.
  let headFactors: [RecordTile]
  let outputFactors: [RecordTile]
  let gateFactors: [RecordTile]
  let downFactors: [RecordTile]
  /// Blocks of rows that a tile may have at most.
  let parts: Int

  init(rows: Int, shape: ModelShape) {
    elementwise = blocks(rows, max((rows + 63) / 64, min(rows, 2)))
    heads = recordTiles(rows: rows, units: shape.headUnits, width: 1, columnsOfUnit: shape.headDimension)
    func columns(_ count: Int) -> [RecordTile] { recordTiles(rows: rows, units: count, width: 16, columnsOfUnit: 1) }
    hidden = columns(shape.hidden)
    queryWidth = columns(shape.queryWidth)
    intermediate = columns(shape.intermediate)
    headFactors = columns(shape.headStage.factors)
    outputFactors = columns(shape.outputStage.factors)
    gateFactors = columns(shape.gateUpStage.factors)
    downFactors = columns(shape.downStage.factors)
    parts = [headFactors, outputFactors, gateFactors, downFactors].joined().reduce(0) { max($0, $1.part + 1) }
  }
}

/// Cuts rows x units into tiles.
/// - Parameters:
///   - width: units that stay together: a cache line of results.
///   - columnsOfUnit: outputs that a unit stands for.
private func recordTiles(rows: Int, units: Int, width: Int, columnsOfUnit: Int) -> [RecordTile] {
  guard rows > 0 else { return [] }
  let pieces = (units + width - 1) / width
  let (rowParts, columnParts) = parts(rows: rows, pieces: pieces, width: width * columnsOfUnit)
  return blocks(rows, rowParts).enumerated().flatMap { part, rows in
    blocks(pieces, columnParts).map { columns in
      RecordTile(
        rows: rows, columns: columns.lowerBound * width..<min(columns.upperBound * width, units), part: part)
    }
  }
}
