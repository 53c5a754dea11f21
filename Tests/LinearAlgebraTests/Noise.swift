/// Repeatable uniform values in [-1, 1) (SplitMix64).
struct Noise {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func floats(_ count: Int) -> [Float] {
    (0..<count).map { _ in Float(Int64(bitPattern: next()) >> 40) / Float(1 << 23) }
  }
}

func largestDifference(_ a: [Float], _ b: [Float]) -> Float {
  // A comparison with NaN is false, so that max would lose it.
  zip(a, b).reduce(0) { abs($1.0 - $1.1) <= $0 ? $0 : ($1.0 - $1.1).isNaN ? .infinity : abs($1.0 - $1.1) }
}
