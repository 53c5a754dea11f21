/// Pairs that wait to be merged: the lowest rank first, and of one rank the leftmost.
///
/// In a word of a megabyte most pairs of a rank are found from left to right, so each rank has a list that grows at its end
/// and is taken from its beginning. Only the ranks, of which there are few, and what comes out of order stand in heaps: one
/// heap of all pairs takes four times as long.
struct MergeQueue {
  private struct Rank {
    var inOrder: [Int32] = []
    var next = 0
    var late = MinimumHeap()

    var isEmpty: Bool { next == inOrder.count && late.least == nil }

    mutating func append(_ position: Int32) {
      if inOrder.last.map({ $0 <= position }) ?? true { inOrder.append(position) } else { late.push(position) }
    }

    mutating func popFirst() -> Int32? {
      guard next < inOrder.count else {
        inOrder.removeAll(keepingCapacity: true)
        next = 0
        return late.pop()
      }
      if let least = late.least, least < inOrder[next] { return late.pop() }
      next += 1
      return inOrder[next - 1]
    }
  }

  private var ranks: [Rank] = []
  private var indexOfRank: [Int32: Int] = [:]
  private var waiting = MinimumHeap()  // of the ranks that are not empty

  mutating func removeAll() {
    ranks.removeAll()
    indexOfRank.removeAll()
    waiting = MinimumHeap()
  }

  mutating func push(_ position: Int32, rank: Int32) {
    let index: Int
    if let known = indexOfRank[rank] {
      index = known
    } else {
      index = ranks.count
      indexOfRank[rank] = index
      ranks.append(Rank())
    }
    if ranks[index].isEmpty { waiting.push(rank) }
    ranks[index].append(position)
  }

  mutating func pop() -> (rank: Int32, position: Int32)? {
    guard let rank = waiting.least, let index = indexOfRank[rank], let position = ranks[index].popFirst() else {
      return nil
    }
    if ranks[index].isEmpty { _ = waiting.pop() }
    return (rank, position)
  }
}

/// A binary heap.
private struct MinimumHeap {
  private var elements: [Int32] = []

  var least: Int32? { elements.first }

  mutating func push(_ element: Int32) {
    elements.append(element)
    var child = elements.count - 1
    while child > 0, elements[(child - 1) / 2] > elements[child] {
      elements.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func pop() -> Int32? {
    guard let lowest = elements.first, let last = elements.popLast() else { return nil }
    if elements.isEmpty { return lowest }
    elements[0] = last
    var parent = 0
    while true {
      var least = 2 * parent + 1
      guard least < elements.count else { return lowest }
      if least + 1 < elements.count, elements[least + 1] < elements[least] { least += 1 }
      if elements[parent] <= elements[least] { return lowest }
      elements.swapAt(parent, least)
      parent = least
    }
  }
}
