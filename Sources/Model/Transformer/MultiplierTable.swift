internal import LinearAlgebra
internal import Multipliers
internal import SVF

/// The multiplier vectors that the factored rows of a pass use, and the factorization they belong to.
///
/// Copied once into one block, so that a tile takes a row's multipliers by address.
final class MultiplierTable: Sendable {
  let factorization: Factorization
  private let layout: MultiplierLayout
  private let buffer: FloatBuffer

  init(_ vectors: [MultiplierVector], factorization: Factorization) {
    self.factorization = factorization
    layout = factorization.layout
    buffer = FloatBuffer(count: vectors.count * layout.count)
    for (index, vector) in vectors.enumerated() {
      precondition(vector.values.count == layout.count, "vector \(index) has \(vector.values.count) of \(layout.count)")
      for (place, value) in vector.values.enumerated() {
        unsafe buffer.pointer[index * layout.count + place] = value
      }
    }
  }

  /// The multipliers of one matrix, (rank).
  func values(_ vector: Int, _ matrix: Int) -> UnsafePointer<Float> {
    unsafe UnsafePointer(buffer.pointer + vector * layout.count + layout.offsets[matrix])
  }

  /// Where a matrix's multipliers begin in the flat arrays of the layout.
  func offset(_ matrix: Int) -> Int { layout.offsets[matrix] }
}
