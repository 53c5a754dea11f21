// The elementwise arithmetic of a forward pass. Float sums over arrays do not vectorise by themselves (their order is
// part of the language), and libm's expf one value at a time would cost as much as the matrix products, so these use SIMD
// types. They are free functions over pointers and counts: no allocation, no state; the caller owns all memory.

/// Eight floats from an address of any alignment.
@inline(__always)
func load8(_ pointer: UnsafePointer<Float>) -> SIMD8<Float> {
  unsafe UnsafeRawPointer(pointer).loadUnaligned(as: SIMD8<Float>.self)
}

/// Eight floats to an address of any alignment.
@inline(__always)
func store8(_ value: SIMD8<Float>, _ pointer: UnsafeMutablePointer<Float>) {
  unsafe UnsafeMutableRawPointer(pointer).storeBytes(of: value, as: SIMD8<Float>.self)
}

/// e^x within 2 units in the last place of libm's for -87.3 <= x <= 88; below and above, the value at the bound.
///
/// Cephes' scheme: x = n ln 2 + r with |r| <= ln 2 / 2, a polynomial for e^r, and n put into the exponent.
@inline(__always)
func exponential(_ x: SIMD8<Float>) -> SIMD8<Float> {
  // Comparisons and selections: the library's pointwise minimum is a call.
  var x = x.replacing(with: -87.3, where: x .< -87.3)
  x.replace(with: 88, where: x .> 88)
  // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits; SSE2 has no rounding instruction.
  let shifted = x * 1.442_695_04 + 12_582_912
  let n = shifted - 12_582_912
  let r = x - n * 0.693_359_375 + n * 2.121_944_4e-4
  var p = r * 1.987_569_15e-4 + 1.398_199_950_7e-3
  p = p * r + 8.333_451_907_3e-3
  p = p * r + 4.166_579_589_4e-2
  p = p * r + 1.666_666_545_9e-1
  p = p * r + 5.000_000_120_1e-1
  p = p * (r * r) + r + 1
  let bits = unsafe unsafeBitCast(shifted, to: SIMD8<Int32>.self) &- 0x4B40_0000
  let scale = unsafe unsafeBitCast((bits &+ 127) &<< 23, to: SIMD8<Float>.self)
  return p * scale
}

/// The same function of one number, so that the rest of a row rounds like its body.
@inline(__always)
func exponential(_ x: Float) -> Float { exponential(SIMD8(repeating: x))[0] }

/// out = weight * x / rms(x), each of `count` floats. `out` and `x` may be the same.
func rmsNorm(
  _ out: UnsafeMutablePointer<Float>, _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>, count: Int,
  epsilon: Float
) {
  let scale = unsafe inverseRMS(x, count: count, epsilon: epsilon)
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) {
    unsafe store8(load8(weight + i) * (load8(x + i) * scale), out + i)
  }
  for i in whole..<count { unsafe out[i] = weight[i] * (x[i] * scale) }
}

/// x += weight * y / rms(y), each of `count` floats.
func addRMSNorm(
  _ x: UnsafeMutablePointer<Float>, _ y: UnsafePointer<Float>, weight: UnsafePointer<Float>, count: Int, epsilon: Float
) {
  let scale = unsafe inverseRMS(y, count: count, epsilon: epsilon)
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) {
    unsafe store8(load8(x + i) + load8(weight + i) * (load8(y + i) * scale), x + i)
  }
  for i in whole..<count { unsafe x[i] += weight[i] * (y[i] * scale) }
}

/// 1 / √(mean of squares + epsilon)
@inline(__always)
private func inverseRMS(_ x: UnsafePointer<Float>, count: Int, epsilon: Float) -> Float {
  let whole = count & ~7
  var squares = SIMD8<Float>.zero
  for i in stride(from: 0, to: whole, by: 8) {
    let v = unsafe load8(x + i)
    squares += v * v
  }
  var sum = squares.sum()
  for i in whole..<count { sum += unsafe x[i] * x[i] }
  return 1 / (sum / Float(count) + epsilon).squareRoot()
}

/// The largest of `count` > 0 floats; a NaN may or may not win.
func maximum(_ x: UnsafePointer<Float>, count: Int) -> Float {
  let whole = count & ~7
  var largest = SIMD8<Float>(repeating: -.infinity)
  for i in stride(from: 0, to: whole, by: 8) {
    let v = unsafe load8(x + i)
    largest.replace(with: v, where: v .> largest)
  }
  var result = largest.max()
  for i in whole..<count { result = unsafe max(result, x[i]) }
  return result
}

/// The sum of e^(x[i] - offset) over `count` floats.
func exponentialSum(_ x: UnsafePointer<Float>, count: Int, offset: Float) -> Float {
  let whole = count & ~7
  var total = SIMD8<Float>.zero
  for i in stride(from: 0, to: whole, by: 8) { total += unsafe exponential(load8(x + i) - offset) }
  var result = total.sum()
  for i in whole..<count { result += unsafe exponential(x[i] - offset) }
  return result
}

/// x = softmax(scale * x) over `count` > 0 floats, in place.
func softmax(_ x: UnsafeMutablePointer<Float>, count: Int, scale: Float) {
  let whole = count & ~7
  let largest = unsafe maximum(x, count: count)
  var total = SIMD8<Float>.zero
  for i in stride(from: 0, to: whole, by: 8) {
    let e = unsafe exponential((load8(x + i) - largest) * scale)
    unsafe store8(e, x + i)
    total += e
  }
  var sum = total.sum()
  for i in whole..<count {
    let e = unsafe exponential((x[i] - largest) * scale)
    unsafe x[i] = e
    sum += e
  }
  let inverse = 1 / sum
  for i in stride(from: 0, to: whole, by: 8) { unsafe store8(load8(x + i) * inverse, x + i) }
  for i in whole..<count { unsafe x[i] *= inverse }
}

/// out *= factors, each of `count` floats.
func scaleElements(_ out: UnsafeMutablePointer<Float>, by factors: UnsafePointer<Float>, count: Int) {
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) { unsafe store8(load8(out + i) * load8(factors + i), out + i) }
  for i in whole..<count { unsafe out[i] *= factors[i] }
}

/// out = the rotation of one head's vector x by its position: components i and i + half turn together by angle i, as
/// Hugging Face's `rotate_half` does. cosines and sines are of (half) each; `out` and `x` do not overlap.
func rotate(
  _ out: UnsafeMutablePointer<Float>, _ x: UnsafePointer<Float>, cosines: UnsafePointer<Float>,
  sines: UnsafePointer<Float>, half: Int
) {
  let whole = half & ~7
  for i in stride(from: 0, to: whole, by: 8) {
    let (a, b) = unsafe (load8(x + i), load8(x + half + i))
    let (c, s) = unsafe (load8(cosines + i), load8(sines + i))
    unsafe store8(a * c - b * s, out + i)
    unsafe store8(b * c + a * s, out + half + i)
  }
  for i in whole..<half {
    let (a, b) = unsafe (x[i], x[half + i])
    unsafe out[i] = a * cosines[i] - b * sines[i]
    unsafe out[half + i] = b * cosines[i] + a * sines[i]
  }
}

/// One head's vector x as attention reads it: turned by its position, or as it is where the layer turns nothing. `out` and
/// `x` do not overlap; they have `count` floats.
@inline(__always)
func turn(_ out: UnsafeMutablePointer<Float>, _ x: UnsafePointer<Float>, _ angles: Angles?, count: Int) {
  if let angles {
    unsafe rotate(out, x, cosines: angles.cosines, sines: angles.sines, half: count / 2)
  } else {
    unsafe out.update(from: x, count: count)
  }
}

/// out += x, each of `count` floats.
func addElements(_ out: UnsafeMutablePointer<Float>, _ x: UnsafePointer<Float>, count: Int) {
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) { unsafe store8(load8(out + i) + load8(x + i), out + i) }
  for i in whole..<count { unsafe out[i] += x[i] }
}

/// x *= factor, each of `count` floats.
func multiplyElements(_ x: UnsafeMutablePointer<Float>, by factor: Float, count: Int) {
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) { unsafe store8(load8(x + i) * factor, x + i) }
  for i in whole..<count { unsafe x[i] *= factor }
}

/// x /= divisor, each of `count` floats.
func divideElements(_ x: UnsafeMutablePointer<Float>, by divisor: Float, count: Int) {
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) { unsafe store8(load8(x + i) / divisor, x + i) }
  for i in whole..<count { unsafe x[i] /= divisor }
}

/// True where all of `count` floats are finite.
func allFinite(_ x: UnsafePointer<Float>, count: Int) -> Bool {
  let whole = count & ~7
  // 0 * x is 0 for a finite x and NaN otherwise, and NaN stays in a sum.
  var check = SIMD8<Float>.zero
  for i in stride(from: 0, to: whole, by: 8) { check += unsafe load8(x + i) * 0 }
  var sum = check.sum()
  for i in whole..<count { sum += unsafe x[i] * 0 }
  return sum == 0
}

/// out = x as halves (IEEE 754 binary16), rounded to the nearest, ties to even; too large is infinite. `count` numbers.
func storeHalves(_ x: UnsafePointer<Float>, _ out: UnsafeMutablePointer<UInt16>, count: Int) {
  let whole = count & ~7
  for i in stride(from: 0, to: whole, by: 8) {
    unsafe UnsafeMutableRawPointer(out + i).storeBytes(of: halves(load8(x + i)), as: SIMD8<UInt16>.self)
  }
  for i in whole..<count { unsafe out[i] = halves(SIMD8(repeating: x[i]))[0] }
}

/// In integers, since baseline x86-64 has no instruction for it.
@inline(__always)
private func halves(_ x: SIMD8<Float>) -> SIMD8<UInt16> {
  let bits = unsafe unsafeBitCast(x, to: SIMD8<UInt32>.self)
  let sign = bits & 0x8000_0000
  let size = bits ^ sign
  // The exponent's bias from 127 to 15, and the mantissa's last 13 bits rounded away.
  var result = (size &+ 0xC800_0FFF &+ ((size &>> 13) & 1)) &>> 13
  // Below 2^-14 steps are 2^-24: adding 1/2 puts the last of them into the last bit of a float.
  let small = unsafe unsafeBitCast(unsafeBitCast(size, to: SIMD8<Float>.self) + 0.5, to: SIMD8<UInt32>.self)
  result.replace(with: small &- 0x3F00_0000, where: size .< 0x3880_0000)
  result.replace(with: 0x7C00, where: size .>= 0x4780_0000)
  result.replace(with: 0x7E00, where: size .> 0x7F80_0000)
  return SIMD8<UInt16>(truncatingIfNeeded: result | (sign &>> 16))
}
