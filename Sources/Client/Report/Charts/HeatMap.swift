import ResultText

/// Numbers in rows and columns as strength of colour: one colour above zero, another below it, none at zero.
package struct HeatMap: Chart {
  package var title: String
  package var rows: [String]
  package var columns: [String]
  package var columnLabel: String
  /// [row][column]; nil is left out.
  package var values: [[Double?]]
  /// What has the full colour. By default the largest size of a value.
  package var full: Double?

  package init(
    title: String, rows: [String], columns: [String], columnLabel: String, values: [[Double?]], full: Double? = nil
  ) {
    precondition(
      values.count == rows.count && values.allSatisfy { $0.count == columns.count },
      "\(values.map(\.count)) values for \(rows.count) rows and \(columns.count) columns")
    self.title = title
    self.rows = rows
    self.columns = columns
    self.columnLabel = columnLabel
    self.values = values
    self.full = full
  }

  private static let cellHeight = 24.0

  package func draw(_ canvas: inout Canvas) {
    let finite = values.flatMap { $0.compactMap(\.self) }.filter(\.isFinite)
    guard !finite.isEmpty else { return canvas.say("\(title): there are no values") }
    let full = full ?? max(finite.map(abs).max() ?? 0, 1e-9)
    let names = min(canvas.width * 0.34, (rows.map { Canvas.width(of: $0) }.max() ?? 0) + 8)
    let cell = min(64, (canvas.width - names) / Double(columns.count))
    let top = 4.0
    for (row, line) in values.enumerated() {
      let y = top + Double(row) * Self.cellHeight
      canvas.text(rows[row], within: names - 6, 0, y + Self.cellHeight / 2 + 4)
      for (column, value) in line.enumerated() {
        draw(
          value, "\(rows[row]), \(columns[column])", x: names + Double(column) * cell, y, width: cell, full: full,
          &canvas)
      }
    }
    let bottom = top + Double(rows.count) * Self.cellHeight
    // As many names of columns as have room.
    let widest = (columns.map { Canvas.width(of: $0) }.max() ?? 0) + 8
    let every = max(1, Int((widest / cell).rounded(.up)))
    for column in stride(from: 0, to: columns.count, by: every) {
      canvas.text(
        columns[column], within: cell * Double(every), names + (Double(column) + 0.5) * cell, bottom + 16, .middle,
        style: "quiet")
    }
    canvas.text(columnLabel, names, bottom + 34, style: "quiet")
    canvas.height = legend(full, hasNegative: finite.contains { $0 < 0 }, left: names, top: bottom + 46, &canvas)
  }

  private func draw(
    _ value: Double?, _ name: String, x: Double, _ y: Double, width: Double, full: Double, _ canvas: inout Canvas
  ) {
    guard let value, value.isFinite else { return }
    let strength = min(1, abs(value) / full)
    canvas.rectangle(
      x, y, width, Self.cellHeight, style: value < 0 ? "cell below" : "cell above", strength: strength,
      title: "\(name): \(fixed(value, 4))")
    if width >= 36 {
      canvas.text(
        fixed(value, 2), x + width / 2, y + Self.cellHeight / 2 + 4, .middle, style: Canvas.ink(on: strength))
    }
  }

  /// A strip from the least to the most, with its numbers. Returns where it ends.
  private func legend(
    _ full: Double, hasNegative: Bool, left: Double, top: Double, _ canvas: inout Canvas
  ) -> Double {
    let steps = hasNegative ? stride(from: -1.0, through: 1, by: 0.25) : stride(from: 0.0, through: 1, by: 0.125)
    let width = min(22, (canvas.width - left - 10) / 9)
    for (index, step) in steps.enumerated() {
      canvas.rectangle(
        left + Double(index) * width, top, width, 12, style: step < 0 ? "cell below" : "cell above",
        strength: abs(step), title: fixed(step * full, 3))
    }
    let end = left + 9 * width
    canvas.text(fixed(hasNegative ? -full : 0, 2), left, top + 28, style: "quiet")
    if hasNegative { canvas.text("0", (left + end) / 2, top + 28, .middle, style: "quiet") }
    canvas.text(fixed(full, 2), end, top + 28, .end, style: "quiet")
    return top + 36
  }
}
