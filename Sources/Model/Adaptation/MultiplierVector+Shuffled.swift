package import Multipliers
import Search

extension MultiplierVector {
  /// The same multipliers in a random order within each matrix: the control of a shuffle check (section 4.2 of
  /// arXiv:2501.06252). Mean, spread and every other property that does not know the order stay what they were.
  ///
  /// A permutation is a function of the seed and the matrix's place, so a check that was resumed meets the same one.
  package func shuffled(in layout: MultiplierLayout, seed: UInt64) -> MultiplierVector {
    precondition(values.count == layout.count, "\(values.count) multipliers for a layout of \(layout.count)")
    let generator = Philox(seed: seed)
    var result = self
    for matrix in layout.matrices.indices {
      let range = layout.range(of: matrix)
      let order = generator.permutation(of: range.count, stream: UInt32(truncatingIfNeeded: matrix))
      for (place, from) in order.enumerated() {
        result.values[range.lowerBound + place] = values[range.lowerBound + from]
      }
    }
    return result
  }
}
