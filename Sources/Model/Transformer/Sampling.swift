internal import Engines
internal import Glibc

extension Sampling {
  /// The next token; nil where the logits are not finite.
  func choose(_ logits: UnsafeBufferPointer<Float>, step: Int) -> Int32? {
    guard let base = logits.baseAddress, unsafe allFinite(base, count: logits.count) else { return nil }
    let largest = unsafe maximum(base, count: logits.count)
    switch self {
    case .greedy:
      return unsafe logits.firstIndex(of: largest).map { Int32($0) }
    case .sampled(let temperature, let topP, let seed, let stream):
      let uniform = uniformNumber(seed: seed, stream: stream, step: UInt64(step))
      return unsafe nucleusSample(logits, largest: largest, temperature: temperature, topP: topP, uniform: uniform)
    }
  }
}

/// A number in [0, 1) that depends on its three arguments alone: a counter-based generator, of which no state is kept.
/// SplitMix64's finalizer, applied after each argument.
func uniformNumber(seed: UInt64, stream: UInt64, step: UInt64) -> Double {
  var z = seed
  for word in [stream, step] {
    z = (z &+ word &+ 1) &* 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    z ^= z >> 31
  }
  return Double(z >> 11) * 0x1p-53
}

/// The token at which the cumulative probability of the nucleus, most likely first, passes `uniform`.
private func nucleusSample(
  _ logits: UnsafeBufferPointer<Float>, largest: Float, temperature: Float, topP: Float, uniform: Double
) -> Int32 {
  let weights = unsafe logits.map { exp(Double(($0 - largest) / temperature)) }
  let total = weights.reduce(0, +)
  let goal = Double(topP) * total
  // Without a nucleus the order is needed up to the chosen token only.
  let needed = topP < 1 ? goal : uniform * total
  // Sorting the whole vocabulary would cost more than the model's step: take what is above a threshold, and lower it
  // until that holds what is needed.
  var threshold = 1e-3
  while true {
    let candidates = weights.indices.filter { weights[$0] >= threshold }
    let mass = candidates.reduce(0) { $0 + weights[$1] }
    guard mass > needed || threshold == 0 else {
      threshold = threshold > 1e-12 ? threshold * 0.01 : 0
      continue
    }
    let ordered = candidates.sorted { (weights[$0], $1) > (weights[$1], $0) }
    var nucleus: [Int] = []
    var kept = 0.0
    for token in ordered {
      nucleus.append(token)
      kept += weights[token]
      if kept >= goal { break }
    }
    var left = topP < 1 ? uniform * kept : needed
    for token in nucleus {
      left -= weights[token]
      if left < 0 { return Int32(token) }
    }
    return Int32(nucleus.last ?? 0)
  }
}
