/// A part of a product: some rows by some of the outputs. What columns count differs: heads, outputs, or components of
/// the factored form's intermediate.
struct Tile: Sendable, Equatable {
  var rows: Range<Int>
  var columns: Range<Int>
}

/// How finely a pass is cut.
enum TileShape: Sendable {
  /// For the threads of a pool: every product in pieces, small enough that two threads end at about the same time.
  case pooled
  /// For one thread that runs the whole pass: every product at once.
  case whole
}

/// The tiles of a pass's products for one set of rows, cut by shape alone.
struct TilePlan: Sendable {
  /// Blocks of rows for elementwise work.
  let elementwise: [Range<Int>]
  /// Tiles of dense rows: heads of q, k, v; outputs of o and down; outputs of gate and up together.
  let heads: [Tile]
  let hidden: [Tile]
  let intermediate: [Tile]
  /// Tiles of factored rows: first halves (components of the intermediate of q k v, of o, of gate up, of down), then
  /// second halves as above.
  let headFactors: [Tile]
  let outputFactors: [Tile]
  let gateFactors: [Tile]
  let downFactors: [Tile]
  let factoredHeads: [Tile]
  let factoredHidden: [Tile]
  let factoredIntermediate: [Tile]

  var hasFactored: Bool { !factoredHeads.isEmpty }

  init(groups: [RowGroup], shape: ModelShape, cut: TileShape) {
    let dense = groups.filter { !$0.factored }
    let factored = groups.filter(\.factored)
    let rowCount = groups.map(\.rows.upperBound).max() ?? 0
    elementwise = cut == .whole ? [0..<rowCount] : blocks(rowCount, max((rowCount + 63) / 64, min(rowCount, 2)))
    heads = tiles(dense, units: shape.headUnits, width: 1, cut)
    hidden = tiles(dense, units: shape.hidden, width: 16, cut)
    intermediate = tiles(dense, units: shape.intermediate, width: 16, cut)
    headFactors = tiles(
      factored, units: shape.rank(.query) + shape.rank(.key) + shape.rank(.value), width: 16, cut)
    outputFactors = tiles(factored, units: shape.rank(.output), width: 16, cut)
    gateFactors = tiles(factored, units: shape.rank(.gate) + shape.rank(.up), width: 16, cut)
    downFactors = tiles(factored, units: shape.rank(.down), width: 16, cut)
    factoredHeads = tiles(factored, units: shape.headUnits, width: 1, cut)
    factoredHidden = tiles(factored, units: shape.hidden, width: 16, cut)
    factoredIntermediate = tiles(factored, units: shape.intermediate, width: 16, cut)
  }
}

/// 0..<count in `parts` ranges of nearly equal length.
func blocks(_ count: Int, _ parts: Int) -> [Range<Int>] {
  let parts = max(min(parts, count), count > 0 ? 1 : 0)
  return (0..<parts).map { $0 * count / parts..<($0 + 1) * count / parts }
}

/// Rows of a tile at most: a tile of 256 rows of the largest product takes some 10 ms, so that short requests get in
/// between, and the packing of its weights is a few percent.
private let rowLimit = 256
/// Tiles of a product at least, where its shape allows: two threads then end within an eighth of each other.
private let tileGoal = 8

private func tiles(_ groups: [RowGroup], units: Int, width: Int, _ cut: TileShape) -> [Tile] {
  groups.flatMap { group in
    guard cut == .pooled else { return [Tile(rows: group.rows, columns: 0..<units)] }
    let rowBlocks = blocks(group.rows.count, (group.rows.count + rowLimit - 1) / rowLimit)
    let columnBlocks = blocks((units + width - 1) / width, (tileGoal + rowBlocks.count - 1) / rowBlocks.count)
    return rowBlocks.flatMap { rows in
      columnBlocks.map { columns in
        Tile(
          rows: rows.lowerBound + group.rows.lowerBound..<rows.upperBound + group.rows.lowerBound,
          columns: columns.lowerBound * width..<min(columns.upperBound * width, units))
      }
    }
  }
}
