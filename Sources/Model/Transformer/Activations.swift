internal import ModelFormats

// The activation of the MLP and the cap of logits, forward and backward, in the manner of VectorMath.

extension Activation {
  /// out = activation(gate) * up, each of `count` floats. `out` may be `gate`.
  func gated(
    _ out: UnsafeMutablePointer<Float>, gate: UnsafePointer<Float>, up: UnsafePointer<Float>, count: Int
  ) {
    switch self {
    case .silu: unsafe gatedSiLU(out, gate: gate, up: up, count: count)
    case .tanhGELU: unsafe gatedGELU(out, gate: gate, up: up, count: count)
    }
  }

  /// The gradients of y = activation(gate) * up at dy, each of `count` floats. `dUp` may be `dy`.
  func gatedGradient(
    dy: UnsafePointer<Float>, dGate: UnsafeMutablePointer<Float>, dUp: UnsafeMutablePointer<Float>,
    gate: UnsafePointer<Float>, up: UnsafePointer<Float>, count: Int
  ) {
    switch self {
    case .silu: unsafe gatedSiLUGradient(dy: dy, dGate: dGate, dUp: dUp, gate: gate, up: up, count: count)
    case .tanhGELU: unsafe gatedGELUGradient(dy: dy, dGate: dGate, dUp: dUp, gate: gate, up: up, count: count)
    }
  }
}

/// out = silu(gate) * up, with silu(x) = x / (1 + e^-x).
private func gatedSiLU(
  _ out: UnsafeMutablePointer<Float>, gate: UnsafePointer<Float>, up: UnsafePointer<Float>, count: Int
) {
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) {
    let g = unsafe load8(gate + i)
    unsafe store8(g / (1 + exponential(-g)) * load8(up + i), out + i)
  }
  for i in whole..<count {
    let g = unsafe gate[i]
    unsafe out[i] = g / (1 + exponential(-g)) * up[i]
  }
}

/// With σ = 1 / (1 + e^-g): d silu = σ (1 + g (1 − σ)).
private func gatedSiLUGradient(
  dy: UnsafePointer<Float>, dGate: UnsafeMutablePointer<Float>, dUp: UnsafeMutablePointer<Float>,
  gate: UnsafePointer<Float>, up: UnsafePointer<Float>, count: Int
) {
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) {
    let (g, d) = unsafe (load8(gate + i), load8(dy + i))
    let sigmoid = 1 / (1 + exponential(-g))
    unsafe store8(d * load8(up + i) * sigmoid * (1 + g * (1 - sigmoid)), dGate + i)
    unsafe store8(d * g * sigmoid, dUp + i)
  }
  for i in whole..<count {
    let (g, d) = unsafe (gate[i], dy[i])
    let sigmoid = 1 / (1 + exponential(-g))
    unsafe dGate[i] = d * up[i] * sigmoid * (1 + g * (1 - sigmoid))
    unsafe dUp[i] = d * g * sigmoid
  }
}

// 0.5 x (1 + tanh u) = x / (1 + e^-2u), which loses nothing where tanh u is near -1. 2u = a x + b x³.
private let geluSlope: Float = 1.595_769_121_605_730_7  // a = 2 √(2/π)
private let geluBend: Float = 0.071_354_816_272_600_25  // b = 0.044715 a

/// e^-2u
@inline(__always)
private func geluExponential(_ x: SIMD8<Float>) -> SIMD8<Float> { exponential(-x * (geluSlope + geluBend * (x * x))) }

/// out = gelu(gate) * up, by the approximation with tanh.
private func gatedGELU(
  _ out: UnsafeMutablePointer<Float>, gate: UnsafePointer<Float>, up: UnsafePointer<Float>, count: Int
) {
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) {
    let g = unsafe load8(gate + i)
    unsafe store8(g / (1 + geluExponential(g)) * load8(up + i), out + i)
  }
  for i in whole..<count {
    let g = unsafe gate[i]
    unsafe out[i] = g / (1 + geluExponential(SIMD8(repeating: g))[0]) * up[i]
  }
}

/// With σ = 1 / (1 + e^-2u): d gelu = σ (1 + g (1 − σ) (a + 3 b g²)).
private func gatedGELUGradient(
  dy: UnsafePointer<Float>, dGate: UnsafeMutablePointer<Float>, dUp: UnsafeMutablePointer<Float>,
  gate: UnsafePointer<Float>, up: UnsafePointer<Float>, count: Int
) {
  @inline(__always)
  func derivatives(_ g: SIMD8<Float>) -> (value: SIMD8<Float>, slope: SIMD8<Float>) {
    let e = geluExponential(g)
    let sigmoid = 1 / (1 + e)
    // 1 − σ = e σ, which keeps its digits where σ is near 1.
    let bend: SIMD8<Float> = geluSlope + 3 * geluBend * (g * g)
    return (g * sigmoid, sigmoid * (1 + g * (e * sigmoid) * bend))
  }
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) {
    let d = unsafe load8(dy + i)
    let (value, slope) = unsafe derivatives(load8(gate + i))
    unsafe store8(d * load8(up + i) * slope, dGate + i)
    unsafe store8(d * value, dUp + i)
  }
  for i in whole..<count {
    let d = unsafe dy[i]
    let (value, slope) = unsafe derivatives(SIMD8(repeating: gate[i]))
    unsafe dGate[i] = d * up[i] * slope[0]
    unsafe dUp[i] = d * value[0]
  }
}

/// tanh x, by Cephes' scheme: a polynomial near 0, else 1 − 2 / (1 + e^2x).
@inline(__always)
func hyperbolicTangent(_ x: SIMD8<Float>) -> SIMD8<Float> {
  let size = x.replacing(with: -x, where: x .< 0)
  let z = x * x
  var p = z * -5.704_988_727_45e-3 + 2.063_908_879_54e-2
  p = p * z - 5.373_971_555_31e-2
  p = p * z + 1.333_144_220_36e-1
  p = p * z - 3.333_328_194_22e-1
  let near = p * z * x + x
  let far = 1 - 2 / (1 + exponential(size + size))
  return far.replacing(with: -far, where: x .< 0).replacing(with: near, where: size .< 0.625)
}

/// What becomes of the product of the head: y = c tanh(z / c) / T with a cap c, else y = z / T.
///
/// Without a cap the product is linear in the head's input, which is divided by T then: once a row instead of once a token
/// of the vocabulary.
struct LogitForm: Sendable {
  let cap: Float?
  let temperature: Float

  /// What the head's input is divided by.
  var inputDivisor: Float { cap == nil ? temperature : 1 }

  /// z to y, for some rows that lie `stride` apart.
  func apply(_ z: UnsafeMutablePointer<Float>, rows: Int, columns: Int, stride: Int) {
    guard let cap else { return }
    let (inverse, factor) = (1 / cap, cap / temperature)
    for row in 0..<rows { unsafe scaledTangent(z + row * stride, inner: inverse, outer: factor, count: columns) }
  }

  /// d = dL/dy to dL/dz, for one row of which y is known: dy/dz = (1 − (y T / c)²) / T.
  func applyGradient(_ d: UnsafeMutablePointer<Float>, y: UnsafePointer<Float>, count: Int) {
    guard let cap else { return }
    unsafe tangentGradient(d, y: y, inner: temperature / cap, outer: 1 / temperature, count: count)
  }
}

/// x = outer tanh(inner x), of `count` floats.
private func scaledTangent(_ x: UnsafeMutablePointer<Float>, inner: Float, outer: Float, count: Int) {
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) { unsafe store8(hyperbolicTangent(load8(x + i) * inner) * outer, x + i) }
  for i in whole..<count { unsafe x[i] = hyperbolicTangent(SIMD8(repeating: x[i] * inner))[0] * outer }
}

/// d *= outer (1 − (inner y)²), each of `count` floats.
private func tangentGradient(
  _ d: UnsafeMutablePointer<Float>, y: UnsafePointer<Float>, inner: Float, outer: Float, count: Int
) {
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) {
    let t = unsafe load8(y + i) * inner
    unsafe store8(load8(d + i) * (1 - t * t) * outer, d + i)
  }
  for i in whole..<count {
    let t = unsafe y[i] * inner
    unsafe d[i] *= (1 - t * t) * outer
  }
}
