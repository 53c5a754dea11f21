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
    for (row, line) in counts.enumerated() {
      let y = top + Double(row) * Self.cellHeight
      let total = line.reduce(0, +)
      canvas.text("\(labels[row]) (\(total))", within: names - 6, 0, y + Self.cellHeight / 2 + 4)
      for (column, count) in line.enumerated() {
        let x = names + Double(column) * cell
        let share = Double(count) / Double(max(1, total))
        canvas.rectangle(
          x, y, cell, Self.cellHeight, style: row == column ? "cell above right" : "cell below", strength: share,
          title: "\(labels[row]) called \(labels[column]): \(count) of \(total)")
        let style = Canvas.ink(on: share)
        canvas.text("\(count)", x + cell / 2, y + 17, .middle, style: style)
        if cell >= 40, total > 0 {
          canvas.text("\(fixed(share * 100, 0)) %", x + cell / 2, y + 31, .middle, style: style + " small")
        }
      }
    }
    canvas.height = top + Double(labels.count) * Self.cellHeight + 6
  }
}
