/// Merges the symbols of one word, lowest rank first and leftmost among equals, until no pair is in the table.
///
/// Short words, nearly all of them, are scanned for their best pair again and again. Long ones (a base64 blob, 100 KB
/// without a space) keep their pairs in a queue, so that n symbols cost n log n at most and not n². Holds only scratch that
/// the next word reuses; one merger belongs to one call of `encode`.
struct BytePairMerger {
  private static let longWord = 48

  private var next: [Int32] = []
  private var previous: [Int32] = []
  private var ranks: [Int32] = []  // of the pair that begins at each symbol
  private var queue = MergeQueue()

  /// Replaces `symbols` by what is left after all merges.
  mutating func merge(_ symbols: inout [Int32], with table: MergeTable) {
    if symbols.count < 2 { return }
    if symbols.count < Self.longWord {
      mergeByScanning(&symbols, table)
    } else {
      mergeByQueue(&symbols, table)
    }
  }

  private mutating func mergeByScanning(_ symbols: inout [Int32], _ table: MergeTable) {
    ranks.removeAll(keepingCapacity: true)
    for index in 0..<(symbols.count - 1) { ranks.append(table.lookUp(symbols[index], symbols[index + 1]).rank) }
    while true {
      var best = MergeTable.noRank
      var position = -1
      for index in 0..<ranks.count where ranks[index] < best {
        best = ranks[index]
        position = index
      }
      if position < 0 { return }
      symbols[position] = table.lookUp(symbols[position], symbols[position + 1]).result
      symbols.remove(at: position + 1)
      ranks.remove(at: position)
      if position < ranks.count {
        ranks[position] = table.lookUp(symbols[position], symbols[position + 1]).rank
      }
      if position > 0 {
        ranks[position - 1] = table.lookUp(symbols[position - 1], symbols[position]).rank
      }
    }
  }

  private mutating func mergeByQueue(_ symbols: inout [Int32], _ table: MergeTable) {
    let count = symbols.count
    next = (0..<count).map { Int32($0 + 1 < count ? $0 + 1 : -1) }
    previous = (0..<count).map { Int32($0 - 1) }
    ranks = [Int32](repeating: MergeTable.noRank, count: count)
    queue.removeAll()
    for position in 0..<(count - 1) { rankPair(at: position, symbols, table) }

    while let (rank, place) = queue.pop() {
      let position = Int(place)
      // Stale entries stay in the queue; a pair is what it was when pushed exactly if its rank is.
      guard ranks[position] == rank, next[position] >= 0 else { continue }
      let right = Int(next[position])
      symbols[position] = table.lookUp(symbols[position], symbols[right]).result
      ranks[right] = MergeTable.noRank
      next[position] = next[right]
      if next[right] >= 0 { previous[Int(next[right])] = Int32(position) }
      rankPair(at: position, symbols, table)
      if previous[position] >= 0 { rankPair(at: Int(previous[position]), symbols, table) }
    }

    var kept = 0
    var position = 0
    while position >= 0 {
      symbols[kept] = symbols[position]
      kept += 1
      position = Int(next[position])
    }
    symbols.removeLast(count - kept)
  }

  private mutating func rankPair(at position: Int, _ symbols: [Int32], _ table: MergeTable) {
    guard next[position] >= 0 else {
      ranks[position] = MergeTable.noRank
      return
    }
    let rank = table.lookUp(symbols[position], symbols[Int(next[position])]).rank
    ranks[position] = rank
    if rank != MergeTable.noRank { queue.push(Int32(position), rank: rank) }
  }
}
