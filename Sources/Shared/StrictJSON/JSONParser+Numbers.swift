extension JSONParser {
  /// Longest number that is converted; what is longer is hostile or a mistake.
  private static let maximumNumberLength = 1024
  /// Powers of ten that a double holds exactly.
  private static let exactPowersOfTen: [Double] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
  ]

  /// Reads a number; the position is at its sign or first digit.
  mutating func number() throws(JSONError) -> JSONValue {
    let start = position
    let isNegative = peek == UInt8(ascii: "-")
    if isNegative || peek == UInt8(ascii: "+") { position += 1 }
    if limits.oddNumbers == .kept, peek == UInt8(ascii: "I") { return try word("Infinity", .null) }
    if isJSON5, peek == UInt8(ascii: "0"), byte(at: position + 1) | 0x20 == UInt8(ascii: "x") {
      return try hexadecimal(from: start, isNegative: isNegative)
    }

    var mantissa: UInt64 = 0  // all digits, as long as they fit
    var fits = true
    let wholeDigits = digits(into: &mantissa, &fits)
    if wholeDigits > 1, byte(at: position - wholeDigits) == UInt8(ascii: "0") {
      throw error(.syntax, at: position - wholeDigits, "a number cannot begin with 0")
    }
    var isInteger = true
    var fractionDigits = 0
    if peek == UInt8(ascii: "."), wholeDigits > 0 || isJSON5 {
      isInteger = false
      position += 1
      fractionDigits = digits(into: &mantissa, &fits)
      if fractionDigits == 0, !isJSON5 || wholeDigits == 0 { throw unexpected("a digit after the decimal point") }
    } else if wholeDigits == 0 {
      throw unexpected("a digit")
    }
    var exponent = 0
    if peek | 0x20 == UInt8(ascii: "e") {
      isInteger = false
      exponent = try decimalExponent()
    }
    guard position - start <= Self.maximumNumberLength else {
      throw error(
        .numberRange, at: start, "a number of \(position - start) characters; at most \(Self.maximumNumberLength)")
    }

    if isInteger {
      if fits, let value = signed(mantissa, isNegative: isNegative) { return .integer(value) }
      switch limits.oddNumbers {
      case .refused:
        throw error(.numberRange, at: start, "\(shown(start..<position)) does not fit a signed 64-bit integer")
      case .kept: return unsafe .string(String(decoding: extract(start..<position), as: UTF8.self))
      case .integersRounded: break
      }
    }
    // Both factors are exact, so one rounding gives the nearest double (Clinger's fast path).
    let power = exponent - fractionDigits
    if fits, mantissa <= 1 << 53, abs(power) <= 22 {
      let scale = Self.exactPowersOfTen[abs(power)]
      let magnitude = power < 0 ? Double(mantissa) / scale : Double(mantissa) * scale
      return .number(isNegative ? -magnitude : magnitude)
    }
    guard let value = double(start..<position) else {
      if limits.oddNumbers == .kept {
        return unsafe .string(String(decoding: extract(start..<position), as: UTF8.self))
      }
      throw error(.numberRange, at: start, "\(shown(start..<position)) is outside of the range of a double")
    }
    return .number(value)
  }

  private mutating func digits(into mantissa: inout UInt64, _ fits: inout Bool) -> Int {
    let start = position
    while true {
      let digit = peek &- UInt8(ascii: "0")
      guard digit <= 9 else { return position - start }
      let (product, overflow) = mantissa.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(UInt64(digit))
      if overflow || carry { fits = false } else { mantissa = sum }
      position += 1
    }
  }

  private mutating func decimalExponent() throws(JSONError) -> Int {
    position += 1
    let isNegative = peek == UInt8(ascii: "-")
    if isNegative || peek == UInt8(ascii: "+") { position += 1 }
    var exponent = 0
    let start = position
    while peek &- UInt8(ascii: "0") <= 9 {
      exponent = min(exponent * 10 + Int(peek - UInt8(ascii: "0")), 100_000)  // far outside of double either way
      position += 1
    }
    guard position > start else { throw unexpected("a digit in the exponent") }
    return isNegative ? -exponent : exponent
  }

  private mutating func hexadecimal(from start: Int, isNegative: Bool) throws(JSONError) -> JSONValue {
    position += 2
    let digitsStart = position
    var magnitude: UInt64 = 0
    while let digit = hexDigit(peek) {
      guard magnitude >> 60 == 0 else {
        throw error(.numberRange, at: start, "a hexadecimal number does not fit a signed 64-bit integer")
      }
      magnitude = magnitude << 4 | UInt64(digit)
      position += 1
    }
    guard position > digitsStart else { throw unexpected("a hexadecimal digit") }
    guard let value = signed(magnitude, isNegative: isNegative) else {
      throw error(.numberRange, at: start, "\(shown(start..<position)) does not fit a signed 64-bit integer")
    }
    return .integer(value)
  }

  private func signed(_ magnitude: UInt64, isNegative: Bool) -> Int64? {
    if !isNegative { return Int64(exactly: magnitude) }
    return magnitude <= 1 << 63 ? Int64(truncatingIfNeeded: 0 &- magnitude) : nil
  }

  /// Nil for what a double does not hold.
  private func double(_ range: Range<Int>) -> Double? {
    var text = unsafe String(decoding: extract(range), as: UTF8.self)
    if text.hasPrefix("+") { text.removeFirst() }
    return Double(text).flatMap { $0.isFinite ? $0 : nil }
  }

  private func shown(_ range: Range<Int>) -> String {
    let text = unsafe String(
      decoding: extract(range.lowerBound..<min(range.upperBound, range.lowerBound + 40)), as: UTF8.self)
    return range.count > 40 ? text + "…" : text
  }
}
