import StrictJSON

/// A metadata value of a GGUF file. The widths of numbers do not matter to a reader and are not kept.
enum GGUFValue: Sendable, Equatable {
  case integer(Int64)
  case unsigned(UInt64)  // only what is above Int64.max
  case number(Double)
  case bool(Bool)
  case string(String)
  case integers([Int64])
  case numbers([Double])
  case bools([Bool])
  case strings([String])

  var integer: Int? {
    if case .integer(let value) = self { Int(exactly: value) } else { nil }
  }

  var number: Double? {
    switch self {
    case .number(let value): value
    case .integer(let value): Double(value)
    case .unsigned, .bool, .string, .integers, .numbers, .bools, .strings: nil
    }
  }

  /// For messages; long values are described only.
  var shown: String {
    switch self {
    case .integer(let value): "\(value)"
    case .unsigned(let value): "\(value)"
    case .number(let value): "\(value)"
    case .bool(let value): "\(value)"
    case .string(let value): "\"\(value.excerpt)\""
    case .integers(let values): "a list of \(values.count) integers"
    case .numbers(let values): "a list of \(values.count) numbers"
    case .bools(let values): "a list of \(values.count) booleans"
    case .strings(let values): "a list of \(values.count) strings"
    }
  }
}

/// Reads the parts of a GGUF header one after another; what would lie outside of the file is an error.
// @safe: the bytes outlive the cursor, which lives during `GGUFHeader.init` only, and every read is checked in `take`.
@safe
struct GGUFCursor {
  private let bytes: UnsafeRawBufferPointer
  let path: String
  var position = 0
  /// What is being read, for messages.
  var place = ""

  init(_ bytes: UnsafeRawBufferPointer, path: String) {
    unsafe self.bytes = unsafe bytes
    self.path = path
  }

  var count: Int { unsafe bytes.count }

  func malformed(_ problem: String) -> ModelFormatError {
    .malformed(path: path, place: place, problem: problem)
  }

  /// The next `length` bytes.
  private mutating func take(_ length: UInt64) throws(ModelFormatError) -> UnsafeRawBufferPointer {
    guard length <= UInt64(count - position) else {
      let (needed, overflow) = UInt64(position).addingReportingOverflow(length)
      throw .truncated(path: path, part: place, needed: overflow ? .max : needed, size: count)
    }
    let start = position
    position += Int(length)
    return unsafe UnsafeRawBufferPointer(rebasing: bytes[start..<position])
  }

  mutating func integer<Value: FixedWidthInteger & BitwiseCopyable>(
    _: Value.Type
  ) throws(ModelFormatError) -> Value {
    let bytes = unsafe try take(UInt64(MemoryLayout<Value>.size))
    return unsafe Value(littleEndian: bytes.loadUnaligned(as: Value.self))
  }

  /// A count of things that take at least that many bytes each. More than the file can hold is refused here, before
  /// anything is allocated for them.
  mutating func count(ofAtLeast size: Int, what: String) throws(ModelFormatError) -> Int {
    let count = try integer(UInt64.self)
    guard count <= UInt64((self.count - position) / size) else {
      throw malformed("it announces \(count) \(what), more than the rest of the file can hold")
    }
    return Int(count)
  }

  mutating func string(atMost limit: UInt64 = .max) throws(ModelFormatError) -> String {
    let length = try integer(UInt64.self)
    guard length <= limit else { throw malformed("a name of \(length) bytes; at most \(limit) are allowed") }
    let bytes = unsafe try take(length)
    guard let text = unsafe String(validating: bytes, as: UTF8.self) else {
      throw malformed("a text that is not UTF-8, at byte \(position - Int(length))")
    }
    return text
  }

  mutating func value() throws(ModelFormatError) -> GGUFValue {
    let type = try integer(UInt32.self)
    switch type {
    case 0: return .integer(Int64(try integer(UInt8.self)))
    case 1: return .integer(Int64(try integer(Int8.self)))
    case 2: return .integer(Int64(try integer(UInt16.self)))
    case 3: return .integer(Int64(try integer(Int16.self)))
    case 4: return .integer(Int64(try integer(UInt32.self)))
    case 5: return .integer(Int64(try integer(Int32.self)))
    case 6: return .number(Double(Float(bitPattern: try integer(UInt32.self))))
    case 7: return .bool(try bool())
    case 8: return .string(try string())
    case 9: return try array()
    case 10:
      let value = try integer(UInt64.self)
      return Int64(exactly: value).map { .integer($0) } ?? .unsigned(value)
    case 11: return .integer(try integer(Int64.self))
    case 12: return .number(Double(bitPattern: try integer(UInt64.self)))
    default: throw malformed("a value of type \(type), which is unknown")
    }
  }

  private mutating func bool() throws(ModelFormatError) -> Bool {
    let byte = try integer(UInt8.self)
    guard byte <= 1 else { throw malformed("a boolean is \(byte)") }
    return byte == 1
  }

  private mutating func array() throws(ModelFormatError) -> GGUFValue {
    let type = try integer(UInt32.self)
    switch type {
    case 0: return .integers(try list(1) { c throws(ModelFormatError) in Int64(try c.integer(UInt8.self)) })
    case 1: return .integers(try list(1) { c throws(ModelFormatError) in Int64(try c.integer(Int8.self)) })
    case 2: return .integers(try list(2) { c throws(ModelFormatError) in Int64(try c.integer(UInt16.self)) })
    case 3: return .integers(try list(2) { c throws(ModelFormatError) in Int64(try c.integer(Int16.self)) })
    case 4: return .integers(try list(4) { c throws(ModelFormatError) in Int64(try c.integer(UInt32.self)) })
    case 5: return .integers(try list(4) { c throws(ModelFormatError) in Int64(try c.integer(Int32.self)) })
    case 6:
      return .numbers(
        try list(4) { c throws(ModelFormatError) in Double(Float(bitPattern: try c.integer(UInt32.self))) })
    case 7: return .bools(try list(1) { c throws(ModelFormatError) in try c.bool() })
    case 8: return .strings(try list(8) { c throws(ModelFormatError) in try c.string() })
    case 10:
      return .integers(
        try list(8) { c throws(ModelFormatError) in
          let value = try c.integer(UInt64.self)
          guard let value = Int64(exactly: value) else { throw c.malformed("\(value) does not fit 63 bits") }
          return value
        })
    case 11: return .integers(try list(8) { c throws(ModelFormatError) in try c.integer(Int64.self) })
    case 12:
      return .numbers(try list(8) { c throws(ModelFormatError) in Double(bitPattern: try c.integer(UInt64.self)) })
    default: throw malformed("a list of type \(type), which is not read")
    }
  }

  private mutating func list<Element>(
    _ size: Int, _ element: (inout GGUFCursor) throws(ModelFormatError) -> Element
  ) throws(ModelFormatError) -> [Element] {
    let count = try count(ofAtLeast: size, what: "values")
    var values: [Element] = []
    values.reserveCapacity(count)
    for _ in 0..<count { values.append(try element(&self)) }
    return values
  }
}
