import Digests
import Glibc
package import LinearAlgebra
package import Multipliers
package import SystemSupport

/// Every target matrix of a model in factored form: computed once, kept in a file under the model's digest, and mapped
/// afterwards, once its checksums were compared.
///
/// `@unchecked Sendable`: nothing changes after the initializer; the mapped memory is never written.
package final class Factorization: @unchecked Sendable {
  package let layout: MultiplierLayout
  /// The singular values, flat by the layout.
  package let sigma: [Float]
  private let file: FactorizationFile
  private let memory: MappedFile
  let products: FactorProducts
  package var precision: FactorPrecision { file.precision }
  /// False where the arrays are in memory only.
  package let isCached: Bool
  /// Of the file when it was last found whole.
  private let checked = Mutex<FileIdentity?>(nil)

  init(layout: MultiplierLayout, file: FactorizationFile, memory: MappedFile, isCached: Bool) {
    self.layout = layout
    self.file = file
    self.memory = memory
    self.isCached = isCached
    products = FactorProducts(layout: layout)
    sigma = unsafe Array(UnsafeBufferPointer(start: memory.floats(at: file.sigma), count: layout.count))
  }

  /// The view of one matrix; good while this object lives.
  package subscript(index: Int) -> FactoredMatrix {
    let sigma = unsafe memory.floats(at: file.sigma) + layout.offsets[index]
    return unsafe FactoredMatrix(
      target: layout.matrices[index], storedQ: UnsafeRawPointer(memory.address + file.q[index]),
      precision: file.precision, product: products[index], sigma: sigma)
  }

  // MARK: - Whether it is still what was computed

  /// Reads all arrays and compares them with their checksums, on the threads of the pool, at the speed of memory or of
  /// the disk. What is wrong, in words; nil where nothing is, and for one in memory.
  ///
  /// What is mapped is the file: whatever is written into it shows at once, and what the kernel dropped is read from the
  /// disk again. So this holds for the moment, and whoever computes for long asks before and after.
  /// - Parameter shouldStop: asked before each matrix; where it says true the rest is not read, and nothing is said.
  package func damage(
    _ pool: ComputePool, shouldStop: @escaping @Sendable () -> Bool = { false }
  ) -> String? {
    guard isCached else { return nil }
    let identity = memory.identity
    let isStopped = Mutex(false)
    let damaged = damagedMatrices(pool) {
      guard shouldStop() else { return false }
      isStopped.withLock { $0 = true }
      return true
    }
    if isStopped.withLock({ $0 }) { return nil }
    guard let first = damaged.min() else {
      checked.withLock { $0 = identity }
      return nil
    }
    return "the checksum of '\(layout.matrices[first].name)' is not that of its values"
  }

  /// Those whose checksums are not what the file says.
  func damagedMatrices(_ pool: ComputePool, shouldStop: @escaping @Sendable () -> Bool = { false }) -> Set<Int> {
    let damaged = Mutex<Set<Int>>([])
    pool.forEach(layout.matrices.count, priority: .job) { [self] index, _ in
      guard !shouldStop(), layout.matrices[index].isFactored else { return }
      let stored = unsafe memory.sums(at: file.sums)[index]
      if Self.sum(self[index]) != stored { _ = damaged.withLock { $0.insert(index) } }
    }
    return damaged.withLock { $0 }
  }

  /// Whether the file was written to since `damage` found nothing: one call of the kernel.
  package var hasChanged: Bool { isCached && checked.withLock({ $0 }) != memory.identity }

  /// Of what a cache file holds of a matrix.
  static func sum(_ matrix: FactoredMatrix) -> UInt64 {
    let r = matrix.rank
    return unsafe sum(
      sigma: UnsafeBufferPointer(start: matrix.sigma, count: r),
      q: UnsafeRawBufferPointer(start: matrix.storedQ, count: r * r * matrix.precision.size))
  }

  static func sum(sigma: UnsafeBufferPointer<Float>, q: UnsafeRawBufferPointer) -> UInt64 {
    let first = unsafe XXH64.sum(UnsafeRawBufferPointer(sigma))
    return unsafe XXH64.sum(q, seed: first)
  }

  /// The size of the arrays: of the file, where there is one.
  package var byteCount: Int { memory.byteCount }

  /// The same of a layout for which no other precision is asked for.
  package static func byteCount(of layout: MultiplierLayout, precision: FactorPrecision) -> Int {
    // The length of a digest counts, the digest does not.
    let digest = SHA256.digest([]).description
    return FactorizationFile(digest: digest, layout: layout, precision: precision)?.byteCount ?? .max
  }

  /// Bytes of the products, once they are made: 0 before.
  package var productBytes: Int { products.byteCount }

  /// The same of a layout.
  package static func productBytes(of layout: MultiplierLayout) -> Int { FactorProducts.byteCount(layout) }

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
  /// `shouldStop` said so.
  case stopped
  /// What was just written does not read back.
  case unfaithful(path: String, String)

  package var description: String {
    switch self {
    case .matrix(let name, let error): "cannot factor '\(name)': \(error)"
    case .stopped: "stopped on request"
    case .file(let error): "cannot keep the factorization: \(error)"
    case .unfaithful(let path, let problem):
      "the factorization was written to '\(path)' and reads back as something else: \(problem); is the disk in order?"
    case .tooLarge(let matrices): "cannot factor a model of \(matrices) matrices: their sizes do not fit into memory"
    }
  }
}
