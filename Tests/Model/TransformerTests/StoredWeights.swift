import CKernels

@testable import ModelFormats

/// Every type that the kernels know.
let weightTypes = (0..<UInt32(t2_weight_type_count())).map { t2_weight_type(rawValue: $0) }

/// The vector units of this processor.
let vectorUnits = [T2_UNIT_BASELINE, T2_UNIT_AVX2, T2_UNIT_AVX512].filter {
  $0.rawValue <= t2_best_vector_unit().rawValue
}

extension t2_weight_type {
  var name: String { unsafe String(cString: t2_weight_type_name(self)) }
  var blockValues: Int { t2_block_values(self) }
  var blockBytes: Int { t2_block_bytes(self) }

  /// Where a block has its halves: the scale, then the minimum if there is one.
  var halves: [Int] {
    switch self {
    case T2_Q4_1, T2_Q5_1, T2_Q4_K, T2_Q5_K: [0, 2]
    case T2_Q2_K: [80, 82]
    case T2_Q3_K: [108]
    case T2_Q6_K: [208]
    case T2_F16, T2_Q8_0, T2_Q4_0, T2_Q5_0, T2_IQ4_NL, T2_IQ4_XS: [0]
    default: []
    }
  }
}

extension Numbers {
  /// `count` blocks of random levels, whose scales are `scale()`; of plain numbers, values between -1 and 1.
  mutating func blocks(_ type: t2_weight_type, _ count: Int, scale: (inout Numbers) -> UInt16) -> [UInt8] {
    var bytes: [UInt8] = []
    for _ in 0..<count {
      var block: [UInt8]
      switch type {
      case T2_F32: block = littleEndian(float(-1, 1).bitPattern)
      case T2_F64: block = littleEndian(Double(float(-1, 1)).bitPattern)
      case T2_BF16: block = littleEndian(UInt16(float(-1, 1).bitPattern >> 16))
      default: block = (0..<type.blockBytes).map { _ in UInt8(truncatingIfNeeded: next() >> 24) }
      }
      for place in type.halves { block.replaceSubrange(place..<place + 2, with: littleEndian(scale(&self))) }
      bytes += block
    }
    return bytes
  }

  /// Rows of weights, `gap` bytes apart, behind one byte, so that nothing is aligned.
  mutating func weights(_ type: t2_weight_type, rows: Int, inner: Int, gap: Int) -> [UInt8] {
    [0]
      + (0..<rows).flatMap { _ in
        blocks(type, inner / type.blockValues) {
          UInt16(0x2000) | UInt16($0.next() % 0x800) | UInt16($0.next() % 2) << 15
        }
          + [UInt8](repeating: 0xff, count: gap)
      }
  }
}

func littleEndian<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
  (0..<MemoryLayout<T>.size).map { UInt8(truncatingIfNeeded: value >> T(8 * $0)) }
}

/// Whether all values are the same to the bit, or both no number.
func sameBits(_ a: [Float], _ b: [Float]) -> Bool {
  a.count == b.count && zip(a, b).allSatisfy { $0.bitPattern == $1.bitPattern || $0.isNaN && $1.isNaN }
}

/// The values of `rows` rows.
func widened(
  _ unit: t2_vector_unit, _ type: t2_weight_type, rows: Int, inner: Int, _ bytes: [UInt8], from: Int = 0, stride: Int
) -> [Float] {
  var values = [Float](repeating: .nan, count: rows * inner)
  unsafe bytes.withUnsafeBytes {
    unsafe t2_widen(unit, type, rows, inner, $0.baseAddress! + from, stride, &values, inner)
  }
  return values
}
