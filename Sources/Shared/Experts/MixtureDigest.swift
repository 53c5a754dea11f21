package import Digests
package import Multipliers

extension MultiplierVector {
  /// What names a mixture: SHA-256 over the target matrices in the model's order, each as its name, a zero byte, and its
  /// multipliers as little-endian floats, ones where it is not factored. Whoever applies the multipliers forms it anew from
  /// what he applies.
  package func digest(in layout: MultiplierLayout) -> Digest {
    precondition(values.count == layout.count, "\(values.count) multipliers of \(layout.count)")
    var hash = SHA256()
    for (index, matrix) in layout.matrices.enumerated() {
      hash.update(matrix.name + "\0")
      let values = multipliers(of: index, in: layout)
      unsafe values.withUnsafeBytes { unsafe hash.update($0) }
    }
    return hash.finish()
  }

  /// Those of one matrix, of its short side's length: ones where it is not factored.
  func multipliers(of index: Int, in layout: MultiplierLayout) -> [Float] {
    let matrix = layout.matrices[index]
    return matrix.isFactored
      ? Array(values[layout.range(of: index)]) : [Float](repeating: 1, count: matrix.shortSide)
  }
}
