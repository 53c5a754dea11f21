import Report
import TestSupport
import Testing

@Suite struct ChartTests {
  private static let line = LineChart(
    title: "convergence", xLabel: "generation", yLabel: "score",
    series: [.init("best", [.init(x: 0, y: 0.5), .init(x: 1, y: 0.7), .init(x: 2, y: 0.8)])],
    references: [("base", 0.45)])

  @Test func everyChartIsWellFormedAtEveryWidth() {
    let charts: [any Chart] = [
      Self.line,
      IntervalChart(
        title: "scores", xLabel: "acc",
        rows: [.init("base", 0.5, 0.4...0.6), .init("mixture", 0.6, isEmphasised: true)],
        reference: ("base", 0.5)),
      HeatMap(
        title: "alpha", rows: ["a", "b"], columns: ["0", "1"], columnLabel: "layer", values: [[0, 1], [-1, nil]]),
      ConfusionChart(title: "sorted", labels: ["math", "other"], counts: [[3, 1], [0, 0]]),
      BarChart(title: "alpha", bars: [("a", 0.5), ("b", -0.25)]),
    ]
    for chart in charts {
      for width in [320.0, 720] {
        let drawn = MarkupReader(chart.svg(width: width))
        #expect(drawn.problem == nil, "\(chart.title): \(drawn.problem ?? "")")
        #expect(drawn.elements.first?.attributes.contains("viewBox=\"0 0 \(Int(width)) ") == true)
      }
    }
  }

  @Test func aLineRisesWhereItsValuesDo() {
    let drawn = MarkupReader(Self.line.svg(width: 600))
    let places = drawn.numbers("cy", of: "circle", "dot s1")
    #expect(places.count == 3 && places == places.sorted(by: >), "\(places)")
    #expect(drawn.count("line", "class=\"reference\"") == 2, "in the legend and across the plot")
  }

  @Test func aPointCarriesItsIntervalAndTheTicksAreThoseThatWereGiven() {
    let chart = LineChart(
      title: "shots", xLabel: "shots", yLabel: "acc",
      series: [
        .init("mixture", [.init(x: 3, y: 0.4, interval: 0.3...0.5), .init(x: 20, y: 0.6, interval: 0.5...0.7)])
      ],
      xTicks: [3, 20])
    let drawn = MarkupReader(chart.svg(width: 600))
    #expect(drawn.count("line", "class=\"whisker") == 2)
    #expect(drawn.text.contains("mixture: 0.4000 at shots 3, 0.3000 to 0.5000"))
    #expect(drawn.labels.contains("3") && drawn.labels.contains("20"))
    #expect(!drawn.labels.contains("10") && !drawn.labels.contains("5"), "\(drawn.labels)")
  }

  @Test func anIntervalBeyondTheAxisIsClippedAndAnArrowSaysSo() {
    let chart = IntervalChart(
      title: "scores", xLabel: "acc", rows: [.init("few", 0.5, -0.4...0.7), .init("many", 0.5, 0.45...0.55)],
      range: 0...1)
    let drawn = MarkupReader(chart.svg(width: 700))
    #expect(drawn.count("polygon", "clipped") == 1)
    let starts = drawn.numbers("x1", of: "line", "whisker")
    let ends = drawn.numbers("x2", of: "line", "whisker")
    let grid = drawn.numbers("x1", of: "line", "grid")
    #expect((starts + ends).min() == grid.min(), "the bar ends where the axis does")
    #expect(drawn.text.contains("-0.400 to 0.700"), "what it is in full is said")
    let free = MarkupReader(
      IntervalChart(title: "scores", xLabel: "acc", rows: chart.rows).svg(width: 700))
    #expect(free.count("polygon") == 0)
  }

  @Test func namesWithoutRoomBesideTheIntervalsStandAboveThem() {
    let name = "science@1 on sibling"
    let chart = IntervalChart(title: "effect", xLabel: "effect", rows: [.init(name, 0.1, 0...0.2)])
    for (width, isAbove) in [(340.0, true), (720, false)] {
      let drawn = MarkupReader(chart.svg(width: width))
      #expect(drawn.text.contains(name), "it is not cut")
      #expect(drawn.count("text", "class=\"name\"") == (isAbove ? 1 : 0))
    }
  }

  @Test func aValueThatIsNoNumberIsLeftOut() {
    let chart = LineChart(
      title: "t", xLabel: "x", yLabel: "y",
      series: [.init("a", [.init(x: 0, y: .nan), .init(x: 1, y: -.infinity), .init(x: 2, y: 1), .init(x: 3, y: 2)])])
    let drawn = chart.svg(width: 600)
    #expect(MarkupReader(drawn).numbers("cx", of: "circle", "dot").count == 2)
    #expect(!drawn.contains("nan") && !drawn.contains("inf"))
  }

  @Test func nothingToDrawIsSaid() {
    let charts: [any Chart] = [
      LineChart(title: "convergence", xLabel: "x", yLabel: "y", series: [.init("best", [])]),
      LineChart(title: "convergence", xLabel: "x", yLabel: "y", series: []),
      IntervalChart(title: "convergence", xLabel: "x", rows: [.init("a", .nan)]),
      HeatMap(title: "convergence", rows: [], columns: [], columnLabel: "", values: []),
      ConfusionChart(title: "convergence", labels: ["a"], counts: [[0]]),
      BarChart(title: "convergence", bars: []),
    ]
    for chart in charts {
      let drawn = MarkupReader(chart.svg(width: 400))
      #expect(drawn.text.contains("convergence: ") && drawn.count("line") == 0, "\(drawn.text)")
    }
  }

  @Test func aFlatLineStandsInTheMiddle() {
    let chart = LineChart(
      title: "t", xLabel: "x", yLabel: "y", series: [.init("a", [.init(x: 0, y: 0.5), .init(x: 1, y: 0.5)])])
    let drawn = MarkupReader(chart.svg(width: 600))
    let grid = drawn.numbers("y1", of: "line", "grid")
    let place = drawn.numbers("cy", of: "circle", "dot").first ?? 0
    #expect(place > (grid.min() ?? 0) && place < (grid.max() ?? 0))
  }

  @Test func whatIsCountedHasNoTicksBetween() {
    var chart = LineChart(
      title: "t", xLabel: "generation", yLabel: "y",
      series: [.init("a", (1...3).map { .init(x: Double($0), y: 100 * Double($0)) })])
    #expect(MarkupReader(chart.svg(width: 600)).labels.contains("1.5"))
    chart.isCounted = true
    let labels = MarkupReader(chart.svg(width: 600)).labels
    #expect(labels.contains("1") && labels.contains("3") && !labels.contains { $0.contains(".") }, "\(labels)")
  }

  @Test func strengthFollowsSizeAndTheColourTheSign() {
    let map = HeatMap(
      title: "alpha", rows: ["a"], columns: ["0", "1", "2"], columnLabel: "layer", values: [[0.5, -1, 0]])
    let cells = MarkupReader(map.svg(width: 600)).elements.filter { $0.attributes.contains("class=\"cell") }.prefix(3)
    #expect(cells.map { $0.attributes.contains("class=\"cell below\"") } == [false, true, false])
    #expect(
      zip(cells, ["0.50", "1.00", "0.00"]).allSatisfy { $0.attributes.contains("fill-opacity=\"\($1)\"") })
  }

  @Test func whatIsRightStandsOnTheDiagonal() {
    let drawn = MarkupReader(
      ConfusionChart(title: "sorted", labels: ["math", "code", "other"], counts: [[8, 1, 1], [0, 5, 5], [0, 0, 0]])
        .svg(width: 600))
    #expect(drawn.count("rect", "class=\"cell above right\"") == 3 && drawn.count("rect", "class=\"cell below\"") == 6)
    #expect(drawn.text.contains("math (10)") && drawn.text.contains("math called other: 1 of 10"))
    #expect(drawn.text.contains("80 %") && !drawn.text.contains("nan"))
  }

  @Test func barsGoToEitherSideOfZero() {
    let drawn = MarkupReader(BarChart(title: "alpha", bars: [("a", 0.5), ("b", -0.25)]).svg(width: 600))
    let zero = drawn.numbers("x1", of: "line", "zero")[0]
    #expect(drawn.numbers("x", of: "rect", "bar above") == [zero])
    let left = drawn.numbers("x", of: "rect", "bar below")[0]
    #expect(abs(left + drawn.numbers("width", of: "rect", "bar below")[0] - zero) < 0.11)
    let half = MarkupReader(BarChart(title: "alpha", bars: [("a", 0.5)], full: 1).svg(width: 600))
    let whole = MarkupReader(BarChart(title: "alpha", bars: [("a", 0.5)]).svg(width: 600))
    let widths = [half, whole].map { $0.numbers("width", of: "rect", "bar above")[0] }
    #expect(abs(2 * widths[0] - widths[1]) < 0.2)
  }

  @Test func namesAreEscapedAndCutButKeptInFull() {
    let name = "<script>alert('x')</script> & \"friends\" \u{202e}\u{1b}[31m of a very long expert"
    let drawn = IntervalChart(title: name, xLabel: name, rows: [.init(name, 0.5)]).svg(width: 320)
    #expect(!drawn.contains("<script") && !drawn.contains("\u{202e}") && !drawn.contains("\u{1b}"))
    #expect(MarkupReader(drawn).problem == nil)
    #expect(
      drawn.contains(
        "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;friends&quot; \\u{202e}\\u{1b}[31m of"))
    #expect(drawn.contains("…"))
  }

  @Test func aFileOfItsOwnHasItsStyleItsMarginAndNoScript() {
    let file = Self.line.standalone()
    #expect(file.contains("viewBox=\"-12 -12 720 ") && file.contains("width=\"720\""))
    #expect(file.hasPrefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg "))
    #expect(MarkupReader(file).problem == nil)
    #expect(file.contains("xmlns=\"http://www.w3.org/2000/svg\"") && file.contains("prefers-color-scheme:dark"))
    #expect(!file.contains("<script") && !file.contains("href=") && !file.contains("url("))
  }

  @Test(arguments: [(0.0, 1.0), (0.43, 0.61), (-2.5, 7), (-0.0004, 0.0003), (0, 2345)])
  func ticksAreRoundAndCoverTheValues(_ low: Double, _ high: Double) throws {
    let axis = try #require(Axis(covering: [high, low], from: 0, to: 100))
    #expect(axis.covers(low) && axis.covers(high))
    #expect((3...9).contains(axis.ticks.count), "\(axis.ticks)")
    #expect(Set(axis.ticks.map(axis.label)).count == axis.ticks.count, "\(axis.ticks.map(axis.label))")
    #expect(axis.place(axis.low) == 0 && axis.place(axis.high) == 100)
  }
}
