// ggml's blocks of 32 values, which begin with a scale of 16 bits. In those of 4 and 5 bits byte j of the last 16 holds
// value j in its low half and value j + 16 in its high half. Sums and products are in ggml's order, so that every bit is
// ggml's; a zero keeps its sign.

/// 8 values: scale * q - minimum.
@inline(__always)
func store(
  _ q: SIMD8<Int32>, scale: Float, minimum: Float = 0, _ target: UnsafeMutableRawPointer, at position: Int
) {
  let values = SIMD8<Float>(q) * scale - minimum
  unsafe target.storeBytes(of: values, toByteOffset: 4 * position, as: SIMD8<Float>.self)
}

@inline(__always)
func half(_ source: UnsafeRawPointer, at offset: Int) -> Float {
  unsafe floatFromHalf(source.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
}

/// 8 bytes as numbers of 32 bits.
@inline(__always)
func bytes(_ source: UnsafeRawPointer, at offset: Int) -> SIMD8<Int32> {
  unsafe SIMD8<Int32>(truncatingIfNeeded: source.loadUnaligned(fromByteOffset: offset, as: SIMD8<UInt8>.self))
}

/// A block: scale, 32 signed bytes. value = scale * q.
@inline(__always)
func widenQ8_0(_ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer) {
  let scale = unsafe half(source, at: 0)
  for part in 0..<4 {
    let q = unsafe source.loadUnaligned(fromByteOffset: 2 + 8 * part, as: SIMD8<Int8>.self)
    unsafe store(SIMD8<Int32>(truncatingIfNeeded: q), scale: scale, target, at: 8 * part)
  }
}

/// A block: scale, 16 bytes. value = scale * (q - 8).
@inline(__always)
func widenQ4_0(_ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer) {
  let scale = unsafe half(source, at: 0)
  for part in 0..<2 {
    let q = unsafe bytes(source, at: 2 + 8 * part)
    unsafe store((q & 15) &- 8, scale: scale, target, at: 8 * part)
    unsafe store((q &>> 4) &- 8, scale: scale, target, at: 16 + 8 * part)
  }
}

/// A block: scale, minimum, 16 bytes. value = scale * q + minimum.
@inline(__always)
func widenQ4_1(_ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer) {
  let (scale, minimum) = unsafe (half(source, at: 0), half(source, at: 2))
  for part in 0..<2 {
    let q = unsafe bytes(source, at: 4 + 8 * part)
    unsafe store(q & 15, scale: scale, minimum: -minimum, target, at: 8 * part)
    unsafe store(q &>> 4, scale: scale, minimum: -minimum, target, at: 16 + 8 * part)
  }
}

/// A block: scale, 32 fifth bits, 16 bytes. value = scale * (q - 16).
@inline(__always)
func widenQ5_0(_ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer) {
  let scale = unsafe half(source, at: 0)
  for part in 0..<2 {
    let q = unsafe bytes(source, at: 6 + 8 * part)
    let (low, high) = unsafe fifthBits(source, at: 2, part: part)
    unsafe store((q & 15 | low) &- 16, scale: scale, target, at: 8 * part)
    unsafe store((q &>> 4 | high) &- 16, scale: scale, target, at: 16 + 8 * part)
  }
}

/// A block: scale, minimum, 32 fifth bits, 16 bytes. value = scale * q + minimum.
@inline(__always)
func widenQ5_1(_ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer) {
  let (scale, minimum) = unsafe (half(source, at: 0), half(source, at: 2))
  for part in 0..<2 {
    let q = unsafe bytes(source, at: 8 + 8 * part)
    let (low, high) = unsafe fifthBits(source, at: 4, part: part)
    unsafe store(q & 15 | low, scale: scale, minimum: -minimum, target, at: 8 * part)
    unsafe store(q &>> 4 | high, scale: scale, minimum: -minimum, target, at: 16 + 8 * part)
  }
}

/// Of the values 8 part ... and 16 + 8 part ..., in their place as 16.
@inline(__always)
private func fifthBits(_ source: UnsafeRawPointer, at offset: Int, part: Int) -> (SIMD8<Int32>, SIMD8<Int32>) {
  let bits = unsafe source.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
  func spread(_ byte: UInt32) -> SIMD8<Int32> {
    let places = SIMD8<Int32>(0, 1, 2, 3, 4, 5, 6, 7)
    return (SIMD8<Int32>(repeating: Int32(byte & 255)) &>> places & 1) &<< 4
  }
  return (spread(bits >> UInt32(8 * part)), spread(bits >> UInt32(16 + 8 * part)))
}

/// A block: scale, 16 bytes. value = scale * (one of 16 levels).
@inline(__always)
func widenIQ4_NL(_ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer) {
  unsafe storeLevels(source + 2, scale: half(source, at: 0), target)
}

/// 32 values of 16 bytes, as a scale times one of the levels, which lie closer near zero.
@inline(__always)
func storeLevels(_ source: UnsafeRawPointer, scale: Float, _ target: UnsafeMutableRawPointer) {
  let levels = SIMD16<Float>(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
  for index in 0..<16 {
    let byte = unsafe source.load(fromByteOffset: index, as: UInt8.self)
    unsafe target.storeBytes(of: scale * levels[Int(byte & 15)], toByteOffset: 4 * index, as: Float.self)
    unsafe target.storeBytes(of: scale * levels[Int(byte >> 4)], toByteOffset: 4 * (16 + index), as: Float.self)
  }
}
