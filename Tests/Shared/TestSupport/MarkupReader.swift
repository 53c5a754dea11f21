/// Reads what we write of XML and HTML: elements closed in order, attributes in quotes, no stray `<` or `&`.
package struct MarkupReader {
  /// The elements with their attributes as written, in order.
  package private(set) var elements: [(name: String, attributes: String)] = []
  /// The text between the elements.
  package private(set) var text = ""
  /// What each `<text>` of a picture shows, without its title.
  package private(set) var labels: [String] = []
  /// Nil where all is well.
  package private(set) var problem: String?

  package init(_ markup: String) { problem = read(markup) }

  private mutating func read(_ markup: String) -> String? {
    var open: [String] = []
    var rest = markup[...]
    while let next = rest.firstIndex(where: { $0 == "<" || $0 == ">" }) {
      guard rest[next] == "<" else { return "a '>' after \(rest[..<next].suffix(40))" }
      text += rest[..<next]
      if open.last == "text", next > rest.startIndex { labels.append(String(rest[..<next])) }
      guard let end = rest[next...].firstIndex(of: ">") else { return "an element without its end" }
      let inner = rest[rest.index(after: next)..<end]
      rest = rest[rest.index(after: end)...]
      if inner.hasPrefix("?") || inner.lowercased().hasPrefix("!doctype") { continue }
      if inner.hasPrefix("/") {
        let name = String(inner.dropFirst())
        guard open.popLast() == name else { return "</\(name)> closes nothing" }
        continue
      }
      let name = String(inner.prefix { $0 != " " && $0 != "/" })
      let attributes = inner.dropFirst(name.count).drop { $0 == " " }
      guard attributes.count(where: { $0 == "\"" }) % 2 == 0, !name.isEmpty else { return "<\(inner)>" }
      elements.append((name, String(attributes)))
      if !inner.hasSuffix("/") { open.append(name) }
    }
    text += rest
    if let left = open.last { return "<\(left)> is not closed" }
    let bare = markup.firstRange(of: /&(?!amp;|lt;|gt;|quot;|#39;)/)
    return bare.map { "a bare '&' at \(markup[$0.lowerBound...].prefix(20))" }
  }

  package func count(_ name: String, _ attribute: String = "") -> Int {
    elements.count { $0.name == name && $0.attributes.contains(attribute) }
  }

  /// The numbers of an attribute over all elements that have a class.
  package func numbers(_ attribute: String, of name: String, _ style: String) -> [Double] {
    elements.filter { $0.name == name && $0.attributes.contains("class=\"\(style)") }.compactMap { element in
      let parts = element.attributes.split(separator: "\"")
      return zip(parts, parts.dropFirst()).first { $0.0.hasSuffix(" \(attribute)=") || $0.0 == "\(attribute)=" }.flatMap
      {
        Double($0.1)
      }
    }
  }
}
