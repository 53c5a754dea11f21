import Glibc

/// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC11).
///
/// A number is a pure function of the seed and of where it is used (stream, generation, member, coordinate), so a search
/// that was resumed, pruned or spread over threads draws the same numbers. There is no state to save.
package struct Philox: Sendable {
  private let key: SIMD2<UInt32>

  package init(seed: UInt64) {
    key = [UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32)]
  }

  /// Four random words for one counter.
  package func block(_ counter: SIMD4<UInt32>) -> SIMD4<UInt32> {
    var (c, k) = (counter, key)
    for round in 0..<10 {
      if round > 0 { k = [k.x &+ 0x9E37_79B9, k.y &+ 0xBB67_AE85] }
      let p = UInt64(0xD251_1F53) * UInt64(c.x)
      let q = UInt64(0xCD9E_8D57) * UInt64(c.z)
      c = [
        UInt32(truncatingIfNeeded: q >> 32) ^ c.y ^ k.x, UInt32(truncatingIfNeeded: q),
        UInt32(truncatingIfNeeded: p >> 32) ^ c.w ^ k.y, UInt32(truncatingIfNeeded: p),
      ]
    }
    return c
  }

  /// Two independent uniform numbers in (0, 1), never at its ends, from the 53 upper bits of each half of a block.
  package func uniforms(_ counter: SIMD4<UInt32>) -> (Double, Double) {
    let words = block(counter)
    func unit(_ high: UInt32, _ low: UInt32) -> Double {
      (Double((UInt64(high) << 32 | UInt64(low)) >> 11) + 0.5) * 0x1p-53
    }
    return (unit(words.x, words.y), unit(words.z, words.w))
  }

  /// Two independent standard normal numbers (Box and Muller).
  package func normals(_ counter: SIMD4<UInt32>) -> (Double, Double) {
    let (u, v) = uniforms(counter)
    let radius = (-2 * log(u)).squareRoot()
    return (radius * cos(2 * .pi * v), radius * sin(2 * .pi * v))
  }

  /// Standard normal numbers for the coordinates of one member of a generation.
  func normals(_ count: Int, member: Int, generation: Int, stream: UInt32) -> [Double] {
    values(count, member: member, generation: generation, stream: stream, normals)
  }

  /// Uniform numbers in (0, 1) for the coordinates of one member of a generation.
  func uniforms(_ count: Int, member: Int, generation: Int, stream: UInt32) -> [Double] {
    values(count, member: member, generation: generation, stream: stream, uniforms)
  }

  private func values(
    _ count: Int, member: Int, generation: Int, stream: UInt32, _ pair: (SIMD4<UInt32>) -> (Double, Double)
  ) -> [Double] {
    var values: [Double] = []
    values.reserveCapacity(count + 1)
    for index in 0..<(count + 1) / 2 {
      let counter = SIMD4<UInt32>(
        UInt32(truncatingIfNeeded: index), UInt32(truncatingIfNeeded: member), UInt32(truncatingIfNeeded: generation),
        stream)
      let (first, second) = pair(counter)
      values += [first, second]
    }
    return Array(values.prefix(count))
  }

  /// 0..<count in random order (Fisher and Yates), drawn from `stream`.
  package func permutation(of count: Int, stream: UInt32) -> [Int] {
    var order = Array(0..<count)
    guard count > 1 else { return order }
    for last in stride(from: count - 1, to: 0, by: -1) {
      let (u, _) = uniforms([UInt32(truncatingIfNeeded: last), 0, 0, stream])
      order.swapAt(last, min(Int(u * Double(last + 1)), last))
    }
    return order
  }
}
