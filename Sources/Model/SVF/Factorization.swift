import Glibc
package import LinearAlgebra
package import Multipliers
package import SystemSupport

/// Every target matrix of a model in factored form: computed once, kept in a file under the model's digest, and mapped,
/// not read, afterwards.
///
/// `@unchecked Sendable`: nothing changes after the initializer; the mapped memory is never written.
package final class Factorization: @unchecked Sendable {
  package let layout: MultiplierLayout
  /// The singular values, flat by the layout.
  package let sigma: [Float]
  private let file: FactorizationFile
  private let memory: MappedFile
  /// False where the arrays are in memory only.
  package let isCached: Bool

  init(layout: MultiplierLayout, file: FactorizationFile, memory: MappedFile, isCached: Bool) {
    self.layout = layout
    self.file = file
    self.memory = memory
    self.isCached = isCached
    sigma = unsafe Array(UnsafeBufferPointer(start: memory.floats(at: file.sigma), count: layout.count))
  }

  /// The view of one matrix; good while this object lives.
  package subscript(index: Int) -> FactoredMatrix {
    let sigma = unsafe memory.floats(at: file.sigma) + layout.offsets[index]
    return unsafe FactoredMatrix(
      target: layout.matrices[index], q: memory.floats(at: file.q[index]),
      product: memory.floats(at: file.product[index]), sigma: sigma)
  }

  /// The size of the arrays: of the file, where there is one.
  package var byteCount: Int { memory.byteCount }

  /// Says that the arrays will not be used for a while; where they are a file's, their memory is given back and comes
  /// again from the page cache or the disk.
  package func adviseUnused() {
    guard isCached else { return }
    unsafe madvise(memory.address, memory.byteCount, MADV_DONTNEED)
  }
}

/// A factorization that could not be computed, written or read.
package enum SVFError: Error, CustomStringConvertible {
  /// The eigensolver refused a matrix.
  case matrix(name: String, LAPACKError)
  /// The cache file could not be written or mapped.
  case file(SystemCallError)
  case tooLarge(matrices: Int)

  package var description: String {
    switch self {
    case .matrix(let name, let error): "cannot factor '\(name)': \(error)"
    case .file(let error): "cannot keep the factorization: \(error)"
    case .tooLarge(let matrices): "cannot factor a model of \(matrices) matrices: their sizes do not fit into memory"
    }
  }
}
