/// A part of a product: some rows by some of the outputs. What columns count differs: heads, outputs, or components of
/// the factored form's intermediate.
struct Tile: Sendable, Equatable {
  var rows: Range<Int>
  var columns: Range<Int>
}

/// How finely a pass is cut.
enum TileShape: Sendable {
  /// For the threads of a pool: every product in pieces, small enough that they end at about the same time.
  case pooled(threads: Int)
  /// For one thread that runs the whole pass: every product at once.
  case whole
}

/// The tiles of one stage of a layer.
struct StageTiles: Sendable {
  /// Of dense rows: by heads of q, k, v; by outputs of o and down; by channels of gate and up together.
  let dense: [Tile]
  /// Of factored rows: first by components of the intermediate, then as above.
  let factors: [Tile]
  let factored: [Tile]
}

/// The tiles of a pass's products for one set of rows. Those of many rows are cut by shape alone, since OpenBLAS adds up
/// otherwise at the edges of a tile; of few rows each output is the same in every tile.
struct TilePlan: Sendable {
  /// Blocks of rows for elementwise work.
  let elementwise: [Range<Int>]
  let heads: StageTiles
  let output: StageTiles
  let gateUp: StageTiles
  let down: StageTiles

  init(groups: [RowGroup], shape: ModelShape, cut: TileShape) {
    let dense = groups.filter { !$0.factored }
    let factored = groups.filter(\.factored)
    let rowCount = groups.map(\.rows.upperBound).max() ?? 0
    elementwise =
      switch cut {
      case .whole: [0..<rowCount]
      case .pooled: blocks(rowCount, max((rowCount + 63) / 64, min(rowCount, 2)))
      }
    func stage(_ stage: Stage, units: Int, columnsOfUnit: Int = 1) -> StageTiles {
      StageTiles(
        dense: tiles(dense, units: units, columnsOfUnit: columnsOfUnit, cut),
        factors: tiles(factored, units: stage.factors, columnsOfUnit: 1, cut),
        factored: tiles(factored, units: units, columnsOfUnit: columnsOfUnit, cut))
    }
    heads = stage(shape.headStage, units: shape.headUnits, columnsOfUnit: shape.headDimension)
    output = stage(shape.outputStage, units: shape.hidden)
    gateUp = stage(shape.gateUpStage, units: shape.intermediate)
    down = stage(shape.downStage, units: shape.hidden)
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
/// Tiles for each thread of a product of few rows, which takes some ten microseconds: to hand one out takes a half.
private let tilesOfThread = 2

/// - Parameters:
///   - units: columns are cut between units only.
///   - columnsOfUnit: outputs that a unit stands for.
private func tiles(_ groups: [RowGroup], units: Int, columnsOfUnit: Int, _ cut: TileShape) -> [Tile] {
  groups.flatMap { group in
    guard case .pooled(let threads) = cut else { return [Tile(rows: group.rows, columns: 0..<units)] }
    // A unit of one output is counted in sixteens: a cache line of results.
    let width = columnsOfUnit == 1 ? 16 : 1
    let pieces = (units + width - 1) / width
    let (rowParts, columnParts) =
      group.rows.count <= fewRowsLimit
      ? (1, tilesOfThread * threads) : parts(rows: group.rows.count, pieces: pieces, width: width * columnsOfUnit)
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
/// the cuts that give enough tiles the squarest is the cheapest. `pieces` are what columns are cut between, `width` of them
/// each.
func parts(rows: Int, pieces: Int, width: Int) -> (rows: Int, columns: Int) {
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
