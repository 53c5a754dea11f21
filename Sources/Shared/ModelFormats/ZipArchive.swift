import StrictJSON

/// The entries of a zip file that stores them uncompressed, as `torch.save` does.
///
///     per entry   "PK\3\4" ... name, extra field, then the bytes themselves
///     directory   "PK\1\2" ... sizes, CRC, name and place of each entry
///     the end     "PK\5\6" ... place and size of the directory; 22 bytes, with which the file ends
///
/// The directory decides; of an entry's own header only the lengths of its name and extra field are taken, behind which
/// the bytes begin. Every place and size is compared with the file's before it is used.
struct ZipArchive {
  private struct Entry {
    let bytes: Range<Int>
    let checksum: UInt32
  }

  private let bytes: [UInt8]
  private let entries: [UTF8Key: Entry]

  private static let (endSize, directoryHeaderSize, entryHeaderSize) = (22, 46, 30)

  init(_ bytes: [UInt8]) throws(TorchFileError) {
    self.bytes = bytes
    let end = bytes.count - Self.endSize
    guard end >= 0, bytes[end...].starts(with: [0x50, 0x4B, 5, 6]) else {
      throw .badArchive(problem: "its last 22 bytes are not the end of a directory, so it is cut off or goes on")
    }
    let count = bytes.integer16(end + 10)
    var place = bytes.integer32(end + 16)
    let (directoryStart, directoryEnd) = (place, place + bytes.integer32(end + 12))
    guard directoryEnd <= end else {
      throw .badArchive(problem: "its directory would lie at \(directoryStart) to \(directoryEnd), behind its end")
    }
    var entries: [UTF8Key: Entry] = [:]
    for number in 0..<count {
      guard place + Self.directoryHeaderSize <= directoryEnd, bytes[place...].starts(with: [0x50, 0x4B, 1, 2]) else {
        throw .badArchive(problem: "its directory ends before entry \(number) of \(count)")
      }
      let nameStart = place + Self.directoryHeaderSize
      let nameEnd = nameStart + bytes.integer16(place + 28)
      let next = nameEnd + bytes.integer16(place + 30) + bytes.integer16(place + 32)
      guard next <= directoryEnd, let name = String(validating: bytes[nameStart..<nameEnd], as: UTF8.self) else {
        throw .badArchive(problem: "the name of entry \(number) is cut off or not UTF-8")
      }
      let method = bytes.integer16(place + 10)
      let (stored, size) = (bytes.integer32(place + 20), bytes.integer32(place + 24))
      let isEncrypted = bytes.integer16(place + 8) & 1 == 1
      guard method == 0, !isEncrypted else { throw .packed(entry: name, isEncrypted: isEncrypted) }
      guard stored == size else {
        throw .badArchive(
          problem: "entry '\(name.excerpt)' is stored as it is and has the two sizes \(stored) and \(size)")
      }
      let header = bytes.integer32(place + 42)
      guard header + Self.entryHeaderSize <= directoryStart, bytes[header...].starts(with: [0x50, 0x4B, 3, 4]) else {
        throw .badArchive(problem: "entry '\(name.excerpt)' has no header at \(header)")
      }
      let start = header + Self.entryHeaderSize + bytes.integer16(header + 26) + bytes.integer16(header + 28)
      guard start + size <= directoryStart else {
        throw .badArchive(
          problem:
            "entry '\(name.excerpt)' would lie at \(start) to \(start + size), the directory begins at \(directoryStart)"
        )
      }
      let entry = Entry(bytes: start..<start + size, checksum: UInt32(bytes.integer32(place + 16)))
      guard entries.updateValue(entry, forKey: UTF8Key(name)) == nil else {
        throw .badArchive(problem: "two entries are named '\(name.excerpt)'")
      }
      place = next
    }
    self.entries = entries
  }

  var names: [String] { entries.keys.map(\.string) }

  /// The bytes of an entry; nil where there is none of that name.
  func content(_ name: String) throws(TorchFileError) -> ArraySlice<UInt8>? {
    guard let entry = entries[UTF8Key(name)] else { return nil }
    let content = bytes[entry.bytes]
    guard crc32(content) == entry.checksum else {
      throw .badArchive(problem: "the bytes of entry '\(name.excerpt)' do not have its checksum")
    }
    return content
  }
}

extension [UInt8] {
  fileprivate func integer16(_ place: Int) -> Int { Int(self[place]) | Int(self[place + 1]) << 8 }
  fileprivate func integer32(_ place: Int) -> Int { integer16(place) | integer16(place + 2) << 16 }
}

/// The checksum of zip files: the polynomial of IEEE 802.3, bits reversed.
private func crc32(_ bytes: ArraySlice<UInt8>) -> UInt32 {
  var rest = UInt32.max
  for byte in bytes { rest = crcTable[Int(UInt8(truncatingIfNeeded: rest) ^ byte)] ^ rest >> 8 }
  return ~rest
}

private let crcTable: [UInt32] = (0..<256).map { byte in
  (0..<8).reduce(UInt32(byte)) { rest, _ in rest & 1 == 1 ? 0xEDB8_8320 ^ rest >> 1 : rest >> 1 }
}
