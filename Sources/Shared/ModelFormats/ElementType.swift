/// How the values of a tensor are stored.
///
/// The quantised types are ggml's. A block is 32 neighbours in a row with a scale of 16 bits (`ElementType+Blocks.swift`),
/// or 256 with scales for parts of them (`ElementType+SuperBlocks.swift`).
package enum ElementType: String, Sendable, CaseIterable {
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"
  case q8_0 = "Q8_0"
  case q4_0 = "Q4_0"
  case q4_1 = "Q4_1"
  case q5_0 = "Q5_0"
  case q5_1 = "Q5_1"
  case iq4_nl = "IQ4_NL"
  case q2_K = "Q2_K"
  case q3_K = "Q3_K"
  case q4_K = "Q4_K"
  case q5_K = "Q5_K"
  case q6_K = "Q6_K"
  case iq4_xs = "IQ4_XS"
  case f64 = "F64"

  /// Values in a block.
  package var blockLength: Int {
    switch self {
    case .f32, .f16, .bf16, .f64: 1
    case .q8_0, .q4_0, .q4_1, .q5_0, .q5_1, .iq4_nl: 32
    case .q2_K, .q3_K, .q4_K, .q5_K, .q6_K, .iq4_xs: 256
    }
  }

  /// Bytes of a block.
  package var blockSize: Int {
    switch self {
    case .f64: 8
    case .f32: 4
    case .f16, .bf16: 2
    case .q8_0: 2 + 32
    case .q4_0, .iq4_nl: 2 + 16
    case .q4_1: 2 + 2 + 16
    case .q5_0: 2 + 4 + 16
    case .q5_1: 2 + 2 + 4 + 16
    case .q2_K: 16 + 64 + 2 + 2
    case .q3_K: 32 + 64 + 12 + 2
    case .q4_K: 2 + 2 + 12 + 128
    case .q5_K: 2 + 2 + 12 + 32 + 128
    case .q6_K: 128 + 64 + 16 + 2
    case .iq4_xs: 2 + 2 + 4 + 128
    }
  }

  static let supportedNames = allCases.map(\.rawValue).joined(separator: ", ")

  /// The bytes of `count` values; nil where that is not a whole number of blocks or overflows.
  package func byteCount(of count: Int) -> Int? {
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
    let count = target.count
    switch self {
    case .f32, .f16, .bf16, .f64: unsafe widenPlain(input, output, count: count)
    case .q8_0: unsafe widenBlocks(input, output, count, widenQ8_0)
    case .q4_0: unsafe widenBlocks(input, output, count, widenQ4_0)
    case .q4_1: unsafe widenBlocks(input, output, count, widenQ4_1)
    case .q5_0: unsafe widenBlocks(input, output, count, widenQ5_0)
    case .q5_1: unsafe widenBlocks(input, output, count, widenQ5_1)
    case .iq4_nl: unsafe widenBlocks(input, output, count, widenIQ4_NL)
    case .q2_K: unsafe widenBlocks(input, output, count, widenQ2_K)
    case .q3_K: unsafe widenBlocks(input, output, count, widenQ3_K)
    case .q4_K: unsafe widenBlocks(input, output, count, widenQ4_K)
    case .q5_K: unsafe widenBlocks(input, output, count, widenQ5_K)
    case .q6_K: unsafe widenBlocks(input, output, count, widenQ6_K)
    case .iq4_xs: unsafe widenBlocks(input, output, count, widenIQ4_XS)
    }
  }

  /// Inlined with the function of its type, so that no block is a call.
  @inline(__always)
  private func widenBlocks(
    _ input: UnsafeRawPointer, _ output: UnsafeMutablePointer<Float>, _ count: Int,
    _ widenBlock: (UnsafeRawPointer, UnsafeMutableRawPointer) -> Void
  ) {
    let (length, size) = (blockLength, blockSize)
    for block in 0..<count / length {
      unsafe widenBlock(input + block * size, UnsafeMutableRawPointer(output + block * length))
    }
  }

  private func widenPlain(_ input: UnsafeRawPointer, _ output: UnsafeMutablePointer<Float>, count: Int) {
    switch self {
    case .f32:
      unsafe UnsafeMutableRawPointer(output).copyMemory(from: input, byteCount: 4 * count)
    case .f16:
      for i in 0..<count {
        unsafe output[i] = floatFromHalf(input.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self))
      }
    case .bf16:
      for i in 0..<count {
        let bits = unsafe input.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self)
        unsafe output[i] = Float(bitPattern: UInt32(bits) << 16)
      }
    case .f64:
      for i in 0..<count {
        let bits = unsafe input.loadUnaligned(fromByteOffset: 8 * i, as: UInt64.self)
        unsafe output[i] = Float(Double(bitPattern: bits))
      }
    case .q8_0, .q4_0, .q4_1, .q5_0, .q5_1, .iq4_nl, .q2_K, .q3_K, .q4_K, .q5_K, .q6_K, .iq4_xs:
      preconditionFailure("\(rawValue) has blocks")
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
