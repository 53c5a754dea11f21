import CKernels
import LinearAlgebra

/// What the machine gives at most, measured in the same run: the figures that others are a share of.
struct MachineSpeed: Sendable {
  /// A plain product of (512, 576) by (576, 1536), B transposed, on one core, and on all at once.
  let productOneCore: Double
  let productAllCores: Double

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

    return MachineSpeed(
      productOneCore: Double(products) * flop / one, productAllCores: Double(products * cores) * flop / all)
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

/// Bytes per second at which all cores together read a block once: the bound that the speeds of products are a share of.
///
/// In tiles of some 4 MB as products have them, on the best vector unit, so that nothing but the memory sets it.
func readingSpeed(_ context: borrowing BenchmarkContext, of block: FloatBuffer) -> Double {
  let tile = min(1 << 20, max(block.count / (4 * context.pool.threadCount), 1))
  let tiles = block.count / tile
  let sums = FloatBuffer(count: tiles)
  let unit = t2_best_vector_unit()
  let seconds = context.bestSeconds {
    context.pool.forEach(tiles, priority: .interactive) { index, _ in
      unsafe (block.pointer + index * tile).withMemoryRebound(to: UInt32.self, capacity: tile) { words in
        unsafe sums.pointer[index] = Float(t2_read(unit, words, tile))
      }
    }
  }
  return Double(tiles * tile * MemoryLayout<Float>.stride) / seconds
}
