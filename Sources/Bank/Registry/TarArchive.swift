import SystemSupport

/// A file in an archive: POSIX pax (ustar, with a header of its own for a long path or a large file), as tar(1) lists and
/// extracts it. Regular files alone.
///
///     header   512 bytes: path, mode, size, time, and a sum of all of them
///     content  padded with zeros to a multiple of 512
///
/// An archive ends with two blocks of zeros.
struct TarEntry: Equatable {
  static let block = 512
  static let end = [UInt8](repeating: 0, count: 2 * block)

  var path: String
  var size: Int
  var mode: Int
  /// Seconds since 1970.
  var modified: Int64

  /// Bytes that follow the content.
  static func padding(_ size: Int) -> Int { (block - size % block) % block }

  /// What precedes the content.
  var header: [UInt8] {
    let records = extraRecords
    guard !records.isEmpty else { return ustar(path, size: size, kind: "0") }
    return ustar("pax_header", size: records.count, kind: "x") + records
      + [UInt8](repeating: 0, count: Self.padding(records.count)) + ustar(path, size: size, kind: "0")
  }

  /// What a ustar header has no room for.
  private var extraRecords: [UInt8] {
    var records: [UInt8] = []
    if path.utf8.count > Self.longestPath { records += Self.record("path", path) }
    if size > Self.largestSize { records += Self.record("size", "\(size)") }
    return records
  }

  private static let longestPath = 100
  /// Eleven octal digits.
  private static let largestSize = 1 << 33 - 1

  /// "17 path=some/path\n": its length counts itself.
  private static func record(_ key: String, _ value: String) -> [UInt8] {
    let rest = " \(key)=\(value)\n"
    var length = rest.utf8.count
    while "\(length)".utf8.count + rest.utf8.count != length { length = "\(length)".utf8.count + rest.utf8.count }
    return Array("\(length)\(rest)".utf8)
  }

  private func ustar(_ path: String, size: Int, kind: Unicode.Scalar) -> [UInt8] {
    var bytes: [UInt8] = []
    func text(_ text: String, _ width: Int) {
      let start = bytes.count
      bytes += text.utf8.prefix(width)
      bytes += [UInt8](repeating: 0, count: width - (bytes.count - start))
    }
    func octal(_ number: Int, _ digits: Int) -> String {
      let text = String(number, radix: 8)
      return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
    }
    text(path, Self.longestPath)
    text(octal(mode, 7), 8)
    text(octal(0, 7), 8)
    text(octal(0, 7), 8)
    text(octal(min(size, Self.largestSize), 11), 12)
    text(octal(Int(modified), 11), 12)
    let sumPlace = bytes.count
    text("        ", 8)
    text(String(kind), 1)
    text("", 100)
    text("ustar", 6)
    text("00", 2)
    text("", 64)
    text(octal(0, 7), 8)
    text(octal(0, 7), 8)
    text("", 155 + 12)
    let sum = bytes.reduce(0) { $0 + Int($1) }
    bytes.replaceSubrange(sumPlace..<(sumPlace + 8), with: Array(octal(sum, 6).utf8) + [0, 0x20])
    return bytes
  }
}

/// Reads an archive that t2d wrote from front to back, and nothing else: each header must be, byte for byte, the one that
/// `TarEntry` writes.
struct TarReader {
  enum Problem: Error {
    case files(SystemCallError)
    /// In words that go on "the backup … is damaged: ".
    case damaged(String)
  }

  private let file: FileDescriptor
  private(set) var offset = 0

  init(_ file: FileDescriptor) { self.file = file }

  /// The next file; nil behind the last one. The content of the one before must have been read.
  mutating func next() throws(Problem) -> TarEntry? {
    let start = offset
    var header = try bytes(TarEntry.block)
    if header.allSatisfy({ $0 == 0 }) {
      header += try bytes(TarEntry.block)
      guard header == TarEntry.end, try read(1).isEmpty else {
        throw .damaged("its end is not where its files end, at byte \(start)")
      }
      return nil
    }
    var extra: [String: String] = [:]
    if header[156] == UInt8(ascii: "x") {
      guard let size = Self.octal(header[124..<135]), size <= 1 << 16 else {
        throw .damaged("the header at byte \(start) is none of t2d's")
      }
      let records = try bytes(size + TarEntry.padding(size))
      extra = Self.records(records[..<size])
      header += records
      header += try bytes(TarEntry.block)
    }
    let last = header.suffix(TarEntry.block)
    let own = last.startIndex
    guard let mode = Self.octal(last[(own + 100)..<(own + 107)]),
      let size = extra["size"].map({ Int($0) }) ?? Self.octal(last[(own + 124)..<(own + 135)]),
      let modified = Self.octal(last[(own + 136)..<(own + 147)])
    else { throw .damaged("the header at byte \(start) is none of t2d's") }
    let path = extra["path"] ?? String(decoding: last.prefix(100).prefix { $0 != 0 }, as: UTF8.self)
    let entry = TarEntry(path: path, size: size, mode: mode, modified: Int64(modified))
    guard size >= 0, entry.header == header else { throw .damaged("the header at byte \(start) is none of t2d's") }
    return entry
  }

  /// The content of the file that `next` has told, in pieces.
  mutating func content(of entry: TarEntry, _ body: ([UInt8]) throws(Problem) -> Void) throws(Problem) {
    var left = entry.size
    while left > 0 {
      let piece = try bytes(min(left, 1 << 18))
      try body(piece)
      left -= piece.count
    }
    guard try bytes(TarEntry.padding(entry.size)).allSatisfy({ $0 == 0 }) else {
      throw .damaged("what follows '\(escaped(entry.path))' is not empty")
    }
  }

  private mutating func bytes(_ count: Int) throws(Problem) -> [UInt8] {
    let bytes = try read(count)
    guard bytes.count == count else { throw .damaged("it ends too early, at byte \(offset)") }
    return bytes
  }

  private mutating func read(_ count: Int) throws(Problem) -> [UInt8] {
    do throws(SystemCallError) {
      let bytes = try file.bytes(at: offset, count: count)
      offset += bytes.count
      return bytes
    } catch {
      throw .files(error)
    }
  }

  private static func octal(_ digits: ArraySlice<UInt8>) -> Int? {
    Int(String(decoding: digits, as: UTF8.self), radix: 8)
  }

  private static func records(_ bytes: ArraySlice<UInt8>) -> [String: String] {
    var records: [String: String] = [:]
    for line in bytes.split(separator: 0x0a) {
      let text = String(decoding: line, as: UTF8.self)
      guard let space = text.firstIndex(of: " "), let equals = text.firstIndex(of: "="), space < equals else {
        continue
      }
      records[String(text[text.index(after: space)..<equals])] = String(text[text.index(after: equals)...])
    }
    return records
  }
}
