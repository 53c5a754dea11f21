/// How the values of a tensor are stored.
///
/// The quantised types are ggml's: blocks of 32 neighbours in a row with a scale of 16 bits, and with `q4_1` a minimum.
package enum ElementType: String, Sendable, CaseIterable {
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"
  case q8_0 = "Q8_0"
  case q4_0 = "Q4_0"
  case q4_1 = "Q4_1"
  case f64 = "F64"

  /// Values in a block.
  package var blockLength: Int {
    switch self {
    case .f32, .f16, .bf16, .f64: 1
    case .q8_0, .q4_0, .q4_1: 32
    }
  }

  /// Bytes of a block.
  package var blockSize: Int {
    switch self {
    case .f64: 8
    case .f32: 4
    case .f16, .bf16: 2
    case .q8_0: 2 + 32
    case .q4_0: 2 + 16
    case .q4_1: 2 + 2 + 16
    }
  }

  static let supportedNames = allCases.map(\.rawValue).joined(separator: ", ")

  /// The bytes of `count` values; nil where that is not a whole number of blocks or overflows.
  func byteCount(of count: Int) -> Int? {
    guard count % blockLength == 0 else { return nil }
    let (size, overflow) = (count / blockLength).multipliedReportingOverflow(by: blockSize)
    return overflow ? nil : size
  }

  /// Widens stored values to floats, exactly as ggml and PyTorch do; those of F64 are rounded to the nearest.
  ///
  /// `source` holds whole blocks, `byteCount(of: target.count)` bytes, at any alignment.
  func widen(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableBufferPointer<Float>) {
    precondition(
      byteCount(of: target.count) == source.count, "\(source.count) bytes of \(rawValue) are not \(target.count) values"
    )
    guard let input = source.baseAddress, let output = target.baseAddress else { return }
    switch self {
    case .f32:
      unsafe UnsafeMutableRawPointer(output).copyMemory(from: input, byteCount: source.count)
    case .f16:
      for i in 0..<target.count {
        unsafe output[i] = floatFromHalf(input.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self))
      }
    case .bf16:
      for i in 0..<target.count {
        let bits = unsafe input.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self)
        unsafe output[i] = Float(bitPattern: UInt32(bits) << 16)
      }
    case .f64:
      for i in 0..<target.count {
        let bits = unsafe input.loadUnaligned(fromByteOffset: 8 * i, as: UInt64.self)
        unsafe output[i] = Float(Double(bitPattern: bits))
      }
    case .q8_0: unsafe widenQ8_0(input, output, blocks: target.count / 32)
    case .q4_0: unsafe widenQ4(input, output, blocks: target.count / 32, blockSize: 18, hasMinimum: false)
    case .q4_1: unsafe widenQ4(input, output, blocks: target.count / 32, blockSize: 20, hasMinimum: true)
    }
  }
}

/// A block: scale (half), 32 signed bytes. value = scale * q.
private func widenQ8_0(_ input: UnsafeRawPointer, _ output: UnsafeMutablePointer<Float>, blocks: Int) {
  for block in 0..<blocks {
    let source = unsafe input + block * 34
    let target = unsafe UnsafeMutableRawPointer(output + block * 32)
    let scale = unsafe floatFromHalf(source.loadUnaligned(as: UInt16.self))
    for part in 0..<4 {
      let q = unsafe source.loadUnaligned(fromByteOffset: 2 + 8 * part, as: SIMD8<Int8>.self)
      let values = SIMD8<Float>(SIMD8<Int32>(truncatingIfNeeded: q)) * scale
      unsafe target.storeBytes(of: values, toByteOffset: 32 * part, as: SIMD8<Float>.self)
    }
  }
}

/// A block: scale, minimum where there is one (halves), 16 bytes. Byte j holds value j in its low half and j + 16 in its
/// high half. value = scale * q + minimum, or scale * (q - 8).
private func widenQ4(
  _ input: UnsafeRawPointer, _ output: UnsafeMutablePointer<Float>, blocks: Int, blockSize: Int, hasMinimum: Bool
) {
  for block in 0..<blocks {
    let source = unsafe input + block * blockSize
    let target = unsafe UnsafeMutableRawPointer(output + block * 32)
    let scale = unsafe floatFromHalf(source.loadUnaligned(as: UInt16.self))
    let minimum = hasMinimum ? unsafe floatFromHalf(source.loadUnaligned(fromByteOffset: 2, as: UInt16.self)) : 0
    let zero: Int32 = hasMinimum ? 0 : 8
    for part in 0..<2 {
      let bytes = unsafe source.loadUnaligned(fromByteOffset: blockSize - 16 + 8 * part, as: SIMD8<UInt8>.self)
      let q = SIMD8<Int32>(truncatingIfNeeded: bytes)
      let low = SIMD8<Float>((q & 15) &- zero) * scale + minimum
      let high = SIMD8<Float>((q &>> 4) &- zero) * scale + minimum
      unsafe target.storeBytes(of: low, toByteOffset: 32 * part, as: SIMD8<Float>.self)
      unsafe target.storeBytes(of: high, toByteOffset: 64 + 32 * part, as: SIMD8<Float>.self)
    }
  }
}

/// IEEE half to single precision, exact, subnormals and infinities included.
///
/// By integer arithmetic, since the compiler's `Float(Float16)` is a library call on plain x86-64. The half's exponent
/// and mantissa are shifted into a float's place and rescaled by 2^-112; a subnormal is the mantissa put below 0.5.
@inline(__always)
func floatFromHalf(_ half: UInt16) -> Float {
  let word = UInt32(half) << 16
  let sign = word & 0x8000_0000
  let shifted = word &+ word  // without the sign
  let normal = Float(bitPattern: (shifted >> 4) &+ (0xE0 << 23)) * Float(bitPattern: 0x0780_0000)
  let subnormal = Float(bitPattern: (shifted >> 17) | (126 << 23)) - 0.5
  return Float(bitPattern: sign | (shifted < 1 << 27 ? subnormal.bitPattern : normal.bitPattern))
}
