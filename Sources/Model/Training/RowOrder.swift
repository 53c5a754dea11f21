import Search

/// Which rows are held out, and which ones each step sees: functions of the seed, so there is no state to save.
package struct RowOrder: Sendable, Equatable {
  package let training: [Int]
  package let validation: [Int]
  private let seed: UInt64

  /// Permutations are told apart by their stream: the split's, and behind it each epoch's.
  private static let splitStream: UInt32 = 0x5452_0000

  /// At most a quarter is held out, and one row at least.
  package init(count: Int, validation wanted: Int, seed: UInt64) throws(TrainingError) {
    guard count >= 8 else { throw .tooFewRows(count) }
    let order = Philox(seed: seed).permutation(of: count, stream: Self.splitStream)
    let held = max(1, min(wanted, count / 4))
    validation = order.prefix(held).sorted()
    training = order.dropFirst(held).sorted()
    self.seed = seed
  }

  /// The rows of a step, counted from 0: all of them once in random order, then all again in another one.
  package func batch(_ size: Int, step: Int) -> [Int] {
    var rows: [Int] = []
    var epoch = -1
    var order: [Int] = []
    for place in step * size..<(step + 1) * size {
      if place / training.count != epoch {
        epoch = place / training.count
        order = Philox(seed: seed).permutation(
          of: training.count, stream: Self.splitStream &+ 1 &+ UInt32(truncatingIfNeeded: epoch))
      }
      rows.append(training[order[place % training.count]])
    }
    return rows
  }
}
