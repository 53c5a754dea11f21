// The elementwise arithmetic of a backward pass, in the manner of VectorMath: pointers and counts, no allocation.

/// dx += the gradient of y = weight * x / rms(x) at dy, each of `count` floats.
///
/// With r = 1 / rms(x): dx_j = r w_j dy_j − x_j r³ / n Σ_i w_i dy_i x_i.
func addRMSNormGradient(
  _ dx: UnsafeMutablePointer<Float>, dy: UnsafePointer<Float>, x: UnsafePointer<Float>,
  weight: UnsafePointer<Float>, count: Int, epsilon: Float
) {
  let whole = count & ~7
  var squares = SIMD8<Float>.zero
  var products = SIMD8<Float>.zero
  for i in stride(from: 0, to: whole, by: 8) {
    let v = unsafe load8(x + i)
    squares += v * v
    products += unsafe load8(weight + i) * load8(dy + i) * v
  }
  var (square, product) = (squares.sum(), products.sum())
  for i in whole..<count {
    square += unsafe x[i] * x[i]
    product += unsafe weight[i] * dy[i] * x[i]
  }
  let scale = 1 / (square / Float(count) + epsilon).squareRoot()
  let back = scale * scale * scale * product / Float(count)
  for i in stride(from: 0, to: whole, by: 8) {
    unsafe store8(load8(dx + i) + load8(weight + i) * load8(dy + i) * scale - load8(x + i) * back, dx + i)
  }
  for i in whole..<count { unsafe dx[i] += weight[i] * dy[i] * scale - x[i] * back }
}

/// d = scale * p * (d − Σ p d), each of `count` floats: the gradient through p = softmax(scale * x).
func softmaxGradient(
  _ d: UnsafeMutablePointer<Float>, probabilities p: UnsafePointer<Float>, count: Int, scale: Float
) {
  let whole = count & ~7
  var total = SIMD8<Float>.zero
  for i in stride(from: 0, to: whole, by: 8) { total += unsafe load8(p + i) * load8(d + i) }
  var sum = total.sum()
  for i in whole..<count { sum += unsafe p[i] * d[i] }
  for i in stride(from: 0, to: whole, by: 8) { unsafe store8((load8(d + i) - sum) * load8(p + i) * scale, d + i) }
  for i in whole..<count { unsafe d[i] = (d[i] - sum) * p[i] * scale }
}

/// out = the rotation back: the transpose of ``rotate(_:_:cosines:sines:half:)``.
func rotateBack(
  _ out: UnsafeMutablePointer<Float>, _ x: UnsafePointer<Float>, cosines: UnsafePointer<Float>,
  sines: UnsafePointer<Float>, half: Int
) {
  let whole = half & ~7
  for i in stride(from: 0, to: whole, by: 8) {
    let (a, b) = unsafe (load8(x + i), load8(x + half + i))
    let (c, s) = unsafe (load8(cosines + i), load8(sines + i))
    unsafe store8(a * c + b * s, out + i)
    unsafe store8(b * c - a * s, out + half + i)
  }
  for i in whole..<half {
    let (a, b) = unsafe (x[i], x[half + i])
    unsafe out[i] = a * cosines[i] + b * sines[i]
    unsafe out[half + i] = b * cosines[i] - a * sines[i]
  }
}

/// out = x * factors, each of `count` floats.
func multiplyElements(
  _ out: UnsafeMutablePointer<Float>, _ x: UnsafePointer<Float>, by factors: UnsafePointer<Float>, count: Int
) {
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) { unsafe store8(load8(x + i) * load8(factors + i), out + i) }
  for i in whole..<count { unsafe out[i] = x[i] * factors[i] }
}

/// sums += p * q and then q *= s, each of `count` floats: one row's part of dL/ds, and what goes on to the inputs.
func accumulateGradient(
  _ sums: UnsafeMutablePointer<Float>, p: UnsafePointer<Float>, q: UnsafeMutablePointer<Float>,
  multipliers s: UnsafePointer<Float>, count: Int
) {
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) {
    let v = unsafe load8(q + i)
    unsafe store8(load8(sums + i) + load8(p + i) * v, sums + i)
    unsafe store8(v * load8(s + i), q + i)
  }
  for i in whole..<count {
    let v = unsafe q[i]
    unsafe sums[i] += p[i] * v
    unsafe q[i] = v * s[i]
  }
}

/// x = −weight e^(x − normalizer), each of `count` floats: what a row's log-probabilities, weighted `weight` in all, say
/// of every logit, but for the wanted tokens' own share.
func softmaxShare(_ x: UnsafeMutablePointer<Float>, count: Int, normalizer: Float, weight: Float) {
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) {
    unsafe store8(exponential(load8(x + i) - normalizer) * -weight, x + i)
  }
  for i in whole..<count { unsafe x[i] = exponential(x[i] - normalizer) * -weight }
}

/// Σ p (ln p − ln q) over `count` tokens of two distributions, given as logits and what makes them log-probabilities.
func divergence(
  _ x: UnsafePointer<Float>, normalizer: Float, from y: UnsafePointer<Float>, normalizer other: Float, count: Int
) -> Float {
  let whole = count & ~7
  var total = SIMD8<Float>.zero
  for i in stride(from: 0, to: whole, by: 8) {
    let logarithm = unsafe load8(x + i) - normalizer
    total += unsafe exponential(logarithm) * (logarithm - (load8(y + i) - other))
  }
  var sum = total.sum()
  for i in whole..<count {
    let logarithm = unsafe x[i] - normalizer
    sum += unsafe exponential(logarithm) * (logarithm - (y[i] - other))
  }
  return sum
}

/// out += factor · p ((ln p − ln q) − `divergence`), or factor · (p − q) where that is nil, over `count` tokens; p from the
/// logits x, q from the logits y.
func addDivergenceGradient(
  _ out: UnsafeMutablePointer<Float>, _ x: UnsafePointer<Float>, normalizer: Float, base y: UnsafePointer<Float>,
  baseNormalizer: Float, towards divergence: Float?, factor: Float, count: Int
) {
  func derivative(_ x: SIMD8<Float>, _ y: SIMD8<Float>) -> SIMD8<Float> {
    let (p, q) = (x - normalizer, y - baseNormalizer)
    guard let divergence else { return factor * (exponential(p) - exponential(q)) }
    return factor * exponential(p) * (p - q - divergence)
  }
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) {
    unsafe store8(load8(out + i) + derivative(load8(x + i), load8(y + i)), out + i)
  }
  for i in whole..<count {
    unsafe out[i] += derivative(SIMD8(repeating: x[i]), SIMD8(repeating: y[i]))[0]
  }
}
