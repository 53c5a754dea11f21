import FileKinds
import StrictJSON

/// The header of a GGUF file: metadata, and where each tensor lies. Nothing of the tensors' values is touched.
///
/// Layout (ggml's docs/gguf.md): `GGUF`, version (UInt32; 2 and 3 are alike), tensor count, metadata count (UInt64), the
/// metadata as key, type, value, one record a tensor (name, dimensions, type, offset), padding, then the values. All
/// little-endian. The file is hostile until proven otherwise: every count is bounded by the bytes that are left before
/// anything is allocated, and every sum and product is checked.
struct GGUFHeader {
  struct Tensor: Sendable {
    let name: String
    /// ggml's order: the fastest-running dimension first.
    let dimensions: [Int]
    let type: ElementType
    /// Within the file.
    let range: Range<Int>
  }

  let metadata: [String: GGUFValue]
  let tensors: [Tensor]
  let alignment: Int
  /// The bytes of each metadata entry, for a copy that keeps them as they are.
  let entries: [(key: String, range: Range<Int>)]

  /// ggml's GGML_MAX_DIMS.
  private static let maximumDimensions = 4
  private static let maximumNameLength: UInt64 = 256

  /// `examine` is asked about the metadata before any tensor is looked at: what is no model is told as such, and not by
  /// a tensor of it that no model has.
  init(
    _ bytes: UnsafeRawBufferPointer, path: String,
    examine: (_ metadata: GGUFMetadata, _ tensorCount: Int) throws(ModelFormatError) -> Void = { _, _ in }
  ) throws(ModelFormatError) {
    var cursor = unsafe GGUFCursor(bytes, path: path)
    cursor.place = "its first bytes"
    guard unsafe !bytes.isEmpty, try cursor.integer(UInt32.self) == 0x4655_4747 else {
      throw unsafe notGGUF(path, beginning: Array(bytes.prefix(FileKind.examinedBytes)))
    }
    let version = try cursor.integer(UInt32.self)
    guard version == 2 || version == 3 else {
      let found = version.byteSwapped == 2 || version.byteSwapped == 3 ? "big-endian" : "\(version)"
      throw .unsupported(path: path, what: "the GGUF version", found: found, supported: "2 and 3, little-endian")
    }
    let tensorCount = try cursor.count(ofAtLeast: 24, what: "tensors")
    let entryCount = try cursor.count(ofAtLeast: 13, what: "metadata entries")

    var metadata: [String: GGUFValue] = [:]
    var entries: [(key: String, range: Range<Int>)] = []
    for index in 0..<entryCount {
      cursor.place = "metadata entry \(index)"
      let start = cursor.position
      let key = try cursor.string(atMost: 65535)
      cursor.place = "metadata '\(key.excerpt)'"
      let value = try cursor.value()
      guard metadata.updateValue(value, forKey: key) == nil else { throw cursor.malformed("the key appears twice") }
      entries.append((key, start..<cursor.position))
    }
    self.metadata = metadata
    self.entries = entries
    try examine(GGUFMetadata(path: path, values: metadata), tensorCount)
    alignment = try Self.alignment(metadata["general.alignment"], path: path)
    tensors = try Self.tensors(tensorCount, &cursor, alignment: alignment)
  }

  private static func alignment(_ value: GGUFValue?, path: String) throws(ModelFormatError) -> Int {
    guard let value else { return 32 }
    guard let number = value.integer, number > 0, number <= 1 << 20, number & (number - 1) == 0 else {
      throw .malformed(
        path: path, place: "metadata 'general.alignment'", problem: "must be a power of two, found \(value.shown)")
    }
    return number
  }

  private static func tensors(
    _ count: Int, _ cursor: inout GGUFCursor, alignment: Int
  ) throws(ModelFormatError) -> [Tensor] {
    struct Record {
      let name: String
      let dimensions: [Int]
      let type: ElementType
      let offset: UInt64
      let byteCount: Int
    }
    var records: [Record] = []
    var names: Set<String> = []
    for index in 0..<count {
      cursor.place = "the record of tensor \(index)"
      let name = try cursor.string(atMost: maximumNameLength)
      cursor.place = "the record of tensor '\(name)'"
      guard names.insert(name).inserted else { throw cursor.malformed("the name appears twice") }
      let rank = try cursor.integer(UInt32.self)
      guard (1...UInt32(maximumDimensions)).contains(rank) else {
        throw cursor.malformed("it has \(rank) dimensions, allowed are 1 to \(maximumDimensions)")
      }
      var dimensions: [Int] = []
      var values = 1
      for _ in 0..<rank {
        let size = try cursor.integer(UInt64.self)
        guard let size = Int(exactly: size), size > 0 else { throw cursor.malformed("a dimension is \(size)") }
        let (product, overflow) = values.multipliedReportingOverflow(by: size)
        guard !overflow else { throw cursor.malformed("its number of values overflows") }
        dimensions.append(size)
        values = product
      }
      let code = try cursor.integer(UInt32.self)
      guard let type = ElementType(ggml: code) else {
        throw .unsupportedTensorType(
          path: cursor.path, tensor: name, type: ggmlTypeName(code),
          supported: ElementType.supportedNames + "; take the model in one of these, such as its GGUF file of Q8_0")
      }
      guard dimensions[0] % type.blockLength == 0, let byteCount = type.byteCount(of: values) else {
        throw cursor.malformed("rows of \(dimensions[0]) values are not whole blocks of \(type.rawValue)")
      }
      let offset = try cursor.integer(UInt64.self)
      guard offset % UInt64(alignment) == 0 else {
        throw cursor.malformed("its offset \(offset) is not a multiple of the alignment \(alignment)")
      }
      records.append(Record(name: name, dimensions: dimensions, type: type, offset: offset, byteCount: byteCount))
    }

    let dataStart = UInt64(cursor.position + (alignment - cursor.position % alignment) % alignment)
    var tensors: [Tensor] = []
    for record in records {
      cursor.place = "tensor '\(record.name)'"
      let (start, overflow) = dataStart.addingReportingOverflow(record.offset)
      let (end, overflow2) = start.addingReportingOverflow(UInt64(record.byteCount))
      guard !overflow, !overflow2 else { throw cursor.malformed("its offset \(record.offset) overflows") }
      guard let first = Int(exactly: start), let last = Int(exactly: end), last <= cursor.count else {
        throw .truncated(path: cursor.path, part: cursor.place, needed: end, size: cursor.count)
      }
      tensors.append(
        Tensor(name: record.name, dimensions: record.dimensions, type: record.type, range: first..<last))
    }
    let ordered = tensors.sorted { $0.range.lowerBound < $1.range.lowerBound }
    for (one, next) in zip(ordered, ordered.dropFirst()) where one.range.upperBound > next.range.lowerBound {
      throw .malformed(path: cursor.path, place: "tensor '\(next.name)'", problem: "it overlaps '\(one.name)'")
    }
    return tensors
  }
}

extension ElementType {
  init?(ggml code: UInt32) {
    switch code {
    case 0: self = .f32
    case 1: self = .f16
    case 2: self = .q4_0
    case 3: self = .q4_1
    case 6: self = .q5_0
    case 7: self = .q5_1
    case 8: self = .q8_0
    case 10: self = .q2_K
    case 11: self = .q3_K
    case 12: self = .q4_K
    case 13: self = .q5_K
    case 14: self = .q6_K
    case 20: self = .iq4_nl
    case 23: self = .iq4_xs
    case 28: self = .f64
    case 30: self = .bf16
    default: return nil
    }
  }
}

/// ggml's name of a tensor type, for messages about those that are not read.
private func ggmlTypeName(_ code: UInt32) -> String {
  let names: [UInt32: String] = [
    9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 21: "IQ3_S", 22: "IQ2_S", 24: "I8",
    25: "I16", 26: "I32", 27: "I64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4",
  ]
  return names[code] ?? "number \(code), which is unknown"
}
