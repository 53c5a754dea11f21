// ggml's blocks of 256 values, in parts of 16 or 32 with small scales of their own, by which the scale (and where there is
// one the minimum) of the whole block is multiplied. Sums and products are in ggml's order, so that every bit is ggml's.

/// A block: 16 bytes with a scale and a minimum (4 bits each) for every 16 values, 64 bytes, scale, minimum (halves).
/// value = scale * q - minimum. Byte b of 32 holds the values b, b + 32, b + 64 and b + 96 of 128, from its low bits up.
@inline(__always)
func widenQ2_K(_ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer) {
  let (scale, minimum) = unsafe (half(source, at: 80), half(source, at: 82))
  for part in 0..<16 {
    let (halfBlock, inHalf) = part.quotientAndRemainder(dividingBy: 8)
    let shift = Int32(inHalf / 2 * 2)
    let offset = 16 + 32 * halfBlock + 16 * (inHalf % 2)
    let scales = unsafe source.load(fromByteOffset: part, as: UInt8.self)
    for eight in 0..<2 {
      let q = unsafe bytes(source, at: offset + 8 * eight) &>> shift & 3
      unsafe store(
        q, scale: scale * Float(scales & 15), minimum: minimum * Float(scales >> 4), target, at: 16 * part + 8 * eight)
    }
  }
}

/// A block: 32 bytes of third bits, 64 bytes, 16 scales of 6 bits in 12 bytes, scale (half). value = scale * (q - 4). The
/// 64 bytes lie as in Q2_K; bit n of third byte b belongs to value b of the n-th 32.
@inline(__always)
func widenQ3_K(_ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer) {
  let scale = unsafe half(source, at: 108)
  for part in 0..<16 {
    let (halfBlock, inHalf) = part.quotientAndRemainder(dividingBy: 8)
    let shift = Int32(inHalf / 2 * 2)
    let offset = 16 * (inHalf % 2)
    // Four low bits from the first eight bytes, two high ones from the last four.
    let low = unsafe source.load(fromByteOffset: 96 + part % 8, as: UInt8.self) >> UInt8(part / 8 * 4) & 15
    let high = unsafe source.load(fromByteOffset: 104 + part % 4, as: UInt8.self) >> UInt8(part / 4 * 2) & 3
    let partScale = scale * Float(Int(low | high << 4) - 32)
    for eight in 0..<2 {
      let q = unsafe bytes(source, at: 32 + 32 * halfBlock + offset + 8 * eight) &>> shift & 3
      let third = unsafe bytes(source, at: offset + 8 * eight) &>> Int32(part / 2) & 1
      unsafe store(q &+ (third &<< 2) &- 4, scale: partScale, target, at: 16 * part + 8 * eight)
    }
  }
}

/// A block: scale, minimum (halves), 8 scales and 8 minima of 6 bits in 12 bytes, 128 bytes. value = scale * q - minimum.
/// Byte b of 32 holds the values b and b + 32 of 64.
@inline(__always)
func widenQ4_K(_ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer) {
  for part in 0..<8 {
    let (scale, minimum) = unsafe scaleAndMinimum(source, of: part)
    let shift = Int32(part % 2 * 4)
    for eight in 0..<4 {
      let q = unsafe bytes(source, at: 16 + 32 * (part / 2) + 8 * eight) &>> shift & 15
      unsafe store(q, scale: scale, minimum: minimum, target, at: 32 * part + 8 * eight)
    }
  }
}

/// As Q4_K, with 32 bytes of fifth bits before the last 128: bit n of byte b belongs to value b of the n-th 32.
@inline(__always)
func widenQ5_K(_ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer) {
  for part in 0..<8 {
    let (scale, minimum) = unsafe scaleAndMinimum(source, of: part)
    let shift = Int32(part % 2 * 4)
    for eight in 0..<4 {
      let q = unsafe bytes(source, at: 48 + 32 * (part / 2) + 8 * eight) &>> shift & 15
      let fifth = unsafe bytes(source, at: 16 + 8 * eight) &>> Int32(part) & 1
      unsafe store(q | fifth &<< 4, scale: scale, minimum: minimum, target, at: 32 * part + 8 * eight)
    }
  }
}

/// Of a part of 32 values in Q4_K and Q5_K. The first four have their 6 bits in one byte; of the others 4 bits lie in the
/// last four bytes and 2 above those of the first four.
@inline(__always)
private func scaleAndMinimum(_ source: UnsafeRawPointer, of part: Int) -> (scale: Float, minimum: Float) {
  func byte(_ index: Int) -> UInt8 { unsafe source.load(fromByteOffset: 4 + index, as: UInt8.self) }
  let (scale, minimum) = unsafe (half(source, at: 0), half(source, at: 2))
  if part < 4 { return (scale * Float(byte(part) & 63), minimum * Float(byte(part + 4) & 63)) }
  return (
    scale * Float(byte(part + 4) & 15 | (byte(part - 4) >> 6) << 4),
    minimum * Float(byte(part + 4) >> 4 | (byte(part) >> 6) << 4)
  )
}

/// A block: 128 bytes of low bits, 64 of high ones, 16 signed scales, scale (half). value = scale * (q - 32). Of 128
/// values, low byte b of 64 holds b and b + 64; high byte b of 32 holds b, b + 32, b + 64 and b + 96, from its low bits up.
@inline(__always)
func widenQ6_K(_ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer) {
  let scale = unsafe half(source, at: 208)
  for part in 0..<16 {
    let (halfBlock, inHalf) = part.quotientAndRemainder(dividingBy: 8)
    let low = 64 * halfBlock + 16 * (inHalf % 4)
    let high = 128 + 32 * halfBlock + 16 * (inHalf % 2)
    let partScale = unsafe scale * Float(source.load(fromByteOffset: 192 + part, as: Int8.self))
    for eight in 0..<2 {
      let q = unsafe bytes(source, at: low + 8 * eight) &>> Int32(inHalf / 4 * 4) & 15
      let top = unsafe bytes(source, at: high + 8 * eight) &>> Int32(inHalf / 2 * 2) & 3
      unsafe store((q | top &<< 4) &- 32, scale: partScale, target, at: 16 * part + 8 * eight)
    }
  }
}

/// A block: scale (half), 8 scales of 6 bits (2 high ones each in 2 bytes, then 4 low ones each in 4 bytes), 128 bytes.
/// value = scale * (one of 16 levels), each 32 values as in IQ4_NL.
@inline(__always)
func widenIQ4_XS(_ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer) {
  let scale = unsafe half(source, at: 0)
  let highs = unsafe source.loadUnaligned(fromByteOffset: 2, as: UInt16.self)
  for part in 0..<8 {
    let low = unsafe source.load(fromByteOffset: 4 + part / 2, as: UInt8.self) >> UInt8(part % 2 * 4) & 15
    let high = UInt8(highs >> UInt16(2 * part) & 3)
    unsafe storeLevels(
      source + 8 + 16 * part, scale: scale * Float(Int(low | high << 4) - 32), target + 128 * part)
  }
}
