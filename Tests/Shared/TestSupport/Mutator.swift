import StrictJSON

/// Makes hostile inputs of good ones. The same seed makes the same inputs.
///
/// What is JSON is changed in its structure as often as in its bytes, since a changed byte seldom leaves JSON behind and
/// what lies behind the parser would never be met.
package struct Mutator {
  private let samples: [(bytes: [UInt8], value: JSONValue?)]
  private var random: SplitMix

  /// Repetitions make inputs no longer than this.
  private static let maximumLength = 4 << 10

  package init(_ samples: [[UInt8]], seed: UInt64) {
    precondition(!samples.isEmpty, "there is nothing to mutate")
    self.samples = samples.map { ($0, try? parseJSON($0)) }
    random = SplitMix(seed: seed)
  }

  /// One of the good inputs with one to four changes.
  package mutating func next() -> [UInt8] {
    let sample = samples[random.below(samples.count)]
    let changes = 1 + random.below(4)
    if var value = sample.value, random.below(2) == 0 {
      for _ in 0..<changes { value = changed(value) }
      return value.serialized()
    }
    var bytes = sample.bytes
    for _ in 0..<changes { change(&bytes) }
    return bytes
  }

  // MARK: - bytes

  private static let bytes: [UInt8] = [0, 1, 0x7F, 0x80, 0xFF] + Array("\"\\{}[],:-+.eE0 \n/#&~(".utf8)
  private static let integers: [UInt64] = [
    0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 32, 1 << 53, 1 << 62,
    .max >> 1, 1 << 63, .max - 7, .max,
  ]
  private static let numbers =
    [
      "0", "-0", "-1", "1e999", "-1e308", "1e-999", "0.5", "2147483648", "4294967296", "9223372036854775807",
      "9223372036854775808", "-9223372036854775808", "18446744073709551615",
    ] + [String(repeating: "9", count: 400)]

  private mutating func piece(of bytes: [UInt8]) -> Range<Int> {
    let start = random.below(bytes.count + 1)
    return start..<start + random.below(min(64, bytes.count - start) + 1)
  }

  private mutating func change(_ bytes: inout [UInt8]) {
    guard !bytes.isEmpty else { return bytes = samples[0].bytes }
    let place = random.below(bytes.count)
    switch random.below(10) {
    case 0: bytes[place] ^= 1 << UInt8(random.below(8))
    case 1: bytes[place] = Self.bytes[random.below(Self.bytes.count)]
    case 2: bytes.insert(contentsOf: bytes[piece(of: bytes)], at: place)
    case 3: bytes.removeSubrange(piece(of: bytes))
    case 4: bytes.removeSubrange(place...)
    case 5:
      let other = samples[random.below(samples.count)].bytes
      bytes.replaceSubrange(place..., with: other[random.below(other.count)...])
    case 6:
      let width = min(1 << random.below(4), bytes.count - place)
      let value = Self.integers[random.below(Self.integers.count)]
      for i in 0..<width { bytes[place + i] = UInt8(truncatingIfNeeded: value >> UInt64(8 * i)) }
    case 7:
      func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
      guard let first = bytes[place...].firstIndex(where: isDigit) else { return }
      let end = bytes[first...].firstIndex { !isDigit($0) } ?? bytes.count
      bytes.replaceSubrange(first..<end, with: Self.numbers[random.below(Self.numbers.count)].utf8)
    case 8:
      let piece = bytes[piece(of: bytes)]
      let times = min(1 << random.below(12), (Self.maximumLength - bytes.count) / max(1, piece.count))
      guard times > 0 else { return }
      bytes.insert(contentsOf: repeatElement(piece, count: times).joined(), at: place)
    default:
      let moved = Array(bytes[piece(of: bytes)])
      bytes.removeSubrange(place..<min(place + moved.count, bytes.count))
      bytes.insert(contentsOf: moved, at: place)
    }
  }

  // MARK: - JSON

  private static let values: [JSONValue] =
    [
      nil, true, 0, -1, 1.5, -1e308, 1e-308, .integer(.max), .integer(.min), 4_294_967_296, "", " ", "\u{0}", "é",
      "{", "NaN", [], [[]], [:], ["a": 1], [nil, 1, "a"],
    ] + [.string(String(repeating: "x", count: 5000)), .array([JSONValue](repeating: "x", count: 300))]

  /// The value with one place of it changed: a node, or a member of an object.
  private mutating func changed(_ value: JSONValue) -> JSONValue {
    var place = random.below(Self.count(value))
    return changed(value, at: &place)
  }

  private static func count(_ value: JSONValue) -> Int {
    switch value {
    case .array(let values): values.reduce(1) { $0 + count($1) }
    case .object(let object): object.members.reduce(1) { $0 + count($1.value) }
    case .null, .bool, .integer, .number, .string: 1
    }
  }

  private mutating func changed(_ value: JSONValue, at place: inout Int) -> JSONValue {
    if place == 0 {
      place -= 1
      return replacement(for: value)
    }
    place -= 1
    switch value {
    case .array(var values):
      for index in values.indices where place >= 0 { values[index] = changed(values[index], at: &place) }
      return .array(values)
    case .object(var object):
      for (key, member) in object.members where place >= 0 { object[key] = changed(member, at: &place) }
      return .object(object)
    case .null, .bool, .integer, .number, .string: return value
    }
  }

  private mutating func repetitions(of value: JSONValue) -> Int {
    min(1 << random.below(10), Self.maximumLength / (value.serialized().count + 1) + 1)
  }

  private mutating func replacement(for value: JSONValue) -> JSONValue {
    switch (value, random.below(6)) {
    case (.array(var values), 0...2) where !values.isEmpty:
      let index = random.below(values.count)
      switch random.below(3) {
      case 0: values.remove(at: index)
      case 1: values.append(values[index])
      default: values = Array(repeatElement(values[index], count: repetitions(of: values[index])))
      }
      return .array(values)
    case (.object(var object), 0...3) where !object.isEmpty:
      let key = object.keys[random.below(object.count)]
      let member = object[key]
      switch random.below(3) {
      case 0: object[key] = nil
      case 1: object[key + "x"] = member
      default: object[object.keys[random.below(object.count)]] = member
      }
      return .object(object)
    case (.string(let text), 0): return .string(String(repeating: text, count: repetitions(of: value)))
    case (.string(let text), 1): return .string(String(text.unicodeScalars.prefix(random.below(text.count + 1))))
    case (.integer(let number), 0): return .integer(number &+ (random.below(2) == 0 ? 1 : -1))
    case (_, 1): return .array([value])
    default: return Self.values[random.below(Self.values.count)]
    }
  }
}
