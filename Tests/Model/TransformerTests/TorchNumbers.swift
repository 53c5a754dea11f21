import Foundation

/// `torch.randn` of a CPU generator, to the last bits: its numbers by the Mersenne Twister (Matsumoto and Nishimura, 1998) and
/// the Box-Muller transform of eight and eight in each sixteen, as ATen's `normal_fill` has it.
struct TorchNumbers {
  private var state: [UInt32]
  private var place = 624

  init(seed: UInt32) {
    state = [seed]
    for i in 1..<624 {
      let last = state[i - 1]
      state.append(1_812_433_253 &* (last ^ (last >> 30)) &+ UInt32(i))
    }
  }

  private mutating func next() -> UInt32 {
    if place == 624 {
      for k in 0..<624 {
        let bits = (state[k] & 0x8000_0000) | (state[(k + 1) % 624] & 0x7fff_ffff)
        state[k] = state[(k + 397) % 624] ^ (bits >> 1) ^ (bits & 1 == 1 ? 0x9908_b0df : 0)
      }
      place = 0
    }
    var y = state[place]
    place += 1
    y ^= y >> 11
    y ^= (y << 7) & 0x9d2c_5680
    y ^= (y << 15) & 0xefc6_0000
    return y ^ (y >> 18)
  }

  /// `count` is a multiple of 16, where torch has no rule for a rest.
  mutating func normals(_ count: Int) -> [Float] {
    precondition(count % 16 == 0, "got \(count)")
    var values = (0..<count).map { _ in Float(next() & 0xff_ffff) / Float(1 << 24) }
    for start in stride(from: 0, to: count, by: 16) {
      for i in start..<start + 8 {
        let radius = (-2 * log(1 - Double(values[i]))).squareRoot()
        let angle = 2 * Double.pi * Double(values[i + 8])
        values[i] = Float(radius * cos(angle))
        values[i + 8] = Float(radius * sin(angle))
      }
    }
    return values
  }
}
