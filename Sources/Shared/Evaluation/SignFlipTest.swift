/// A two-sided permutation test that paired differences lie around zero: under the null hypothesis each sign is a coin.
///
/// The statistic is the size of the sum. Up to 20 differences that are not zero every pattern of signs is counted; beyond, patterns are
/// drawn by a counter-based generator, so that the same seed gives the same p on any number of threads.
package struct SignFlipTest: Sendable, Equatable {
  package let mean: Double
  package let pValue: Double
  package let isExact: Bool

  package static let exactUpTo = 20

  package init(_ differences: [Double], seed: UInt64 = 0, samples: Int = 20_000) {
    precondition(differences.allSatisfy(\.isFinite), "a difference is not finite")
    precondition(samples > 0, "\(samples) samples")
    let moving = differences.filter { $0 != 0 }
    let total = differences.reduce(0, +)
    mean = differences.isEmpty ? 0 : total / Double(differences.count)
    let size = moving.reduce(0) { $0 + abs($1) }
    let reached = abs(total) - 1e-9 * size  // sums that differ only by rounding are ties
    if moving.isEmpty {
      pValue = 1
      isExact = true
    } else if moving.count <= Self.exactUpTo {
      pValue = Self.exact(moving, reached)
      isExact = true
    } else {
      pValue = Self.sampled(moving, reached, seed, samples)
      isExact = false
    }
  }

  /// All patterns in Gray's order: from one to the next a single sign changes. The mirror image of each has the same size, so the last
  /// sign stays.
  private static func exact(_ values: [Double], _ reached: Double) -> Double {
    var signs = [Double](repeating: 1, count: values.count)
    var sum = values.reduce(0, +)
    let patterns = 1 << (values.count - 1)
    var count = 0
    for pattern in 0..<patterns {
      if pattern > 0 {
        let flipped = pattern.trailingZeroBitCount
        signs[flipped] = -signs[flipped]
        sum += 2 * signs[flipped] * values[flipped]
      }
      if abs(sum) >= reached { count += 1 }
    }
    return Double(count) / Double(patterns)
  }

  /// The pattern that was seen is one of those drawn, so that p is never 0.
  private static func sampled(_ values: [Double], _ reached: Double, _ seed: UInt64, _ samples: Int) -> Double {
    var count = 1
    var counter: UInt64 = 0
    for _ in 0..<samples {
      var sum = 0.0
      var bits: UInt64 = 0
      for (index, value) in values.enumerated() {
        if index % 64 == 0 {
          bits = counterRandom(seed: seed, counter: counter)
          counter += 1
        }
        sum += bits & 1 == 0 ? value : -value
        bits >>= 1
      }
      if abs(sum) >= reached { count += 1 }
    }
    return Double(count) / Double(samples + 1)
  }
}

/// The `counter`-th number of a stream: SplitMix64 without state (Steele, Lea and Flood, 2014), so any of them can be had at once.
func counterRandom(seed: UInt64, counter: UInt64) -> UInt64 {
  func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
  return mix(mix(seed &+ 0x9E37_79B9_7F4A_7C15) &+ (counter &+ 1) &* 0x9E37_79B9_7F4A_7C15)
}
