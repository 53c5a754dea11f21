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

  init(groups: [RowGroup], shape: ModelShape, cut: TileShape) {
    let dense = groups.filter { !$0.factored }
    let factored = groups.filter(\.factored)
    let rowCount = groups.map(\.rows.upperBound).max() ?? 0
    elementwise = cut == .whole ? [0..<rowCount] : blocks(rowCount, max((rowCount + 63) / 64, min(rowCount, 2)))
    heads = tiles(dense, units: shape.headUnits, columnsOfUnit: shape.headDimension, cut)
    hidden = tiles(dense, units: shape.hidden, columnsOfUnit: 1, cut)
    intermediate = tiles(dense, units: shape.intermediate, columnsOfUnit: 1, cut)
    headFactors = tiles(
      factored, units: shape.rank(.query) + shape.rank(.key) + shape.rank(.value), columnsOfUnit: 1, cut)
    outputFactors = tiles(factored, units: shape.rank(.output), columnsOfUnit: 1, cut)
    gateFactors = tiles(factored, units: shape.rank(.gate) + shape.rank(.up), columnsOfUnit: 1, cut)
    downFactors = tiles(factored, units: shape.rank(.down), columnsOfUnit: 1, cut)
    factoredHeads = tiles(factored, units: shape.headUnits, columnsOfUnit: shape.headDimension, cut)
    factoredHidden = tiles(factored, units: shape.hidden, columnsOfUnit: 1, cut)
    factoredIntermediate = tiles(factored, units: shape.intermediate, columnsOfUnit: 1, cut)
  }
}

/// 0..<count in `parts` ranges of nearly equal length.
func blocks(_ count: Int, _ parts: Int) -> [Range<Int>] {
  let parts = max(min(parts, count), count > 0 ? 1 : 0)
  return (0..<parts).map { $0 * count / parts..<($0 + 1) * count / parts }
}

/// Rows of a tile at most: it takes some 10 ms then, and short requests get in between.
private let rowLimit = 512
/// Tiles of a product at least, where its shape allows: two threads then end within an eighth of each other.
private let tileGoal = 8

/// - Parameters:
///   - units: columns are cut between units only.
///   - columnsOfUnit: outputs that a unit stands for.
private func tiles(_ groups: [RowGroup], units: Int, columnsOfUnit: Int, _ cut: TileShape) -> [Tile] {
  groups.flatMap { group in
    guard cut == .pooled else { return [Tile(rows: group.rows, columns: 0..<units)] }
    // A unit of one output is counted in sixteens: a cache line of results.
    let width = columnsOfUnit == 1 ? 16 : 1
    let pieces = (units + width - 1) / width
    let (rowParts, columnParts) = parts(rows: group.rows.count, pieces: pieces, width: width * columnsOfUnit)
    return blocks(group.rows.count, rowParts).flatMap { rows in
      blocks(pieces, columnParts).map { columns in
        Tile(
          rows: rows.lowerBound + group.rows.lowerBound..<rows.upperBound + group.rows.lowerBound,
          columns: columns.lowerBound * width..<min(columns.upperBound * width, units))
      }
    }
  }
}

/// Into how many blocks of rows and of columns a product is cut. OpenBLAS packs both operands of every tile anew, so of
/// the cuts that give enough tiles the squarest is the cheapest.
private func parts(rows: Int, pieces: Int, width: Int) -> (rows: Int, columns: Int) {
  let fewest = (rows + rowLimit - 1) / rowLimit
  var best = (rows: fewest, columns: min(pieces, (tileGoal + fewest - 1) / fewest))
  // With few rows the weights are all the work, and cutting rows would read them twice.
  guard rows >= 64 else { return best }
  func cost(_ parts: (rows: Int, columns: Int)) -> Double {
    Double(parts.rows) / Double(rows) + Double(parts.columns) / Double(pieces * width)
  }
  for rowParts in fewest...max(fewest, tileGoal) {
    let other = (rows: rowParts, columns: min(pieces, (tileGoal + rowParts - 1) / rowParts))
    if cost(other) < cost(best) { best = other }
  }
  return best
}
