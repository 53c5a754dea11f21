internal import LinearAlgebra
internal import Multipliers
internal import SVF

/// The multiplier vectors that the factored rows of a pass use, and the factorization they belong to.
///
/// Copied once into one block, so that a tile takes a row's multipliers by address.
final class MultiplierTable: Sendable {
  let vectors: [MultiplierVector]
  let factorization: Factorization
  private let layout: MultiplierLayout
  /// (vectors, 2, all multipliers): s, and s − 1.
  private let buffer: FloatBuffer
  /// (vectors, matrices): whether the vector leaves the matrix as it is.
  private let unchanged: [Bool]

  init(_ vectors: [MultiplierVector], factorization: Factorization) {
    self.vectors = vectors
    self.factorization = factorization
    layout = factorization.layout
    buffer = FloatBuffer(count: 2 * vectors.count * layout.count)
    for (index, vector) in vectors.enumerated() {
      precondition(vector.values.count == layout.count, "vector \(index) has \(vector.values.count) of \(layout.count)")
      let s = unsafe buffer.pointer + 2 * index * layout.count
      for (place, value) in vector.values.enumerated() {
        unsafe s[place] = value
        unsafe s[layout.count + place] = value - 1
      }
    }
    unchanged = vectors.flatMap { vector in
      factorization.layout.matrices.indices.map { vector.isIdentity(in: factorization.layout.range(of: $0)) }
    }
  }

  /// The multipliers s of one matrix, (rank).
  func values(_ vector: Int, _ matrix: Int) -> UnsafePointer<Float> {
    unsafe UnsafePointer(buffer.pointer + 2 * vector * layout.count + layout.offsets[matrix])
  }

  /// s − 1, (rank).
  func differences(_ vector: Int, _ matrix: Int) -> UnsafePointer<Float> {
    unsafe values(vector, matrix) + layout.count
  }

  /// Where a matrix's multipliers begin in the flat arrays of the layout.
  func offset(_ matrix: Int) -> Int { layout.offsets[matrix] }

  /// Cuts rows into the longest runs whose vectors all change a matrix, or all leave it as it is: those see W itself.
  /// - Parameter views: the vectors of the rows.
  func forEachRun(
    _ rows: Range<Int>, _ views: [Int], of matrix: Int, _ body: (_ rows: Range<Int>, _ isChanged: Bool) -> Void
  ) {
    let count = layout.matrices.count
    var first = rows.lowerBound
    while first < rows.upperBound {
      let isUnchanged = unchanged[views[first] * count + matrix]
      var end = first + 1
      while end < rows.upperBound, unchanged[views[end] * count + matrix] == isUnchanged { end += 1 }
      body(first..<end, !isUnchanged)
      first = end
    }
  }
}
