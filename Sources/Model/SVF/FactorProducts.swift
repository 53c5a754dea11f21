package import LinearAlgebra
import Multipliers
import struct Synchronization.Atomic
import SystemSupport

/// A or B of every matrix, in memory only: they follow from Q and W, and are twice as large as Q. Made when they are first
/// asked for.
///
/// `@unchecked Sendable`, `@safe`: the memory is written before its address is published, and never after.
@safe final class FactorProducts: @unchecked Sendable {
  /// In floats.
  private let offsets: [Int]
  private let count: Int
  private let memory = Mutex<FloatBuffer?>(nil)
  private let address = unsafe Atomic<UnsafeMutablePointer<Float>?>(nil)

  /// Of arrays: a cache line.
  private static let alignment = 16

  init(layout: MultiplierLayout) {
    (offsets, count) = Self.places(layout)
  }

  private static func places(_ layout: MultiplierLayout) -> (offsets: [Int], count: Int) {
    var offsets: [Int] = []
    var end = 0
    for matrix in layout.matrices {
      offsets.append(end)
      guard matrix.isFactored else { continue }
      end += (matrix.rows * matrix.columns + alignment - 1) / alignment * alignment
    }
    return (offsets, end)
  }

  /// Once they are made.
  static func byteCount(_ layout: MultiplierLayout) -> Int { places(layout).count * MemoryLayout<Float>.stride }

  /// (m, n); nil where nothing was made yet.
  subscript(index: Int) -> UnsafeMutablePointer<Float>? {
    unsafe address.load(ordering: .acquiring).map { unsafe $0 + offsets[index] }
  }

  var byteCount: Int { unsafe address.load(ordering: .relaxed) == nil ? 0 : count * MemoryLayout<Float>.stride }

  /// `make` writes the product of one matrix; on compute threads, several at once. The lock is held meanwhile: whoever comes
  /// then needs the products too, and no compute thread ever asks for them to be made.
  func make(
    pool: ComputePool, priority: ComputePool.Priority,
    _ make: @escaping @Sendable (Int, UnsafeMutablePointer<Float>, Scratch) -> Void
  ) {
    memory.withLock { memory in
      guard memory == nil else { return }
      let buffer = FloatBuffer(count: count)
      pool.forEach(offsets.count, priority: priority) { [offsets] index, scratch in
        unsafe make(index, buffer.pointer + offsets[index], scratch)
      }
      memory = buffer
      unsafe address.store(buffer.pointer, ordering: .releasing)
    }
  }
}

extension Factorization {
  /// Makes the products of Q and W where they are not there yet; blocks. Whoever multiplies by factors asks first.
  package func makeProducts(weights: @escaping MatrixReader, pool: ComputePool, priority: ComputePool.Priority) {
    unsafe products.make(pool: pool, priority: priority) { [self] index, target, scratch in
      let factored = self[index]
      guard factored.target.isFactored else { return }
      unsafe multiplyFactor(
        factored.target, q: factored.q(scratch, slot: 0), weight: weights(index, scratch), into: target)
    }
  }
}
