package import StrictJSON

/// A number with this many decimals, as printf's %.nf; Foundation's formatting would cost the start-up its time.
package func fixed(_ value: Double, _ decimals: Int) -> String {
  guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
  var scale = 1.0
  for _ in 0..<decimals { scale *= 10 }
  let scaled = (abs(value) * scale).rounded(.toNearestOrEven)
  guard scaled < 1e15 else { return "\(value)" }
  let digits = String(Int64(scaled))
  let padded = String(repeating: "0", count: max(0, decimals + 1 - digits.count)) + digits
  let sign = value < 0 && scaled > 0 ? "-" : ""
  guard decimals > 0 else { return sign + padded }
  return sign + padded.dropLast(decimals) + "." + padded.suffix(decimals)
}

/// 1234567 as 1.2 MB.
package func bytesText(_ bytes: Int64) -> String {
  let units = ["B", "kB", "MB", "GB", "TB"]
  var value = Double(bytes)
  var unit = 0
  while abs(value) >= 1000, unit < units.count - 1 {
    value /= 1000
    unit += 1
  }
  return unit == 0 ? "\(bytes) B" : "\(fixed(value, value < 10 ? 1 : 0)) \(units[unit])"
}

/// 0.04 as 40 ms, 83 as 1:23, 4000 as 1:06:40.
package func secondsText(_ seconds: Double) -> String {
  guard seconds.isFinite, seconds >= 0, seconds < 1e9 else { return "?" }
  if seconds < 0.1 { return fixed(seconds * 1000, 0) + " ms" }
  if seconds < 10 { return fixed(seconds, 1) + " s" }
  let whole = Int(seconds.rounded())
  func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
  if whole < 60 { return "\(whole) s" }
  if whole < 3600 { return "\(whole / 60):\(two(whole % 60))" }
  return "\(whole / 3600):\(two(whole / 60 % 60)):\(two(whole % 60))"
}

/// 0.0031, or 2e-7 where that says nothing.
package func shortP(_ p: Double) -> String {
  guard p.isFinite else { return "-" }
  if p >= 0.0001 { return fixed(p, 4) }
  guard p > 0 else { return "0" }
  var exponent = 0
  var mantissa = p
  while mantissa < 1 {
    mantissa *= 10
    exponent += 1
  }
  return "\(fixed(mantissa, 1))e-\(exponent)"
}

/// `+0.1300`: a difference, with its sign.
package func signed(_ number: Double) -> String {
  guard number.isFinite else { return "-" }
  return (number > 0 ? "+" : "") + fixed(number, 4)
}

/// A number in a cell, short; "-" where there is none.
package func cell(_ number: Double?) -> String {
  guard let number, number.isFinite else { return "-" }
  return fixed(number, abs(number) < 1 ? 4 : 3)
}

/// An integer in a cell; "-" where there is none.
package func cell(_ number: (some BinaryInteger)?) -> String { number.map { "\($0)" } ?? "-" }

extension JSONValue {
  /// A value in a cell: strings as they are, numbers short, lists and objects as JSON.
  package var cell: String {
    switch self {
    case .null: "-"
    case .bool(let value): value ? "yes" : "no"
    case .integer(let value): "\(value)"
    case .number(let value): fixed(value, abs(value) < 1 ? 4 : 3)
    case .string(let text): text
    case .array(let items):
      items.allSatisfy { $0.arrayValue == nil && $0.objectValue == nil }
        ? items.map(\.cell).joined(separator: ", ") : jsonText
    case .object: jsonText
    }
  }
}

extension JSONValue? {
  package var cell: String { self?.cell ?? "-" }
}
