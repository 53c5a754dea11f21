import ResultText
import SystemSupport

/// Rows under headings: aligned and fitted to the width on a terminal, tab-separated without decoration elsewhere.
struct Table {
  let headings: [(name: String, alignment: ColumnAlignment)]
  private(set) var rows: [[String]] = []
  /// Where the terminal is too narrow, columns go into further tables below the first, each beginning with this many
  /// of the first columns. Nil: the widest column gives way instead.
  private let keys: Int?

  init(_ headings: (String, ColumnAlignment)...) { self.init(headings) }

  init(_ headings: [(String, ColumnAlignment)], keys: Int? = nil) {
    self.headings = headings.map { (name: $0.0, alignment: $0.1) }
    self.keys = keys
  }

  /// The first column to the left, numbers after it.
  init(headings names: [String], keys: Int = 1) {
    self.init(names.enumerated().map { (escaped($1), $0 == 0 ? .left : .right) }, keys: keys)
  }

  mutating func add(_ row: [String]) {
    // What comes from files and other users moves no cursor and ends no line.
    rows.append(row.map { escaped($0) })
  }

  /// The lines of each table, the headings first.
  func blocks(for stream: Console.Stream) -> [[String]] {
    guard stream.isTerminal else {
      return [([headings.map { $0.name.lowercased() }] + rows).map { $0.joined(separator: "\t") }]
    }
    let available = stream.columns ?? 80
    let rows = rows.map { $0.map(readable(cell:)) }
    let widths = headings.indices.map { column in
      max(headings[column].name.count, rows.map { $0[column].count }.max() ?? 0)
    }
    return folded(widths, available).map { aligned(rows, $0, widths, available) }
  }

  /// Columns by table.
  private func folded(_ widths: [Int], _ available: Int) -> [[Int]] {
    guard let keys else { return [Array(widths.indices)] }
    var tables = [Array(0..<keys)]
    for column in keys..<widths.count {
      let last = tables[tables.count - 1] + [column]
      let isWide = last.reduce(-2) { $0 + widths[$1] + 2 } > available
      if isWide, last.count > keys + 1 {
        tables.append(Array(0..<keys) + [column])
      } else {
        tables[tables.count - 1] = last
      }
    }
    return tables
  }

  private func aligned(_ rows: [[String]], _ columns: [Int], _ natural: [Int], _ available: Int) -> [String] {
    var widths = columns.map { natural[$0] }
    // The widest column gives way until the row fits; six columns are left to each.
    while widths.reduce(0, +) + 2 * (widths.count - 1) > available {
      guard let widest = widths.indices.max(by: { widths[$0] < widths[$1] }), widths[widest] > 6 else { break }
      widths[widest] -= 1
    }
    return ([headings.map(\.name)] + rows).map { row in
      var line = ""
      for (column, width) in zip(columns, widths) {
        let cell = row[column]
        let cut = cell.count > width ? cell.prefix(width - 1) + "…" : cell[...]
        let padding = String(repeating: " ", count: width - cut.count)
        line += headings[column].alignment == .right ? padding + cut : cut + padding
        line += "  "
      }
      while line.last == " " { line.removeLast() }
      return line
    }
  }
}

/// A moment of the daemon's, 2026-01-31T12:00:00.123Z, to the minute; all else as it is.
private func readable(cell: String) -> String {
  let bytes = Array(cell.utf8)
  guard bytes.count == 24, bytes[10] == UInt8(ascii: "T"), bytes[19] == UInt8(ascii: "."),
    bytes[23] == UInt8(ascii: "Z")
  else { return cell }
  return cell.prefix(10) + " " + cell.dropFirst(11).prefix(5) + "Z"
}
