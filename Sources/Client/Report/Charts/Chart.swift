import ResultText

/// A picture of numbers: values in, SVG out. It has no colours of its own, only classes, which ``chartStyle`` dresses
/// for light, dark and paper; and no script: what a place means in full stands in its `<title>`.
///
/// A chart is drawn for a width in pixels, so that its letters keep their size: a page holds it once for wide windows
/// and once for narrow ones.
package protocol Chart {
  /// What it shows, for those who do not see it.
  var title: String { get }
  func draw(_ canvas: inout Canvas)
}

extension Chart {
  /// For a page that has ``chartStyle``.
  package func svg(width: Double) -> String {
    svg(width: width, ["class": "chart"])
  }

  /// A file of its own.
  package func standalone(width: Double = 720) -> String {
    let drawn = svg(
      width: width, ["xmlns": "http://www.w3.org/2000/svg", "class": "chart"], margin: 12,
      style: element("style", [:], chartStyle + ".chart{background:var(--surface)}"))
    return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\(drawn)\n"
  }

  /// The margin of a file of its own is within its width; on a page the page has it.
  private func svg(
    width: Double, _ attributes: KeyValuePairs<String, String>, margin: Double = 0, style: String = ""
  ) -> String {
    var canvas = Canvas(width: width - 2 * margin)
    draw(&canvas)
    let height = canvas.height + 2 * margin
    let corner = margin == 0 ? "0 0" : "\(place(-margin)) \(place(-margin))"
    let size = "viewBox=\"\(corner) \(place(width)) \(place(height))\" width=\"\(place(width))\""
    let rest = attributes.map { "\($0)=\"\($1)\"" }.joined(separator: " ")
    return "<svg \(size) height=\"\(place(height))\" \(rest) role=\"img\">"
      + element("title", [:], markup(title)) + style + canvas.content + "</svg>"
  }
}

/// What a chart draws on.
package struct Canvas {
  package let width: Double
  /// Grows with what is drawn.
  package internal(set) var height = 0.0
  private(set) var content = ""

  static let letters = 12.0
  /// Room that a line of text takes.
  static let line = 18.0

  init(width: Double) { self.width = width }

  enum Anchor: String { case start, middle, end }

  mutating func add(_ markup: String) { content += markup }

  mutating func text(
    _ text: String, _ x: Double, _ y: Double, _ anchor: Anchor = .start, style: String = "", full: String? = nil
  ) {
    let title = full.map { element("title", [:], markup($0)) } ?? ""
    add(
      element(
        "text", ["x": place(x), "y": place(y), "text-anchor": anchor.rawValue, "class": style],
        markup(text) + title))
  }

  /// Text that gives way to the room there is; in full it stands in its title.
  mutating func text(
    _ text: String, within room: Double, _ x: Double, _ y: Double, _ anchor: Anchor = .start, style: String = ""
  ) {
    let shown = Self.fit(text, room)
    self.text(shown, x, y, anchor, style: style, full: shown == text ? nil : text)
  }

  mutating func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, style: String) {
    add(element("line", ["x1": place(x1), "y1": place(y1), "x2": place(x2), "y2": place(y2), "class": style]))
  }

  mutating func circle(_ x: Double, _ y: Double, radius: Double, style: String, title: String) {
    add(
      element(
        "circle", ["cx": place(x), "cy": place(y), "r": place(radius), "class": style],
        element("title", [:], markup(title))))
  }

  /// A cell or bar; `strength`, 0 to 1, is how much of its colour it has.
  mutating func rectangle(
    _ x: Double, _ y: Double, _ width: Double, _ height: Double, style: String, strength: Double = 1, title: String
  ) {
    add(
      element(
        "rect",
        [
          "x": place(x), "y": place(y), "width": place(max(0, width)), "height": place(height), "class": style,
          "fill-opacity": fixed(strength, 2),
        ], element("title", [:], markup(title))))
  }

  /// The names of what is drawn, each with its mark, in as many lines as they need. Returns the height below them.
  mutating func legend(_ entries: [(name: String, mark: String)], left: Double, top: Double) -> Double {
    var (x, y) = (left, top)
    for (name, mark) in entries {
      let wide = 24 + Self.width(of: name)
      if x > left, x + wide > width {
        (x, y) = (left, y + Self.line)
      }
      line(x, y + 8, x + 16, y + 8, style: mark)
      text(name, within: width - x - 22, x + 22, y + 12)
      x += wide + 16
    }
    return y + Self.line
  }

  /// Which colour text has on a cell of such strength: a strong one carries the surface's, one in between is dark on light
  /// pages and on dark ones.
  static func ink(on strength: Double) -> String { strength < 0.6 ? "over" : strength < 0.9 ? "between" : "on" }

  /// What is said where there is nothing to draw.
  mutating func say(_ text: String) {
    height = Self.line * 2
    self.text(text, within: width, 0, Self.line, style: "quiet")
  }

  /// The width of a text in letters of the stylesheet's size, by a guess that is rather too wide: there is no font here.
  static func width(of text: String) -> Double { Double(text.count) * letters * 0.56 }

  static func fit(_ text: String, _ room: Double) -> String {
    let count = max(2, Int(room / (letters * 0.56)))
    return text.count > count ? text.prefix(count - 1) + "…" : text
  }
}
