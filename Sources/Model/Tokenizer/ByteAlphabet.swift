/// The printable stand-ins of byte-level BPE: every byte is written as one scalar that is neither a space nor a control.
///
/// GPT-2's table (`bytes_to_unicode` in openai/gpt-2, encoder.py): bytes that print in Latin-1 stand for themselves,
/// the other 68 take U+0100, U+0101 and so on, in order of the byte. So a space is U+0120, "Ġ".
enum ByteAlphabet {
  /// The scalar's value that stands for each byte.
  static let scalars: [UInt32] = {
    var next: UInt32 = 0x100
    return (0..<256).map { byte in
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: return UInt32(byte)
      default:
        defer { next += 1 }
        return next
      }
    }
  }()

  /// The byte of each scalar up to U+0143, or -1.
  private static let bytes: [Int16] = {
    var bytes = [Int16](repeating: -1, count: 0x144)
    for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar)] = Int16(byte) }
    return bytes
  }()

  static func byte(of scalar: Unicode.Scalar) -> UInt8? {
    let value = Int(scalar.value)
    guard value < bytes.count, bytes[value] >= 0 else { return nil }
    return UInt8(truncatingIfNeeded: bytes[value])
  }

  /// The UTF-8 text of the scalar that stands for `byte`.
  static func text(of byte: UInt8) -> [UInt8] {
    let value = scalars[Int(byte)]  // at most U+0143: one or two bytes
    if value < 0x80 { return [UInt8(value)] }
    return [UInt8(0xC0 | value >> 6), UInt8(0x80 | value & 0x3F)]
  }
}
