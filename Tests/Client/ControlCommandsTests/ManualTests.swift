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
  private func macro(_ flag: String) -> String { "Fl \\-" + flag.dropFirst(2) }

  @Test func everyCommandAndOptionIsInThePage() throws {
    var page = try ManualPage("t2ctl.1")
    for option in GlobalOption.all {
      #expect(page.lines.contains { $0.hasPrefix(".It \(macro(option.flag))") }, "\(option.flag)")
    }
    for verb in Verb.all {
      let head = ".It Cm \(verb.name)"
      let start = try #require(page.lines.firstIndex { $0 == head || $0.hasPrefix(head + " ") }, "\(verb.name)")
      for argument in verb.arguments {
        #expect(page.lines[start].contains(argument.name), "\(verb.name) \(argument.name)")
      }
      let entries = verb.options.map { option in
        ManualPage.Entry(
          item: ".It \(macro(option.flag))" + (option.value.map { " Ar \(ManualPage.escaped($0))" } ?? ""),
          text: ManualPage.sentence(option.summary))
      }
      // Its options stand before the next command.
      let end =
        page.lines[(start + 1)...].firstIndex { $0.hasPrefix(".It Cm ") || $0.hasPrefix(".Ss ") } ?? page.lines.count
      page.check(start + 1..<end, list: entries, of: "t2ctl \(verb.name)")
    }
    try page.keep()
    #expect(page.lines.count { $0.hasPrefix(".It Cm ") } == Verb.all.count, "the page has commands that are gone")
    #expect(page.lines.filter { $0.hasPrefix(".Ss ") }.map { $0.dropFirst(4) } == Verb.groups.map { $0.heading[...] })
    for status in [0, 1, 2, 3, 4, 5, 130] { #expect(page.lines.contains { $0 == ".It \(status)" }, "status \(status)") }
  }

  @Test func everyMethodAndErrorIsInThePage() throws {
    var page = try ManualPage("t2-protocol.7")
    for method in RPCMethod.all {
      let head = ".It Li \(method.name) Pq \(method.access.rawValue)"
      let start = try #require(page.lines.firstIndex { $0 == head }, "\(method.name)")
      let entries = method.parameters.map { parameter in
        ManualPage.Entry(
          item: parameter.isRequired ? ".It Va \(parameter.name)" : ".It Bq Va \(parameter.name)",
          text: ManualPage.sentence(parameter.summaryWithDefault, after: Self.shown(parameter.type)))
      }
      let end =
        page.lines[(start + 1)...].firstIndex { $0.hasPrefix(".It Li ") || $0.hasPrefix(".Sh ") } ?? page.lines.count
      page.check(start + 1..<end, below: "Result:", text: method.result, of: method.name)
      page.check(start + 1..<end, list: entries, of: method.name)
    }
    try page.keep()
    #expect(page.lines.count { $0.hasPrefix(".It Li ") } == RPCMethod.all.count, "the page has methods that are gone")
    for code in RPCErrorCode.allCases {
      let number = code.rawValue < 0 ? "\\-\(-code.rawValue)" : "\(code.rawValue)"
      let start = try #require(page.lines.firstIndex { $0 == ".It \(number)" }, "\(code.kind)")
      #expect(page.lines[start + 1] == ".Li \(code.kind) :")
    }
  }

  /// In a comment below it: `.\" RotTests, DamageTests.`
  @Test func everyGuaranteeNamesTestsThatThereAre() throws {
    let lines = try ManualPage("t2d.8").lines
    let start = try #require(lines.firstIndex(of: ".Sh GUARANTEES"))
    let end = try #require(lines[(start + 1)...].firstIndex { $0.hasPrefix(".Sh ") })
    let guarantees = lines[start..<end].split(separator: ".It").dropFirst()
    #expect(guarantees.count >= 12)
    let suites = try Self.suites()
    for guarantee in guarantees {
      let comments = guarantee.filter { $0.hasPrefix(".\\\"") }.joined(separator: " ")
      let named = comments.matches(of: /[A-Za-z]+Tests/).map { String($0.output) }
      #expect(!named.isEmpty, "'\(guarantee.first ?? "")' names no test")
      for name in named { #expect(suites.contains(name), "there is no \(name)") }
    }
  }

  /// The files of tests, each of which has the name of its suite.
  private static func suites() throws -> Set<String> {
    var suites: Set<String> = []
    for kind in try FileSystem.entries("\(repository)/Tests").compactMap(\.text) {
      for target in (try? FileSystem.entries("\(repository)/Tests/\(kind)"))?.compactMap(\.text) ?? [] {
        let files = (try? FileSystem.entries("\(repository)/Tests/\(kind)/\(target)"))?.compactMap(\.text) ?? []
        for file in files where file.hasSuffix(".swift") { suites.insert(String(file.dropLast(6))) }
      }
    }
    return suites
  }

  private static func shown(_ type: ValueType) -> String {
    // The page need not change for another search method.
    if type == SearchMethodName.valueType { return " (see t2ctl help task adapt)" }
    if case .choice(let values) = type { return " (\(values.joined(separator: ", ")))" }
    return " (\(type.name))"
  }

  private static let hasMandoc = (try? FileSystem.status("/usr/bin/mandoc")) != nil

  @Test(.enabled(if: hasMandoc))
  func mandocFindsNothingWrong() throws {
    for page in ["t2ctl.1", "t2-protocol.7", "t2d.conf.5", "t2-task.5", "t2-expert.5", "t2-engine.7", "t2d.8"] {
      // References to the other pages are not found before they are installed.
      let command = "/usr/bin/mandoc -T lint -W warning '\(repository)/man/\(page)' 2>&1"
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
