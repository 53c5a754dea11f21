/// Keys and values that all rows of a block attend to.
enum KeyPart: Sendable, Equatable {
  /// Rows of the batch.
  case rows(first: Int, count: Int)
  /// The first `count` positions of a block of a cache.
  case cached(cache: Int, block: Int, count: Int)

  var count: Int {
    switch self {
    case .rows(_, let count), .cached(_, _, let count): count
    }
  }
}

/// Consecutive rows of the batch with the same context, whose attention is computed together: for each head of keys one
/// product with each part of the context, and one with the own part of each piece.
///
/// Keys are in the order of positions: those of the context, then those of a piece's own segment. So what a row sees is one
/// run of columns, which ends with itself, and with a window has at most as many columns as that. Columns that no row of
/// the block sees are left out where whole parts, or rows of the batch, can be.
struct AttentionBlock: Sendable {
  /// A part of one segment: its row i attends to rows `ownFirst ... ownFirst + offset + i` of the batch, as far as a window
  /// reaches.
  struct Piece: Sendable, Equatable {
    var first: Int  // from the block's first row
    var count: Int
    var ownFirst: Int
    var offset: Int
    var ownCount: Int { offset + count }
  }

  var firstRow: Int
  var rowCount: Int
  /// Where its results go: the same rows, or for the last layer their places among the output rows.
  var firstOutput: Int
  var context: [KeyPart]
  var contextCount: Int
  var pieces: [Piece]
  /// A row sees as many positions as this, its own among them; nil: all.
  var window: Int?

  /// Columns of its matrix of scores.
  var keyCount: Int { contextCount + (pieces.map(\.ownCount).max() ?? 0) }

  /// Rows of a block at most: bounds the scores kept at a time, and cuts what lies above the diagonal of long sequences.
  static let rowLimit = 64

  /// The columns that the row `row` of a piece sees.
  func seen(_ piece: Piece, row: Int) -> Range<Int> {
    let end = contextCount + piece.offset + row + 1
    guard let window else { return 0..<end }
    return max(0, end - window)..<end
  }

  /// The softmax of its scores, (row x group, key), in place: what a row does not see becomes 0.
  func softmax(_ scores: UnsafeMutablePointer<Float>, group: Int, scale: Float) {
    let stride = keyCount
    for piece in pieces {
      for row in 0..<piece.count {
        let seen = seen(piece, row: row)
        for place in 0..<group {
          let x = unsafe scores + ((piece.first + row) * group + place) * stride
          unsafe Transformer.softmax(x + seen.lowerBound, count: seen.count, scale: scale)
          unsafe x.update(repeating: 0, count: seen.lowerBound)
          unsafe (x + seen.upperBound).update(
            repeating: 0, count: contextCount + piece.ownCount - seen.upperBound)
        }
      }
    }
  }

  /// Leaves out what none of its rows sees through the window.
  mutating func limit(to window: Int) {
    self.window = window
    // Where the first row of all pieces begins to see, in columns.
    var skip = max(0, contextCount + (pieces.map(\.offset).min() ?? 0) + 1 - window)
    skip = min(skip, contextCount)
    while skip > 0, let part = context.first {
      if part.count <= skip {
        context.removeFirst()
        skip -= part.count
      } else {
        guard case .rows(let first, let count) = part else { break }
        context[0] = .rows(first: first + skip, count: count - skip)
        skip = 0
      }
    }
    contextCount = context.reduce(0) { $0 + $1.count }
    for index in pieces.indices {
      let unseen = max(0, pieces[index].offset + 1 - window)
      pieces[index].ownFirst += unseen
      pieces[index].offset -= unseen
    }
  }
}

extension TokenBatch {
  /// Blocks for the rows that need logits (`outputsOnly`) or for all, in the order of the rows.
  func attentionBlocks(outputsOnly: Bool, window: Int?) -> [AttentionBlock] {
    var blocks: [AttentionBlock] = []
    var outputs = 0
    var lastContext: (parent: Int?, cache: Int?)? = nil
    for segment in segments {
      var row = outputsOnly ? segment.rows.upperBound - segment.outputCount : segment.rows.lowerBound
      while row < segment.rows.upperBound {
        let joins =
          segment.cache == nil && lastContext.map { $0.parent == segment.parent && $0.cache == nil } ?? false
          && blocks.last.map { $0.firstRow + $0.rowCount == row && $0.rowCount < AttentionBlock.rowLimit } ?? false
        if !joins {
          let context = context(of: segment)
          blocks.append(
            AttentionBlock(
              firstRow: row, rowCount: 0, firstOutput: outputs, context: context,
              contextCount: context.reduce(0) { $0 + $1.count }, pieces: []))
          lastContext = (segment.parent, segment.cache)
        }
        let last = blocks.count - 1
        let count = min(segment.rows.upperBound - row, AttentionBlock.rowLimit - blocks[last].rowCount)
        blocks[last].pieces.append(
          AttentionBlock.Piece(
            first: blocks[last].rowCount, count: count, ownFirst: segment.rows.lowerBound,
            offset: row - segment.rows.lowerBound))
        blocks[last].rowCount += count
        row += count
        outputs += count
      }
    }
    if let window {
      for index in blocks.indices { blocks[index].limit(to: window) }
    }
    return blocks
  }

  /// What all rows of a segment attend to, in the order of positions.
  private func context(of segment: Segment) -> [KeyPart] {
    var parts: [KeyPart] = []
    var root = segment
    while let ancestor = root.parent.map({ segments[$0] }) {
      parts.append(.rows(first: ancestor.rows.lowerBound, count: ancestor.rows.count))
      root = ancestor
    }
    guard let cache = root.cache else { return parts.reversed() }
    // What the cache holds before the oldest of the line; the rows of that one are in the batch too.
    var cached: [KeyPart] = []
    var left = root.start
    var block = 0
    while left > 0 {
      let count = min(left, KeyValueCache.blockPositions)
      cached.append(.cached(cache: cache, block: block, count: count))
      left -= count
      block += 1
    }
    return cached + parts.reversed()
  }

  /// Rows that need logits, in order.
  var outputRows: [Int] {
    segments.flatMap { $0.rows.suffix($0.outputCount) }
  }

  /// Rows by the weights that they see. `views` are those of the rows in question.
  static func groups(views: [Int]) -> [RowGroup] {
    let dense = views.firstIndex { $0 >= 0 } ?? views.count
    return [RowGroup(rows: 0..<dense, factored: false), RowGroup(rows: dense..<views.count, factored: true)]
      .filter { !$0.rows.isEmpty }
  }
}
