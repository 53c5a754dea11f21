import ResultText

/// One bar a row, from zero to either side.
package struct BarChart: Chart {
  package var title: String
  package var bars: [(name: String, value: Double)]
  package var decimals: Int
  /// There is room for a bar of so much, however short those are that there are.
  package var full: Double

  package init(title: String, bars: [(name: String, value: Double)], decimals: Int = 3, full: Double = 0) {
    self.title = title
    self.bars = bars
    self.decimals = decimals
    self.full = full
  }

  private static let rowHeight = 24.0

  package func draw(_ canvas: inout Canvas) {
    let bars = bars.filter(\.value.isFinite)
    let names = min(canvas.width * 0.36, (bars.map { Canvas.width(of: $0.name) }.max() ?? 0) + 10)
    let numbers = (bars.map { Canvas.width(of: fixed($0.value, decimals)) }.max() ?? 0) + 10
    guard !bars.isEmpty,
      let axis = Axis(covering: bars.map(\.value) + [0, full], from: names, to: canvas.width - numbers)
    else { return canvas.say("\(title): there are no values") }
    let zero = axis.place(0)
    for (index, bar) in bars.enumerated() {
      let y = Double(index) * Self.rowHeight + 2
      let end = axis.place(bar.value)
      let said = fixed(bar.value, decimals)
      canvas.text(bar.name, within: names - 6, 0, y + 15)
      canvas.rectangle(
        min(zero, end), y + 3, abs(end - zero), Self.rowHeight - 8, style: bar.value < 0 ? "bar below" : "bar above",
        title: "\(bar.name): \(said)")
      canvas.text(said, max(zero, end) + 6, y + 15)
    }
    canvas.height = Double(bars.count) * Self.rowHeight + 4
    canvas.line(zero, 0, zero, canvas.height, style: "zero")
  }
}
