import Search

/// Which shots are fitted on, which are held out, and what is computed together.
///
/// The seed deals the shots into two folds and the scorer cuts each fold into chunks, so every chunk lies within one fold:
/// both folds' searches and the search on all shots use the same chunks, and share their scores.
package struct ShotPlan: Sendable, Equatable {
  /// Shots computed together, by number.
  package let chunks: [[Int]]
  /// The chunks of each fold; none where there are too few shots to hold any out.
  package let folds: [Range<Int>]

  package init(shots: Int, seed: UInt64, chunking: ([Int]) -> [[Int]]) {
    precondition(shots > 0, "a plan needs shots")
    let order = Philox(seed: seed).permutation(of: shots, stream: Self.stream)
    guard shots > 1 else {
      chunks = chunking(order)
      folds = []
      return
    }
    let half = (shots + 1) / 2
    // Sorted, so that what is computed together does not depend on more of the seed than the folds do.
    let first = chunking(order[..<half].sorted())
    let second = chunking(order[half...].sorted())
    chunks = first + second
    folds = [0..<first.count, first.count..<chunks.count]
  }

  package var allChunks: [Int] { Array(chunks.indices) }
  package func heldOut(_ fold: Int) -> [Int] { Array(folds[fold]) }
  func shots(in chunks: [Int]) -> Int { chunks.reduce(0) { $0 + self.chunks[$1].count } }
  package func fitted(without fold: Int) -> [Int] { chunks.indices.filter { !folds[fold].contains($0) } }

  /// The stream of the generator that deals the folds; searches use the small numbers.
  static let stream = UInt32.max

  /// So many shots of all rows, in the rows' order: the first ones of the order that the seed gives them, so that fewer
  /// shots of a seed are among its more.
  package static func drawn(_ count: Int, of rows: Int, seed: UInt64) -> [Int] {
    precondition((1...rows).contains(count), "\(count) shots of \(rows) rows")
    return Philox(seed: seed).permutation(of: rows, stream: stream - 1).prefix(count).sorted()
  }
}
