import LinearAlgebra

/// What the machine gives at most, measured in the same run: the figures that others are a share of.
struct MachineSpeed: Sendable {
  /// A plain product of (512, 576) by (576, 1536), B transposed, on one core, and on all at once.
  let productOneCore: Double
  let productAllCores: Double
  /// Bytes per second of a matrix-vector product over a matrix that no cache holds, on all cores at once.
  let bandwidthAllCores: Double

  /// Takes about a second.
  static func measure(on pool: ComputePool, repetitions: Int = 5) -> MachineSpeed {
    let (m, n, k) = (512, 1536, 576)
    let cores = pool.threadCount
    let matrices = (0..<cores).map { _ in (a: noise(m * k), b: noise(n * k), c: FloatBuffer(count: m * n)) }
    let flop = 2.0 * Double(m * n * k)
    let products = 8
    func productSeconds(_ tiles: Int) -> Double {
      best(repetitions) {
        pool.forEach(tiles, priority: .interactive) { tile, _ in
          let (a, b, c) = matrices[tile]
          for _ in 0..<products {
            unsafe BLAS.gemm(
              transposeA: false, transposeB: true, m: m, n: n, k: k, a: a.pointer, lda: k, b: b.pointer, ldb: k,
              c: c.pointer, ldc: n)
          }
        }
      }
    }
    let one = productSeconds(1)
    let all = productSeconds(cores)

    let (rows, columns) = (32_768, 1024)  // 128 MB a core
    let vectors = (0..<cores).map { _ in
      (a: noise(rows * columns), x: noise(columns), y: FloatBuffer(count: rows))
    }
    let streaming = best(repetitions) {
      pool.forEach(cores, priority: .interactive) { tile, _ in
        let (a, x, y) = vectors[tile]
        unsafe BLAS.gemv(
          transpose: false, rows: rows, columns: columns, a: a.pointer, lda: columns, x: x.pointer, y: y.pointer)
      }
    }
    return MachineSpeed(
      productOneCore: Double(products) * flop / one, productAllCores: Double(products * cores) * flop / all,
      bandwidthAllCores: Double(cores * rows * columns * MemoryLayout<Float>.stride) / streaming)
  }

  private static func best(_ repetitions: Int, _ body: () -> Void) -> Double {
    body()  // Pages and caches.
    let clock = ContinuousClock()
    return (0..<repetitions).map { _ in clock.measure(body) / .seconds(1) }.min() ?? .infinity
  }
}

/// A buffer of repeatable values in [-1, 1).
func noise(_ count: Int, seed: UInt64 = 1) -> FloatBuffer {
  let buffer = FloatBuffer(count: count)
  var state = seed
  for index in 0..<count {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    unsafe buffer.pointer[index] = Float(Int32(truncatingIfNeeded: state >> 32)) / 2_147_483_648
  }
  return buffer
}

/// Bytes per second at which all cores together read a block once.
func readingSpeed(_ context: borrowing BenchmarkContext, of block: FloatBuffer) -> Double {
  let count = block.count
  let tiles = 4 * context.pool.threadCount
  let sums = FloatBuffer(count: tiles * 16)
  let seconds = context.bestSeconds {
    context.pool.forEach(tiles, priority: .interactive) { tile, _ in
      var sums4 = (SIMD8<Float>.zero, SIMD8<Float>.zero, SIMD8<Float>.zero, SIMD8<Float>.zero)
      for i in stride(from: tile * count / tiles & ~31, to: ((tile + 1) * count / tiles & ~31), by: 32) {
        let place = unsafe UnsafeRawPointer(block.pointer + i)
        sums4.0 += unsafe place.loadUnaligned(as: SIMD8<Float>.self)
        sums4.1 += unsafe place.loadUnaligned(fromByteOffset: 32, as: SIMD8<Float>.self)
        sums4.2 += unsafe place.loadUnaligned(fromByteOffset: 64, as: SIMD8<Float>.self)
        sums4.3 += unsafe place.loadUnaligned(fromByteOffset: 96, as: SIMD8<Float>.self)
      }
      unsafe sums.pointer[tile * 16] = (sums4.0 + sums4.1 + sums4.2 + sums4.3).sum()
    }
  }
  return Double(count * MemoryLayout<Float>.stride) / seconds
}
