import ResultText

/// One value a row with its interval, on a common axis, and a line to compare them with.
package struct IntervalChart: Chart {
  package struct Row: Sendable {
    package var name: String
    package var value: Double
    package var interval: ClosedRange<Double>?
    /// Stands out: what is served.
    package var isEmphasised: Bool

    package init(_ name: String, _ value: Double, _ interval: ClosedRange<Double>? = nil, isEmphasised: Bool = false) {
      self.name = name
      self.value = value
      self.interval = interval
      self.isEmphasised = isEmphasised
    }
  }

  package var title: String
  package var xLabel: String
  package var rows: [Row]
  package var reference: (name: String, x: Double)?
  /// An interval beyond it is clipped, and an arrow says so.
  package var range: ClosedRange<Double>?

  package init(
    title: String, xLabel: String, rows: [Row], reference: (name: String, x: Double)? = nil,
    range: ClosedRange<Double>? = nil
  ) {
    self.title = title
    self.xLabel = xLabel
    self.rows = rows
    self.reference = reference
    self.range = range
  }

  private static let rowHeight = 26.0
  /// Of a name that stands above its interval.
  private static let nameHeight = 16.0

  package func draw(_ canvas: inout Canvas) {
    let rows = rows.filter(\.value.isFinite)
    var values = rows.flatMap { [$0.value, $0.interval?.lowerBound ?? $0.value, $0.interval?.upperBound ?? $0.value] }
    if let reference { values.append(reference.x) }
    // Names for which there is no room beside the intervals stand above them.
    let wanted = (rows.map { Canvas.width(of: $0.name) }.max() ?? 0) + 10
    let names = wanted > canvas.width * 0.36 ? 0 : wanted
    let height = Self.rowHeight + (names == 0 ? Self.nameHeight : 0)
    let numbers = canvas.width < 500 ? 44.0 : 150.0
    let right = canvas.width - numbers - 10
    guard !rows.isEmpty,
      let axis = Axis(
        covering: values, within: range, from: names + 10, to: right, about: canvas.width < 500 ? 3 : 6)
    else { return canvas.say("\(title): there are no values") }
    let top = reference == nil ? 6 : Canvas.line + 6
    let bottom = top + Double(rows.count) * height
    canvas.height = bottom + 2 * Canvas.line + 6

    for tick in axis.ticks {
      canvas.line(axis.place(tick), top, axis.place(tick), bottom, style: "grid")
      canvas.text(axis.label(tick), axis.place(tick), bottom + 16, .middle, style: "quiet")
    }
    canvas.text(xLabel, (names + right) / 2, bottom + 34, .middle, style: "quiet")
    if let reference, reference.x.isFinite, axis.covers(reference.x) {
      let x = axis.place(reference.x)
      canvas.line(x, top - 2, x, bottom, style: "reference")
      // The name turns to the side that has room.
      let isRight = x > (names + right) / 2
      canvas.text(reference.name, x + (isRight ? -4 : 4), top - 6, isRight ? .end : .start, style: "quiet")
    }
    for (index, row) in rows.enumerated() {
      let y = top + Double(index + 1) * height - Self.rowHeight / 2
      if names == 0 {
        // Lines that go through it keep their distance.
        canvas.text(row.name, within: canvas.width, 0, y - 11, style: row.isEmphasised ? "name strong" : "name")
      } else {
        canvas.text(row.name, within: names - 4, 0, y + 4, style: row.isEmphasised ? "strong" : "")
      }
      draw(row, at: y, axis, &canvas)
    }
  }

  private func draw(_ row: Row, at y: Double, _ axis: Axis, _ canvas: inout Canvas) {
    let mark = row.isEmphasised ? "s2" : "s1"
    let style = row.isEmphasised ? "strong" : ""
    var said = fixed(row.value, 3)
    if let interval = row.interval {
      let (low, high) = (axis.clipped(interval.lowerBound), axis.clipped(interval.upperBound))
      canvas.line(low, y, high, y, style: "whisker \(mark)")
      end(low, y, isClipped: !axis.covers(interval.lowerBound), direction: -1, mark, &canvas)
      end(high, y, isClipped: !axis.covers(interval.upperBound), direction: 1, mark, &canvas)
      said += " (\(fixed(interval.lowerBound, 3)) to \(fixed(interval.upperBound, 3)))"
    }
    canvas.circle(axis.clipped(row.value), y, radius: 4.5, style: "dot \(mark)", title: "\(row.name): \(said)")
    canvas.text(canvas.width < 500 ? fixed(row.value, 3) : said, canvas.width, y + 4, .end, style: style)
  }

  /// A bar where the interval ends, an arrow where it goes on.
  private func end(
    _ x: Double, _ y: Double, isClipped: Bool, direction: Double, _ mark: String, _ canvas: inout Canvas
  ) {
    guard isClipped else { return canvas.line(x, y - 4, x, y + 4, style: "whisker \(mark)") }
    let back = x - 7 * direction
    canvas.add(
      element(
        "polygon",
        [
          "points": "\(place(x)),\(place(y)) \(place(back)),\(place(y - 5)) \(place(back)),\(place(y + 5))",
          "class": "dot clipped \(mark)",
        ]))
  }
}
