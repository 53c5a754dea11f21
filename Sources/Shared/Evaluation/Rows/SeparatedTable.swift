import StrictJSON

/// The records of a text with separators (CSV as in RFC 4180, TSV): the first names the columns, and each further one
/// becomes an object of them. Values are texts, but lists and objects in JSON, which `datasets` writes into a cell.
struct SeparatedTable {
  struct Problem: Error {
    let line: Int
    let text: String
  }

  private let bytes: [UInt8]
  private let separator: UInt8
  private var position = 0
  private var line = 1
  private var columns: [String] = []

  init(_ bytes: [UInt8], tabs: Bool) throws(Problem) {
    self.bytes = bytes
    separator = tabs ? 0x09 : Self.separator(ofHeader: bytes)
    guard let header = try record() else { throw Problem(line: 1, text: "the first line must name the columns") }
    columns = header.map { $0.trimmingBlanks() }
    if let empty = columns.firstIndex(of: "") {
      // pandas writes its index as a first column without a name.
      guard empty == 0, columns.count > 1 else { throw Problem(line: 1, text: "column \(empty + 1) has no name") }
      columns[0] = "index"
    }
    if let twice = columns.indices.first(where: { columns[..<$0].contains(columns[$0]) }) {
      throw Problem(line: 1, text: "the column '\(columns[twice].excerpt)' stands there twice")
    }
  }

  /// Spreadsheets of half of Europe write semicolons, since their comma is in the numbers.
  private static func separator(ofHeader bytes: [UInt8]) -> UInt8 {
    let header = bytes.prefix { $0 != 0x0A }
    let counts = [UInt8(ascii: ","), UInt8(ascii: ";"), 0x09].map { mark in (mark, header.count { $0 == mark }) }
    return counts.max { $0.1 < $1.1 }.flatMap { $0.1 > 0 ? $0.0 : nil } ?? UInt8(ascii: ",")
  }

  /// The next record and the line that it begins in; nil at the end.
  mutating func next() throws(Problem) -> (line: Int, JSONObject)? {
    while true {
      let start = line
      guard let values = try record() else { return nil }
      if values == [""] { continue }  // a blank line
      guard values.count == columns.count else {
        throw Problem(
          line: start,
          text: "the record has \(values.count) values, the header names \(columns.count) columns; is a value with a "
            + "separator or a line break in it not in double quotes?")
      }
      var object = JSONObject()
      for (column, value) in zip(columns, values) { object[column] = Self.value(value) }
      return (start, object)
    }
  }

  private static func value(_ text: String) -> JSONValue {
    if text.hasPrefix("[") || text.hasPrefix("{"), let value = try? parseJSON(text, limits: RowFile.limits) {
      return value
    }
    return .string(text)
  }

  private mutating func record() throws(Problem) -> [String]? {
    guard position < bytes.count else { return nil }
    var values: [String] = []
    while true {
      values.append(try value())
      guard position < bytes.count else { return values }
      let byte = bytes[position]
      position += 1
      if byte == separator { continue }
      if byte == 0x0D, position < bytes.count, bytes[position] == 0x0A { position += 1 }
      line += 1
      return values
    }
  }

  /// Up to the separator or the end of the line, which stays.
  private mutating func value() throws(Problem) -> String {
    var value: [UInt8] = []
    let start = line
    if position < bytes.count, bytes[position] == UInt8(ascii: "\"") {
      position += 1
      while true {
        guard position < bytes.count else { throw Problem(line: start, text: "a value in double quotes has no end") }
        let byte = bytes[position]
        position += 1
        if byte == UInt8(ascii: "\"") {
          guard position < bytes.count, bytes[position] == byte else { break }
          position += 1
        }
        if byte == 0x0A { line += 1 }
        value.append(byte)
      }
      guard position == bytes.count || isEnd(bytes[position]) else {
        throw Problem(
          line: line, text: "a value goes on behind its closing double quote; a quote within one is doubled")
      }
    } else {
      while position < bytes.count, !isEnd(bytes[position]) {
        value.append(bytes[position])
        position += 1
      }
    }
    guard let text = String(validating: value, as: UTF8.self) else {
      throw Problem(line: start, text: "a value is not UTF-8" + RowFile.encodingAdvice)
    }
    return text
  }

  private func isEnd(_ byte: UInt8) -> Bool { byte == separator || byte == 0x0A || byte == 0x0D }
}
