import ResultText

/// Values over a number: how a search converges, what more shots bring. Points may carry an interval.
package struct LineChart: Chart {
  package struct Point: Sendable {
    package var x: Double
    package var y: Double
    package var interval: ClosedRange<Double>?

    package init(x: Double, y: Double, interval: ClosedRange<Double>? = nil) {
      self.x = x
      self.y = y
      self.interval = interval
    }
  }

  package struct Series: Sendable {
    package var name: String
    package var points: [Point]

    package init(_ name: String, _ points: [Point]) {
      self.name = name
      self.points = points
    }
  }

  package var title: String
  package var xLabel: String
  package var yLabel: String
  package var series: [Series]
  /// Dashed lines across: the base, the best expert.
  package var references: [(name: String, y: Double)]
  /// What is beyond it is clipped.
  package var yRange: ClosedRange<Double>?
  /// Where the values of x are few and each is meant: 3, 5, 10, 20.
  package var xTicks: [Double]?
  /// Whether x is counted, so that nothing lies between two of its numbers.
  package var isCounted: Bool

  package init(
    title: String, xLabel: String, yLabel: String, series: [Series],
    references: [(name: String, y: Double)] = [], yRange: ClosedRange<Double>? = nil, xTicks: [Double]? = nil,
    isCounted: Bool = false
  ) {
    self.title = title
    self.xLabel = xLabel
    self.yLabel = yLabel
    self.series = series
    self.references = references
    self.yRange = yRange
    self.xTicks = xTicks
    self.isCounted = isCounted
  }

  package func draw(_ canvas: inout Canvas) {
    let points = series.flatMap(\.points).filter { $0.x.isFinite }
    let values =
      points.flatMap { [$0.y, $0.interval?.lowerBound ?? $0.y, $0.interval?.upperBound ?? $0.y] }
      + references.map(\.y)
    guard series.contains(where: { $0.points.contains { $0.x.isFinite && $0.y.isFinite } }) else {
      return canvas.say("\(title): there are no values")
    }
    // One line alone is what the axis says.
    let top = (names.count > 1 ? canvas.legend(names, left: 0, top: 0) : 0) + 28
    let bottom = top + (canvas.width < 500 ? 170 : 220)
    guard let y = Axis(covering: values, within: yRange, from: bottom, to: top, about: 4) else { return }
    let left = 8 + (y.ticks.map { Canvas.width(of: y.label($0)) }.max() ?? 0)
    guard
      let x = Axis(
        covering: points.map(\.x), from: left + 8, to: canvas.width - 14, about: canvas.width < 500 ? 4 : 8, at: xTicks,
        whole: isCounted)
    else { return }
    canvas.height = bottom + 2 * Canvas.line + 6

    canvas.text(yLabel, within: canvas.width, 0, top - 14, style: "quiet")
    for tick in y.ticks {
      canvas.line(left, y.place(tick), canvas.width, y.place(tick), style: "grid")
      canvas.text(y.label(tick), left - 6, y.place(tick) + 4, .end, style: "quiet")
    }
    for tick in x.ticks {
      // Nothing is cut off at the right edge.
      let half = Canvas.width(of: x.label(tick)) / 2
      canvas.text(
        x.label(tick), min(x.place(tick), canvas.width - half), bottom + 16, .middle, style: "quiet")
    }
    canvas.text(xLabel, (left + canvas.width) / 2, bottom + 34, .middle, style: "quiet")

    for reference in references where reference.y.isFinite && y.covers(reference.y) {
      canvas.line(left, y.place(reference.y), canvas.width, y.place(reference.y), style: "reference")
    }
    for (index, one) in series.enumerated() { draw(one, Self.color(index), x, y, &canvas) }
  }

  /// What the legend shows.
  private var names: [(name: String, mark: String)] {
    series.enumerated().map { (name: $1.name, mark: "line \(Self.color($0))") }
      + references.map { ($0.name, "reference") }
  }

  /// Colours come again after the sixth; the dashes differ then.
  private static func color(_ index: Int) -> String { "s\(index % 6 + 1)" + (index >= 6 ? " again" : "") }

  private func draw(_ series: Series, _ color: String, _ x: Axis, _ y: Axis, _ canvas: inout Canvas) {
    let points = series.points.filter { $0.x.isFinite && $0.y.isFinite }
    let corners = points.map { "\(place(x.place($0.x))),\(place(y.clipped($0.y)))" }.joined(separator: " ")
    canvas.add(element("polyline", ["points": corners, "class": "line \(color)"]))
    for point in points {
      let (px, py) = (x.place(point.x), y.clipped(point.y))
      var title = "\(series.name): \(short(point.y)) at \(xLabel) \(short(point.x))"
      if let interval = point.interval {
        canvas.line(px, y.clipped(interval.lowerBound), px, y.clipped(interval.upperBound), style: "whisker \(color)")
        title += ", \(short(interval.lowerBound)) to \(short(interval.upperBound))"
      }
      // Where there are many, the line itself is enough to see, and a mark still answers to the pointer.
      let radius = points.count > 40 && point.interval == nil ? 1.5 : 3
      canvas.circle(px, py, radius: radius, style: "dot \(color)", title: title)
    }
  }
}

/// A value as a title says it.
func short(_ value: Double) -> String {
  value == value.rounded() && abs(value) < 1e15 ? fixed(value, 0) : fixed(value, 4)
}
