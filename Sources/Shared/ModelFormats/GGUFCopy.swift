import SystemSupport

/// A GGUF file like another one, with other values: tokenizer, template and every other metadata entry stay byte for byte,
/// matrices are written as F16 and vectors as F32. A model in several parts becomes one file. A developer's tool makes
/// related base models with it.
package struct GGUFCopy {
  private let source: OpenModel
  private let parts: GGUFParts
  private let family: ModelFamily

  private struct Record {
    let tensor: GGUFHeader.Tensor
    /// Under the checkpoint's name; nil of what is no weight and stays as it is.
    let name: String?
    let type: UInt32
    let offset: Int
    let byteCount: Int
    let part: Int
  }

  package init(of path: String) throws(ModelFormatError) {
    source = try openGGUF(path)
    parts = try GGUFParts(path)
    family = try parts.metadata.family()
  }

  package var model: OpenModel { source }

  private var first: GGUFParts.Part { parts.parts[0] }

  /// Writes the copy, which is there whole or not at all. `values` gives a tensor's values in the checkpoint's order, or
  /// nil where they stay.
  package func write(
    to path: String, values: (_ name: String) throws(ModelFormatError) -> [Float]?
  ) throws(ModelFormatError) {
    let (records, dataCount) = records()
    let entries = first.header.entries.filter { !$0.key.hasPrefix("split.") }
    var bytes: [UInt8] = []
    func append(_ value: some FixedWidthInteger) {
      unsafe withUnsafeBytes(of: value.littleEndian) { unsafe bytes.append(contentsOf: $0) }
    }
    append(UInt32(0x4655_4747))
    append(UInt32(3))
    append(UInt64(records.count))
    append(UInt64(entries.count))
    for entry in entries { unsafe bytes.append(contentsOf: first.file.bytes[entry.range]) }
    for record in records {
      append(UInt64(record.tensor.name.utf8.count))
      bytes += Array(record.tensor.name.utf8)
      append(UInt32(record.tensor.dimensions.count))
      for size in record.tensor.dimensions { append(UInt64(size)) }
      append(record.type)
      append(UInt64(record.offset))
    }
    bytes += repeatElement(0, count: padding(bytes.count))
    let dataStart = bytes.count
    bytes.reserveCapacity(dataStart + dataCount)
    for record in records {
      bytes += repeatElement(0, count: dataStart + record.offset - bytes.count)
      for value in try stored(record, values) {
        if record.type == 0 { append(value.bitPattern) } else { append(Float16(value).bitPattern) }
      }
    }
    do { try FileSystem.writeAtomically(path, bytes, mode: 0o644) } catch { throw .system(error) }
  }

  private func records() -> ([Record], dataCount: Int) {
    var records: [Record] = []
    var offset = 0
    for (number, part) in parts.parts.enumerated() {
      for tensor in part.header.tensors {
        let isVector = tensor.dimensions.count == 1
        let byteCount = tensor.dimensions.reduce(1, *) * (isVector ? 4 : 2)
        records.append(
          Record(
            tensor: tensor, name: family.huggingFaceName(ofGGUF: tensor.name), type: isVector ? 0 : 1, offset: offset,
            byteCount: byteCount, part: number))
        offset += byteCount + padding(byteCount)
      }
    }
    return (records, offset)
  }

  private func padding(_ count: Int) -> Int {
    (first.header.alignment - count % first.header.alignment) % first.header.alignment
  }

  /// A tensor's values in the order of the file.
  private func stored(
    _ record: Record, _ values: (_ name: String) throws(ModelFormatError) -> [Float]?
  ) throws(ModelFormatError) -> [Float] {
    let count = record.tensor.dimensions.reduce(1, *)
    guard let name = record.name else {
      var found = [Float](repeating: 0, count: count)
      let bytes = unsafe UnsafeRawBufferPointer(rebasing: parts.parts[record.part].file.bytes[record.tensor.range])
      unsafe found.withUnsafeMutableBufferPointer { unsafe record.tensor.type.widen(bytes, into: $0) }
      return found
    }
    let found: [Float]
    if let given = try values(name) { found = given } else { found = try source.floats(name) }
    precondition(found.count == count, "'\(name)' has \(found.count) values")
    guard family.isPermutedInGGUF, isPermutedInGGUF(name) else { return found }
    let length = record.tensor.dimensions.count == 1 ? 1 : record.tensor.dimensions[0]
    var result = [Float](repeating: 0, count: found.count)
    for row in 0..<found.count / length {
      let target = rowInGGUF(of: row, headDim: source.configuration.headDim) * length
      result.replaceSubrange(target..<target + length, with: found[row * length..<(row + 1) * length])
    }
    return result
  }
}
