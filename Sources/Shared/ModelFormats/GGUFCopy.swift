import SystemSupport

/// A GGUF file like another one, with other values: tokenizer, template and every other metadata entry stay byte for byte,
/// matrices are written as F16 and vectors as F32. A developer's tool makes related base models with it.
package struct GGUFCopy {
  private let source: OpenModel
  private let file: MappedFile
  private let header: GGUFHeader
  private let headDim: Int

  private struct Record {
    let tensor: GGUFHeader.Tensor
    /// Under the checkpoint's name.
    let name: String
    let type: UInt32
    let offset: Int
    let byteCount: Int
  }

  package init(of path: String) throws(ModelFormatError) {
    source = try openGGUF(path)
    file = try MappedFile(path: path)
    header = try unsafe GGUFHeader(file.bytes, path: path)
    headDim = source.configuration.headDim
  }

  package var model: OpenModel { source }

  /// Writes the copy, which is there whole or not at all. `values` gives a tensor's values in the checkpoint's order, or
  /// nil where they stay.
  package func write(
    to path: String, values: (_ name: String) throws(ModelFormatError) -> [Float]?
  ) throws(ModelFormatError) {
    let (records, dataCount) = records()
    var bytes: [UInt8] = []
    func append(_ value: some FixedWidthInteger) {
      unsafe withUnsafeBytes(of: value.littleEndian) { unsafe bytes.append(contentsOf: $0) }
    }
    append(UInt32(0x4655_4747))
    append(UInt32(3))
    append(UInt64(records.count))
    append(UInt64(header.metadataCount))
    unsafe bytes.append(contentsOf: file.bytes[header.metadataRange])
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
      let found: [Float]
      if let given = try values(record.name) { found = given } else { found = try source.floats(record.name) }
      precondition(
        found.count == record.tensor.dimensions.reduce(1, *), "'\(record.name)' has \(found.count) values")
      let stored = inFileOrder(found, of: record)
      for value in stored {
        if record.type == 0 { append(value.bitPattern) } else { append(Float16(value).bitPattern) }
      }
    }
    do { try FileSystem.writeAtomically(path, bytes, mode: 0o644) } catch { throw .system(error) }
  }

  private func records() -> ([Record], dataCount: Int) {
    var records: [Record] = []
    var offset = 0
    for tensor in header.tensors {
      // What it is not read as was refused when it was opened.
      guard let name = huggingFaceName(tensor.name) else { continue }
      let isVector = tensor.dimensions.count == 1
      let byteCount = tensor.dimensions.reduce(1, *) * (isVector ? 4 : 2)
      records.append(
        Record(tensor: tensor, name: name, type: isVector ? 0 : 1, offset: offset, byteCount: byteCount))
      offset += byteCount + padding(byteCount)
    }
    return (records, offset)
  }

  private func padding(_ count: Int) -> Int {
    (header.alignment - count % header.alignment) % header.alignment
  }

  private func inFileOrder(_ values: [Float], of record: Record) -> [Float] {
    guard record.name.hasSuffix("q_proj.weight") || record.name.hasSuffix("k_proj.weight") else { return values }
    let length = record.tensor.dimensions[0]
    var result = [Float](repeating: 0, count: values.count)
    for row in 0..<values.count / length {
      let target = rowInGGUF(of: row, headDim: headDim) * length
      result.replaceSubrange(target..<target + length, with: values[row * length..<(row + 1) * length])
    }
    return result
  }
}
