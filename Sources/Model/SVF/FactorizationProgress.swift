/// How far a factorization is.
package struct FactorizationProgress: Sendable, Equatable {
  /// Matrices that are there, and all.
  package private(set) var done: Int
  package let count: Int
  /// Those of them that an earlier computation, which was ended, left.
  package let found: Int
  private let whole: Double
  private var worked: Double

  /// - Parameters:
  ///   - costs: of all matrices, in any unit of time.
  ///   - missing: of those that are to be done.
  init(_ costs: [Double], missing: [Double]) {
    count = costs.count
    found = count - missing.count
    done = found
    whole = costs.reduce(0, +)
    worked = whole - missing.reduce(0, +)
  }

  /// - Parameter matrices: of that cost each.
  mutating func finish(_ cost: Double, count matrices: Int) {
    done += matrices
    worked += cost * Double(matrices)
  }

  /// Of the work, from 0 to 1: of a layer of 8 billion parameters some matrices take sixty times as long as others.
  package var share: Double { done == count ? 1 : max(0, min(1, worked / whole)) }
}
