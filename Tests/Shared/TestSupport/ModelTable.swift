/// The table of `etc/results/models.md`: which families load, and by which arguments of which test it is shown.
package struct ModelTable {
  package struct Failure: Error, CustomStringConvertible {
    package var description: String
  }

  /// The names of its columns, without the first.
  package let columns: [String]
  /// A family with its cells as they are written; `as score` is that cell again.
  package let rows: [(family: String, cells: [String])]
  /// All of the page.
  package let text: String

  package init() throws {
    text = try ManualPage.text("etc/results/models.md")
    let lines = text.split(separator: "\n").filter { $0.hasPrefix("| ") }.map { line in
      line.dropFirst(2).split(separator: "|").map { String($0.trimmed) }
    }
    guard let heading = lines.firstIndex(where: { $0.first == "family" }) else {
      throw Failure(description: "etc/results/models.md has no table of families")
    }
    let columns = Array(lines[heading].dropFirst())
    self.columns = columns
    rows = lines[(heading + 2)...].map { line in
      let cells = Array(line.dropFirst())
      return (line[0], cells.map { cell in columns.firstIndex { "as \($0)" == cell }.map { cells[$0] } ?? cell })
    }
  }

  /// What all cells of a column name.
  package func arguments(of column: String) throws -> Set<String> {
    guard let place = columns.firstIndex(of: column) else {
      throw Failure(description: "etc/results/models.md has no column '\(column)'")
    }
    return Set(rows.flatMap { Self.quoted($0.cells[place]) })
  }

  /// What stands in backticks.
  package static func quoted(_ text: String) -> [String] {
    text.split(separator: "`", omittingEmptySubsequences: false).enumerated().filter { $0.offset % 2 == 1 }
      .map { String($0.element) }
  }
}

extension Substring {
  fileprivate var trimmed: Substring {
    var rest = drop { $0 == " " }
    while rest.last == " " { rest.removeLast() }
    return rest
  }
}
