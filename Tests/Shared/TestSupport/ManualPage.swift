package import Records
import Search
import Settings
import SystemSupport
import Testing

/// A page of the manual. Its prose is written by hand; its lists of members are compared with what the sources declare,
/// and written anew where they differ and
///
///     T2D_RECORD=1 swift test --filter ManualTests
///
/// runs.
package struct ManualPage {
  package static let records = environmentVariable("T2D_RECORD") != nil

  package let name: String
  package var lines: [String]

  package init(_ name: String) throws {
    self.name = name
    lines = try Self.text("man/\(name)").split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(
      String.init)
  }

  /// A file of the repository.
  package static func text(_ path: String) throws -> String {
    String(decoding: try FileSystem.readAll("\(repository)/\(path)", maximumBytes: 1 << 20), as: UTF8.self)
  }

  /// One item of a list.
  package struct Entry {
    package let item: String
    package let text: String

    package init(item: String, text: String) {
      self.item = item
      self.text = text
    }

  }

  /// What a member of a file may be. A page need not change for another search method.
  package static func allowed(_ type: ValueType) -> String {
    type == SearchMethodName.valueType ? "see t2ctl help task adapt" : type.allowed
  }

  /// The same for the members of a file: summary, default, type and range of each.
  package mutating func check(_ part: Range<Int>, members: [MemberDefinition], of what: String) {
    let list = members.map { member in
      Entry(
        item: ".It Va \(member.name)",
        text: Self.sentence(member.summaryWithDefault, after: " (\(Self.allowed(member.type)))"))
    }
    check(part, list: list, of: what)
  }

  package static func sentence(_ text: String, after: String = "", capitalized: Bool = true) -> String {
    (capitalized ? text.prefix(1).uppercased() : String(text.prefix(1))) + text.dropFirst() + after + "."
  }

  package static func escaped(_ text: String) -> String {
    text.split(separator: "\\", omittingEmptySubsequences: false).joined(separator: "\\e")
  }

  /// The lines below a heading, to the next one of its kind or of a higher one.
  package func section(_ heading: String) throws -> Range<Int> {
    let start = try #require(lines.firstIndex(of: heading), "\(name) has no '\(heading)'")
    let next = lines[(start + 1)...].firstIndex { $0.hasPrefix(".Sh ") || $0.hasPrefix(".Ss ") }
    return start + 1..<(next ?? lines.count)
  }

  /// Compares the compact list in a part of the page with what is declared, or writes it there.
  package mutating func check(_ part: Range<Int>, list: [Entry], of what: String) {
    let opening = ".Bl -tag -width Ds -compact"
    let first = lines[part].firstIndex(of: opening)
    let last = first.flatMap { lines[$0..<part.upperBound].firstIndex(of: ".El") }
    let wanted = list.isEmpty ? [] : [opening] + list.flatMap { [$0.item] + Self.wrapped($0.text) } + [".El"]
    let found: [String] = if let first, let last { Array(lines[first...last]) } else { [] }
    guard found != wanted else { return }
    guard Self.records else {
      let differing = zip(wanted, found + repeatElement("", count: wanted.count)).first { $0 != $1 }
      Issue.record(
        """
        the list of \(what) is not as declared; 'T2D_RECORD=1 swift test --filter ManualTests' writes it anew
        declared: \(differing?.0 ?? "nothing more")
        page:     \(differing?.1 ?? "more")
        """)
      return
    }
    if let first, let last {
      lines.replaceSubrange(first...last, with: wanted)
    } else {
      // Behind the paragraph that says what it does.
      let place = lines[part].firstIndex { $0 == "Result:" || $0 == ".El" } ?? part.upperBound
      lines.insert(contentsOf: wanted, at: place)
    }
  }

  /// Compares the paragraph below a line of a part, to the end of its first sentence, with what is declared, or writes it
  /// there.
  package mutating func check(_ part: Range<Int>, below heading: String, text: String, of what: String) {
    let wanted = Self.wrapped(Self.sentence(text, capitalized: false))
    guard let place = lines[part].firstIndex(of: heading) else {
      Issue.record("\(what) has no line '\(heading)'")
      return
    }
    let rest = lines[(place + 1)..<part.upperBound]
    let isEmpty = rest.first.map { $0.hasPrefix(".") } ?? true
    let end = isEmpty ? place + 1 : rest.firstIndex { $0.hasSuffix(".") }.map { $0 + 1 } ?? part.upperBound
    let found = Array(lines[(place + 1)..<end])
    guard found != wanted else { return }
    guard Self.records else {
      let differing = zip(wanted, found + repeatElement("", count: wanted.count)).first { $0 != $1 }
      Issue.record(
        """
        '\(heading)' of \(what) is not as declared; 'T2D_RECORD=1 swift test --filter ManualTests' writes it anew
        declared: \(differing?.0 ?? "nothing more")
        page:     \(differing?.1 ?? "more")
        """)
      return
    }
    lines.replaceSubrange((place + 1)..<end, with: wanted)
  }

  package func keep() throws {
    guard Self.records else { return }
    try FileSystem.writeAtomically(
      "\(repository)/man/\(name)", Array((lines.joined(separator: "\n") + "\n").utf8), mode: 0o644)
  }

  /// Lines of at most 78 columns; none begins with what mdoc would take for a macro.
  private static func wrapped(_ text: String) -> [String] {
    Self.filled(escaped(text), columns: 78).map { $0.hasPrefix(".") || $0.hasPrefix("'") ? "\\&" + $0 : $0 }
  }

  /// The words of a text in lines of so many columns.
  package static func filled(_ text: String, columns: Int) -> [String] {
    var lines = [""]
    for word in text.split(separator: " ") {
      let line = lines[lines.count - 1]
      if line.isEmpty {
        lines[lines.count - 1] = String(word)
      } else if line.count + 1 + word.count <= columns {
        lines[lines.count - 1] = line + " " + word
      } else {
        lines.append(String(word))
      }
    }
    return lines
  }
}
