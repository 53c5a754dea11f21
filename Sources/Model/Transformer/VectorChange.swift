internal import CKernels
internal import LinearAlgebra
internal import ModelFormats
internal import Multipliers
internal import SVF
internal import SystemSupport
import struct Synchronization.Atomic

/// What one vector s changes: M = Q diag(s − 1) Qᵀ (r, r) of every matrix, with which y = W x, y += M y on the left side, and
/// x' = x + M x, y = W x' on the right. Costs Σ r³ / 2 multiplications once, and then half of what Q twice costs; in halves,
/// whose rounding weighs only as much as s differs from 1.
///
/// Made matrix by matrix, in the order of the layout, since a large model's take minutes: what is made serves at once.
///
/// `@unchecked Sendable`, `@safe`: a matrix is written before it is counted, and never after.
@safe final class VectorChange: @unchecked Sendable {
  let vector: MultiplierVector
  private let factorization: Factorization
  private let memory: FloatBuffer
  /// In halves.
  private let offsets: [Int]
  private let making = Mutex(())
  private let made = Atomic<Int>(0)

  /// Rows of a tile at most.
  private static let tileRows = 128
  /// Of the numbers that halves hold.
  private static let largest: Float = 65504

  /// Nil where halves do not hold what the vector changes.
  init?(_ vector: MultiplierVector, _ factorization: Factorization) {
    guard vector.values.allSatisfy({ abs($0 - 1) < Self.largest }) else { return nil }
    self.vector = vector
    self.factorization = factorization
    var offsets: [Int] = []
    var end = 0
    for matrix in factorization.layout.matrices {
      offsets.append(end)
      end += (matrix.rank * matrix.rank + 31) / 32 * 32
    }
    self.offsets = offsets
    // Mapped lazily: a matrix that the vector leaves as it is costs nothing.
    memory = FloatBuffer(count: (end + 1) / 2)
  }

  var byteCount: Int { memory.count * MemoryLayout<Float>.stride }
  /// Matrices that are made, the first ones of the layout.
  var madeCount: Int { made.load(ordering: .acquiring) }
  var isComplete: Bool { madeCount == offsets.count }

  /// M of a matrix, row by row.
  func rows(_ matrix: Int) -> StoredRows {
    let rank = factorization.layout.matrices[matrix].rank
    return unsafe StoredRows(type: T2_F16, start: UnsafeRawPointer(halves(matrix)), inner: rank)
  }

  private func halves(_ matrix: Int) -> UnsafeMutablePointer<UInt16> {
    unsafe UnsafeMutableRawPointer(memory.pointer).assumingMemoryBound(to: UInt16.self) + offsets[matrix]
  }

  /// Makes the next matrices, one at least, until that many multiplications are done. Blocks; one caller at a time.
  func make(multiplications: Int, pool: ComputePool, priority: ComputePool.Priority) {
    making.withLock { _ in
      let first = made.load(ordering: .relaxed)
      var tiles: [(matrix: Int, rows: Range<Int>)] = []
      var (end, work) = (first, 0)
      while end < offsets.count, end == first || work < multiplications {
        defer { end += 1 }
        let layout = factorization.layout
        guard !vector.isIdentity(in: layout.range(of: end)) else { continue }
        let rank = layout.matrices[end].rank
        work += Self.multiplications(rank: rank)
        let parts = blocks(rank, (rank + Self.tileRows - 1) / Self.tileRows)
        tiles += parts.map { (matrix: end, rows: $0) }
      }
      // The longest first: a block of rows has as many columns as come before its end.
      let all = tiles.sorted { $0.rows.upperBound > $1.rows.upperBound }
      pool.forEach(all.count, priority: priority) { [self] tile, scratch in
        fill(all[tile].matrix, all[tile].rows, scratch)
      }
      made.store(end, ordering: .releasing)
    }
  }

  static func multiplications(rank: Int) -> Int { rank * rank * rank / 2 }

  /// Some rows of M up to the diagonal, and what is symmetric to them.
  private func fill(_ matrix: Int, _ rows: Range<Int>, _ scratch: Scratch) {
    let f = factorization[matrix]
    let (r, columns) = (f.rank, rows.upperBound)
    let range = factorization.layout.range(of: matrix)
    let scaled = unsafe scratch.floats(ScratchSlot.weights, count: rows.count * r)
    let differences = vector.values[range].map { $0 - 1 }
    unsafe f.copyRows(rows, times: differences, to: scaled)
    let product = unsafe scratch.floats(ScratchSlot.product, count: rows.count * columns)
    unsafe f.expand(
      0..<columns, rows: rows.count, t: scaled, tStride: r, to: product, yStride: columns, accumulate: false, scratch)
    let target = unsafe halves(matrix)
    for row in rows {
      unsafe storeHalves(product + (row - rows.lowerBound) * columns, target + row * r, count: columns)
    }
    for row in rows {
      for column in 0..<row { unsafe target[column * r + row] = target[row * r + column] }
    }
  }
}

/// What was made for the last vectors that long answers were asked under.
final class KeptChanges: Sendable {
  private let kept = Mutex<[VectorChange]>([])

  /// At most so many, and bytes of all.
  static let countLimit = 2
  static let byteLimit = 1_000_000_000

  /// That of a vector, the same object as long as it is kept; nil where halves do not hold it.
  func change(of vector: MultiplierVector, _ factorization: Factorization) -> VectorChange? {
    kept.withLock { kept in
      let found = kept.firstIndex { $0.vector == vector }.map { kept.remove(at: $0) }
      guard let change = found ?? VectorChange(vector, factorization) else { return nil }
      kept.insert(change, at: 0)
      while kept.count > Self.countLimit || kept.reduce(0, { $0 + $1.byteCount }) > Self.byteLimit {
        kept.removeLast()
      }
      return change
    }
  }

  /// Whether that of a vector is there.
  func has(_ vector: MultiplierVector) -> Bool { kept.withLock { $0.contains { $0.vector == vector } } }

  /// What is in use lives until its pass has ended.
  func removeAll() { kept.withLock { $0 = [] } }

  var count: Int { kept.withLock { $0.count } }
}
