/// The bytes of a zip file with stored entries, as `torch.save` writes one, or with lies in it.
package struct TorchArchive {
  package struct Entry {
    package var name: String
    package var content: [UInt8]
    package var size: UInt32?
    package var storedSize: UInt32?
    package var offset: UInt32?
    package var method: UInt16 = 0
    package var checksum: UInt32?

    package init(name: String, content: [UInt8]) { (self.name, self.content) = (name, content) }
  }

  package var entries: [Entry]
  package var count: UInt16?
  package var directoryStart: UInt32?

  /// With the pickle as `a/data.pkl` and storages as `a/data/0` and so on.
  package init(pickle: [UInt8], storages: [[UInt8]] = []) {
    entries =
      [Entry(name: "a/data.pkl", content: pickle)]
      + storages.enumerated().map { Entry(name: "a/data/\($0.offset)", content: $0.element) }
  }

  package var bytes: [UInt8] {
    var bytes: [UInt8] = []
    var directory: [UInt8] = []
    for entry in entries {
      let place = UInt32(bytes.count)
      let name = Array(entry.name.utf8)
      let checksum = entry.checksum ?? naiveCRC32(entry.content)
      let sizes =
        little(entry.storedSize ?? UInt32(entry.content.count)) + little(entry.size ?? UInt32(entry.content.count))
      let common = little(UInt16(0)) + little(entry.method) + little(UInt32(0)) + little(checksum) + sizes
      bytes += [0x50, 0x4B, 3, 4, 0, 0] + common + little(UInt16(name.count)) + [0, 0] + name + entry.content
      directory += [0x50, 0x4B, 1, 2, 0, 0, 0, 0] + common + little(UInt16(name.count))
      directory += [UInt8](repeating: 0, count: 12) + little(entry.offset ?? place) + name
    }
    let start = UInt32(bytes.count)
    let count = little(count ?? UInt16(entries.count))
    bytes += directory + [0x50, 0x4B, 5, 6, 0, 0, 0, 0] + count + count + little(UInt32(directory.count))
    return bytes + little(directoryStart ?? start) + [0, 0]
  }
}

package func little<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
  (0..<MemoryLayout<Value>.size).map { UInt8(truncatingIfNeeded: value >> Value(8 * $0)) }
}

/// Bit by bit.
private func naiveCRC32(_ bytes: [UInt8]) -> UInt32 {
  var rest = UInt32.max
  for bit in bytes.flatMap({ byte in (0..<8).map { UInt32(byte >> UInt8($0) & 1) } }) {
    rest = (rest ^ bit) & 1 == 1 ? rest >> 1 ^ 0xEDB8_8320 : rest >> 1
  }
  return ~rest
}

/// Pickles, instruction by instruction.
package enum Pickle {
  package static let begin: [UInt8] = [0x80, 2]
  package static let stop: [UInt8] = [0x2E]
  package static let mark: [UInt8] = [0x28]
  package static let reduce: [UInt8] = [0x52]
  package static let emptyDictionary: [UInt8] = [0x7D]
  package static let setItem: [UInt8] = [0x73]
  package static func global(_ module: String, _ name: String) -> [UInt8] {
    [0x63] + Array("\(module)\n\(name)\n".utf8)
  }
  package static func text(_ text: String) -> [UInt8] { [0x58] + little(UInt32(text.utf8.count)) + Array(text.utf8) }
  package static func integer(_ value: Int64) -> [UInt8] { [0x8A, 8] + little(value) }
  package static func tuple(_ items: [[UInt8]]) -> [UInt8] { mark + items.flatMap { $0 } + [0x74] }

  /// `{"x": tensor}` over storage 0.
  package static func tensor(
    offset: Int64 = 0, shape: [Int64] = [2], strides: [Int64] = [1], count: Int64 = 4, type: String = "FloatStorage",
    key: String = "0"
  ) -> [UInt8] {
    let storage =
      tuple([text("storage"), global("torch", type), text(key), text("cpu"), integer(count)]) + [0x51]
    let arguments = [
      storage, integer(offset), tuple(shape.map(integer)), tuple(strides.map(integer)), [0x89],
      global("collections", "OrderedDict") + [0x29] + reduce,
    ]
    return begin + emptyDictionary + text("x") + global("torch._utils", "_rebuild_tensor_v2") + tuple(arguments)
      + reduce
      + setItem + stop
  }
}
