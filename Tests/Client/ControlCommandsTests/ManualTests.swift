import ControlCommands
import Glibc
import RPCProtocol
import Records
import Search
import Settings
import SystemSupport
import TestSupport
import Testing

/// The pages are written by hand and compared with the tables: a command, option, method, parameter or error that is
/// not in its page fails here.
@Suite struct ManualTests {
  private static let directory = "\(repository)/man"

  private func lines(_ page: String) throws -> [String] {
    let bytes = try FileSystem.readAll("\(Self.directory)/\(page)", maximumBytes: 1 << 20)
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
  }

  private func macro(_ flag: String) -> String { "Fl \\-" + flag.dropFirst(2) }

  /// Where the lists of options and parameters differ from the declarations, this rewrites them:
  ///
  ///     T2D_RECORD=1 swift test --filter ManualTests
  private static let records = environmentVariable("T2D_RECORD") != nil

  @Test func everyCommandAndOptionIsInThePage() throws {
    var page = try lines("t2ctl.1")
    for option in GlobalOption.all {
      #expect(page.contains { $0.hasPrefix(".It \(macro(option.flag))") }, "\(option.flag)")
    }
    for verb in Verb.all {
      let head = ".It Cm \(verb.name)"
      let start = try #require(page.firstIndex { $0 == head || $0.hasPrefix(head + " ") }, "\(verb.name)")
      for argument in verb.arguments { #expect(page[start].contains(argument.name), "\(verb.name) \(argument.name)") }
      let entries = verb.options.map { option in
        (
          ".It \(macro(option.flag))" + (option.value.map { " Ar \(Self.escaped($0))" } ?? ""),
          Self.sentence(option.summary)
        )
      }
      // Its options stand before the next command.
      let end = page[(start + 1)...].firstIndex { $0.hasPrefix(".It Cm ") || $0.hasPrefix(".Ss ") } ?? page.count
      check(&page, start + 1..<end, list: entries, of: "t2ctl \(verb.name)")
    }
    try keep(page, "t2ctl.1")
    #expect(page.count { $0.hasPrefix(".It Cm ") } == Verb.all.count, "the page has commands that are gone")
    #expect(page.filter { $0.hasPrefix(".Ss ") }.map { $0.dropFirst(4) } == Verb.groups.map { $0.heading[...] })
    for status in [0, 1, 2, 3, 4, 5, 130] { #expect(page.contains { $0 == ".It \(status)" }, "status \(status)") }
  }

  @Test func everyMethodAndErrorIsInThePage() throws {
    var page = try lines("t2-protocol.7")
    for method in RPCMethod.all {
      let head = ".It Li \(method.name) Pq \(method.access.rawValue)"
      let start = try #require(page.firstIndex { $0 == head }, "\(method.name)")
      let entries = method.parameters.map { parameter in
        (
          parameter.isRequired ? ".It Va \(parameter.name)" : ".It Bq Va \(parameter.name)",
          Self.sentence(parameter.summaryWithDefault, after: Self.shown(parameter.type))
        )
      }
      let end = page[(start + 1)...].firstIndex { $0.hasPrefix(".It Li ") || $0.hasPrefix(".Sh ") } ?? page.count
      check(&page, start + 1..<end, list: entries, of: method.name)
    }
    try keep(page, "t2-protocol.7")
    #expect(page.count { $0.hasPrefix(".It Li ") } == RPCMethod.all.count, "the page has methods that are gone")
    for code in RPCErrorCode.allCases {
      let number = code.rawValue < 0 ? "\\-\(-code.rawValue)" : "\(code.rawValue)"
      let start = try #require(page.firstIndex { $0 == ".It \(number)" }, "\(code.kind)")
      #expect(page[start + 1] == ".Li \(code.kind) :")
    }
  }

  /// Compares the compact list in an entry of the page with what is declared, or writes it there.
  private func check(_ page: inout [String], _ entry: Range<Int>, list: [(item: String, text: String)], of what: String)
  {
    let opening = ".Bl -tag -width Ds -compact"
    let first = page[entry].firstIndex(of: opening)
    let last = first.flatMap { page[$0..<entry.upperBound].firstIndex(of: ".El") }
    let wanted = list.isEmpty ? [] : [opening] + list.flatMap { [$0.item] + Self.wrapped($0.text) } + [".El"]
    let found: [String] = if let first, let last { Array(page[first...last]) } else { [] }
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
      page.replaceSubrange(first...last, with: wanted)
    } else {
      // Behind the paragraph that says what it does.
      let place = page[entry].firstIndex { $0 == "Result:" || $0 == ".El" } ?? entry.upperBound
      page.insert(contentsOf: wanted, at: place)
    }
  }

  private func keep(_ page: [String], _ name: String) throws {
    guard Self.records else { return }
    try FileSystem.writeAtomically(
      "\(Self.directory)/\(name)", Array((page.joined(separator: "\n") + "\n").utf8), mode: 0o644)
  }

  private static func shown(_ type: ValueType) -> String {
    // The page need not change for another search method.
    if type == SearchMethodName.valueType { return " (see t2ctl help task adapt)" }
    if case .choice(let values) = type { return " (\(values.joined(separator: ", ")))" }
    return " (\(type.name))"
  }

  private static func sentence(_ text: String, after: String = "") -> String {
    text.prefix(1).uppercased() + text.dropFirst() + after + "."
  }

  private static func escaped(_ text: String) -> String {
    text.split(separator: "\\", omittingEmptySubsequences: false).joined(separator: "\\e")
  }

  /// Lines of at most 78 columns; none begins with what mdoc would take for a macro.
  private static func wrapped(_ text: String) -> [String] {
    var lines = [""]
    for word in escaped(text).split(separator: " ") {
      let line = lines[lines.count - 1]
      if line.isEmpty {
        lines[lines.count - 1] = String(word)
      } else if line.count + 1 + word.count <= 78 {
        lines[lines.count - 1] = line + " " + word
      } else {
        lines.append(String(word))
      }
    }
    return lines.map { $0.hasPrefix(".") || $0.hasPrefix("'") ? "\\&" + $0 : $0 }
  }

  private static let hasMandoc = (try? FileSystem.status("/usr/bin/mandoc")) != nil

  @Test(.enabled(if: hasMandoc))
  func mandocFindsNothingWrong() throws {
    for page in ["t2ctl.1", "t2-protocol.7", "t2d.conf.5"] {
      // References to the other pages are not found before they are installed.
      let command = "/usr/bin/mandoc -T lint -W warning '\(Self.directory)/\(page)' 2>&1"
      let pipe = unsafe try #require(unsafe popen(command, "r"))
      var text: [UInt8] = []
      while case let character = unsafe fgetc(pipe), character >= 0 {
        text.append(UInt8(truncatingIfNeeded: character))
      }
      _ = unsafe pclose(pipe)
      #expect(String(decoding: text, as: UTF8.self) == "")
    }
  }
}
