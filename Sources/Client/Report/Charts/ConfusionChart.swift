import ResultText

/// How often each true label was given each label: rows are what is true, columns what was given, colour the share of
/// the row. (arXiv:2501.06252, figure 6)
package struct ConfusionChart: Chart {
  package var title: String
  package var labels: [String]
  /// [true][given]
  package var counts: [[Int]]

  package init(title: String, labels: [String], counts: [[Int]]) {
    precondition(
      counts.count == labels.count && counts.allSatisfy { $0.count == labels.count },
      "\(counts.map(\.count)) counts for \(labels.count) labels")
    self.title = title
    self.labels = labels
    self.counts = counts
  }

  private static let cellHeight = 38.0

  package func draw(_ canvas: inout Canvas) {
    guard counts.contains(where: { $0.contains { $0 > 0 } }) else {
      return canvas.say("\(title): no prompt was sorted")
    }
    let names = min(canvas.width * 0.34, (labels.map { Canvas.width(of: $0 + " (000)") }.max() ?? 0) + 8)
    let cell = min(90, (canvas.width - names) / Double(labels.count))
    canvas.text("given", names, 13, style: "quiet")
    canvas.text("true", 0, 31, style: "quiet")
    for (column, label) in labels.enumerated() {
      canvas.text(label, within: cell - 4, names + (Double(column) + 0.5) * cell, 31, .middle)
    }
    let top = 40.0
    // The diagonal last, so that its frames lie above their neighbours.
    for isDiagonal in [false, true] {
      for row in labels.indices {
        for column in labels.indices where (row == column) == isDiagonal {
          drawCell(row, column, x: names + Double(column) * cell, top + Double(row) * Self.cellHeight, cell, &canvas)
        }
      }
    }
    for (row, label) in labels.enumerated() {
      let y = top + (Double(row) + 0.5) * Self.cellHeight + 4
      canvas.text("\(label) (\(counts[row].reduce(0, +)))", within: names - 6, 0, y)
    }
    canvas.height = top + Double(labels.count) * Self.cellHeight + 6
  }

  private func drawCell(_ row: Int, _ column: Int, x: Double, _ y: Double, _ width: Double, _ canvas: inout Canvas) {
    let count = counts[row][column]
    let total = counts[row].reduce(0, +)
    let share = Double(count) / Double(max(1, total))
    canvas.rectangle(
      x, y, width, Self.cellHeight, style: row == column ? "cell above right" : "cell below", strength: share,
      title: "\(labels[row]) called \(labels[column]): \(count) of \(total)")
    let style = Canvas.ink(on: share)
    canvas.text("\(count)", x + width / 2, y + 17, .middle, style: style)
    if width >= 40, total > 0 {
      canvas.text("\(fixed(share * 100, 0)) %", x + width / 2, y + 31, .middle, style: style + " small")
    }
  }
}
