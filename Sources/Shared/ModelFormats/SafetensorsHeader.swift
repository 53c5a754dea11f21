import FileKinds
import StrictJSON

/// The header of a safetensors file, checked against the size of the file.
///
///     8 bytes   length N of the header, little-endian
///     N bytes   {"__metadata__":{"k":"v"},"name":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}
///     the rest  the values; data_offsets count from here and cover every byte exactly once
///
/// Stricter than the reference, which lets the last of two equal keys win, and more: see `t2-expert(5)`.
package struct SafetensorsHeader: Sendable {
  /// What is accepted.
  package struct Rules: Sendable {
    package var maximumFileSize: Int
    package var maximumHeaderLength: Int
    package var maximumTensors: Int
    package var maximumDepth: Int
    package var types: [SafetensorsType]
    package var allowsEmptyTensors: Bool
    /// For files that strangers drop: small, every tensor has values, plain names. Of which types and shapes an expert's
    /// vectors are is for who reads one: what else is in such a file is to be named.
    package static let expert = Rules(
      maximumFileSize: 64 << 20, maximumHeaderLength: 1 << 20, maximumTensors: 4096, maximumDepth: 8,
      types: SafetensorsType.allCases, allowsEmptyTensors: false)
    /// For base models: any size, empty tensors, and values that only have to be stepped over.
    package static let model = Rules(
      maximumFileSize: .max, maximumHeaderLength: 100_000_000, maximumTensors: 1_000_000, maximumDepth: 8,
      types: SafetensorsType.allCases, allowsEmptyTensors: true)
  }

  package struct Tensor: Sendable, Equatable {
    package let name: String
    package let type: SafetensorsType
    package let shape: [Int]
    /// Within the file.
    package let byteRange: Range<Int>

    /// Number of values.
    package var count: Int { shape.reduce(1, *) }
  }

  /// In the order of their bytes in the file.
  package let tensors: [Tensor]
  package let metadata: [(key: String, value: String)]

  /// Reads the header from the beginning of a file. `bytes` need not reach further than the header; `fileSize` is the
  /// size of the whole. Nothing is allocated before what the file announces is checked.
  package static func parse(
    _ bytes: UnsafeRawBufferPointer, fileSize: Int, rules: Rules = .expert
  ) throws(SafetensorsError) -> SafetensorsHeader {
    let length = try unsafe length(bytes, fileSize: fileSize, rules: rules)
    guard 8 + length <= bytes.count else { throw .incomplete(size: fileSize, needed: 8 + length) }

    let limits = JSONLimits(
      maximumDepth: rules.maximumDepth, maximumMembers: rules.maximumTensors * 16,
      maximumBytes: rules.maximumHeaderLength)
    let value: JSONValue
    do throws(JSONError) {
      value = try unsafe parseJSON(UnsafeRawBufferPointer(rebasing: bytes[8..<8 + length]), limits: limits)
    } catch {
      throw .badHeader(error)
    }
    guard case .object(let object) = value else {
      throw .badHeader(
        JSONError(kind: .syntax, offset: 0, line: 1, column: 1, problem: "expected an object, found \(value.kindName)"))
    }
    return try SafetensorsHeader(object, dataStart: 8 + length, fileSize: fileSize, rules: rules)
  }

  /// The length of the header, from the first `FileKind.examinedBytes` bytes of a file, or all of a shorter one.
  static func length(_ bytes: UnsafeRawBufferPointer, fileSize: Int, rules: Rules) throws(SafetensorsError) -> Int {
    guard fileSize <= rules.maximumFileSize else { throw .tooLarge(size: fileSize, limit: rules.maximumFileSize) }
    guard fileSize > 0 else { throw .unwritten(size: 0) }
    // The rest of a number whose end is not there yet only adds to it.
    let announced = (0..<min(8, bytes.count)).reversed().reduce(UInt64(0)) { unsafe $0 << 8 | UInt64(bytes[$1]) }
    guard let length = Int(exactly: announced), length <= rules.maximumHeaderLength else {
      if let kind = unsafe otherKind(bytes) { throw .anotherFormat(kind) }
      throw .headerTooLong(length: announced, limit: rules.maximumHeaderLength)
    }
    guard bytes.count >= 8 else { throw .incomplete(size: fileSize, needed: 8) }
    // A length of 0 is how a file looks whose blocks are reserved and not yet written.
    guard length > 0 else { throw .unwritten(size: fileSize) }
    // What begins with a small number by chance, as gzip does, goes on with something else than an object.
    if bytes.count > 8, unsafe bytes[8] != UInt8(ascii: "{"), let kind = unsafe otherKind(bytes) {
      throw .anotherFormat(kind)
    }
    return length
  }

  private init(
    _ object: JSONObject, dataStart: Int, fileSize: Int, rules: Rules
  ) throws(SafetensorsError) {
    var tensors: [Tensor] = []
    var metadata: [(key: String, value: String)] = []
    guard object.count <= rules.maximumTensors + 1 else {
      throw .tooManyTensors(count: object.count, limit: rules.maximumTensors)
    }
    for (name, value) in object.members {
      if name == "__metadata__" {
        metadata = try Self.metadata(value)
      } else {
        tensors.append(try Self.tensor(name, value, dataStart: dataStart, rules: rules))
      }
    }
    guard !tensors.isEmpty else { throw .noTensors }
    guard tensors.count <= rules.maximumTensors else {
      throw .tooManyTensors(count: tensors.count, limit: rules.maximumTensors)
    }
    // Empty tensors first where offsets are equal, so that they are not taken for overlaps.
    tensors.sort {
      ($0.byteRange.lowerBound, $0.byteRange.upperBound) < ($1.byteRange.lowerBound, $1.byteRange.upperBound)
    }
    var end = dataStart
    var previous = ""
    for tensor in tensors {
      if tensor.byteRange.lowerBound > end { throw .gap(tensor: tensor.name, at: end - dataStart) }
      if tensor.byteRange.lowerBound < end { throw .overlap(tensor: tensor.name, with: previous) }
      end = tensor.byteRange.upperBound
      previous = tensor.name
    }
    if fileSize < end { throw .incomplete(size: fileSize, needed: end) }
    if fileSize > end { throw .trailingBytes(count: fileSize - end) }
    self.tensors = tensors
    self.metadata = metadata
  }

  private static func metadata(_ value: JSONValue) throws(SafetensorsError) -> [(key: String, value: String)] {
    guard case .object(let object) = value else {
      throw .badMetadata(problem: "must be an object of strings, found \(value.kindName)")
    }
    var entries: [(key: String, value: String)] = []
    for (key, value) in object.members {
      guard case .string(let text) = value else {
        throw .badMetadata(problem: "the value of \"\(key.excerpt)\" must be a string, found \(value.kindName)")
      }
      entries.append((key, text))
    }
    return entries
  }

  private static func tensor(
    _ name: String, _ value: JSONValue, dataStart: Int, rules: Rules
  ) throws(SafetensorsError) -> Tensor {
    guard isPlainName(name) else { throw .badName(name) }
    var typeName = ""
    var dimensions: [JSONValue] = []
    var offsets: [JSONValue] = []
    do throws(ObjectReaderError) {
      var reader = try ObjectReader(reading: value)
      typeName = try reader.string("dtype")
      dimensions = try reader.array("shape")
      offsets = try reader.array("data_offsets")
      try reader.finish()
    } catch {
      throw .badField(tensor: name, problem: error.problem)
    }
    guard let type = SafetensorsType(rawValue: typeName), rules.types.contains(type) else {
      throw .unsupportedType(
        tensor: name, type: JSONValue.string(typeName.excerpt).jsonText,
        supported: rules.types.map(\.rawValue).joined(separator: ", "))
    }

    // Multiplied in order and checked before a zero can hide an overflow.
    var shape: [Int] = []
    var byteCount = 1
    for dimension in dimensions {
      guard let size = dimension.intValue, size >= 0 else {
        throw .badShape(
          tensor: name, problem: "a dimension must be a whole number, found \(dimension.excerpt)")
      }
      let (product, overflow) = byteCount.multipliedReportingOverflow(by: size)
      guard !overflow else { throw .badShape(tensor: name, problem: "its number of values overflows") }
      shape.append(size)
      byteCount = product
    }
    let (size, overflow) = byteCount.multipliedReportingOverflow(by: type.size)
    guard !overflow else { throw .badShape(tensor: name, problem: "its number of bytes overflows") }
    byteCount = size
    if byteCount == 0, !rules.allowsEmptyTensors { throw .badShape(tensor: name, problem: "it has no values") }

    guard offsets.count == 2, let begin = offsets[0].intValue, let end = offsets[1].intValue, begin >= 0, begin <= end
    else {
      throw .badOffsets(
        tensor: name,
        problem:
          "data_offsets must be two ascending whole numbers, found \(JSONValue.array(offsets).excerpt)")
    }
    guard end - begin == byteCount else {
      throw .sizeMismatch(tensor: name, shape: shape, type: typeName, expected: byteCount, found: end - begin)
    }
    let (last, overflows) = end.addingReportingOverflow(dataStart)
    guard !overflows else { throw .badOffsets(tensor: name, problem: "its end overflows") }
    return Tensor(name: name, type: type, shape: shape, byteRange: begin + dataStart..<last)
  }

  /// Names are data and never paths, but they come into logs, tables and file names of others.
  private static func isPlainName(_ name: String) -> Bool {
    (1...256).contains(name.utf8.count)
      && name.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"): true
        default: false
        }
      }
  }

  /// What a file is whose first bytes are no beginning of this format; nil where they say nothing. Asked only then, since
  /// the length of a header may look like any other format's mark.
  private static func otherKind(_ bytes: UnsafeRawBufferPointer) -> FileKind? {
    let start = unsafe Array(bytes.prefix(FileKind.examinedBytes))
    if let kind = FileKind(beginning: start) { return kind == .weights(.safetensors) ? nil : kind }
    // UTF-8 has no byte above 0xF4.
    let isText = start.prefix(64).allSatisfy { (0x20...0xF4).contains($0) && $0 != 0x7F || (0x09...0x0D).contains($0) }
    guard isText, let first = start.first(where: { $0 > 0x20 }) else { return nil }
    return .document(first == UInt8(ascii: "{") || first == UInt8(ascii: "[") ? "a JSON text" : "a text")
  }
}

/// The types of values in safetensors files.
package enum SafetensorsType: String, Sendable, CaseIterable {
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"
  case f64 = "F64"
  case f8e4m3 = "F8_E4M3"
  case f8e5m2 = "F8_E5M2"
  case i8 = "I8"
  case i16 = "I16"
  case i32 = "I32"
  case i64 = "I64"
  case u8 = "U8"
  case u16 = "U16"
  case u32 = "U32"
  case u64 = "U64"
  case bool = "BOOL"

  /// Bytes of a value.
  package var size: Int {
    switch self {
    case .f8e4m3, .f8e5m2, .i8, .u8, .bool: 1
    case .f16, .bf16, .i16, .u16: 2
    case .f32, .i32, .u32: 4
    case .f64, .i64, .u64: 8
    }
  }

  /// Those of which values are read, for messages.
  package static let readNames = allCases.filter(\.isRead).map(\.rawValue).joined(separator: ", ")
  /// What a model is read of, for who has one of quantised weights.
  static let readWeights =
    "weights of \(readNames); add the model that this was made of, or a GGUF file of it of \(ElementType.supportedNames)"

  package var isRead: Bool { elementType != nil }

  /// The type for widening to floats; nil where values of this type are not read.
  var elementType: ElementType? {
    switch self {
    case .f32: .f32
    case .f16: .f16
    case .bf16: .bf16
    case .f64: .f64
    case .f8e4m3, .f8e5m2, .i8, .i16, .i32, .i64, .u8, .u16, .u32, .u64, .bool: nil
    }
  }
}
