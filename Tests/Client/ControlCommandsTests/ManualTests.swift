import ControlCommands
import Glibc
import RPCProtocol
import SystemSupport
import TestSupport
import Testing

/// The pages are written by hand and compared with the tables: a command, option, method, parameter or error that is
/// not in its page fails here.
@Suite struct ManualTests {
  private static let directory = "\(repository)/man"

  private func lines(_ page: String) throws -> [Substring] {
    let bytes = try FileSystem.readAll("\(Self.directory)/\(page)", maximumBytes: 1 << 20)
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
  }

  private func macro(_ flag: String) -> String { "Fl \\-" + flag.dropFirst(2) }

  @Test func everyCommandAndOptionIsInThePage() throws {
    let page = try lines("t2ctl.1")
    for option in GlobalOption.all {
      #expect(page.contains { $0.hasPrefix(".It \(macro(option.flag))") }, "\(option.flag)")
    }
    for verb in Verb.all {
      let head = ".It Cm \(verb.name)"
      let start = try #require(page.firstIndex { $0 == head || $0.hasPrefix(head + " ") }, "\(verb.name)")
      // Its options stand before the next command.
      let entry = page[(start + 1)...].prefix { !$0.hasPrefix(".It Cm ") && !$0.hasPrefix(".Ss ") }
      for option in verb.options {
        let wanted = ".It \(macro(option.flag))" + (option.value.map { " Ar \($0)" } ?? "")
        #expect(entry.contains { $0 == wanted }, "\(verb.name) \(option.shown)")
      }
      #expect(entry.count { $0.hasPrefix(".It Fl") } == verb.options.count, "\(verb.name) has options that are gone")
      for argument in verb.arguments { #expect(page[start].contains(argument.name), "\(verb.name) \(argument.name)") }
    }
    #expect(page.count { $0.hasPrefix(".It Cm ") } == Verb.all.count, "the page has commands that are gone")
    #expect(page.filter { $0.hasPrefix(".Ss ") }.map { $0.dropFirst(4) } == Verb.groups.map { $0.heading[...] })
    for status in [0, 1, 2, 3, 4, 5, 130] { #expect(page.contains { $0 == ".It \(status)" }, "status \(status)") }
  }

  @Test func everyMethodAndErrorIsInThePage() throws {
    let page = try lines("t2-protocol.7")
    for method in RPCMethod.all {
      let head = ".It Li \(method.name) Pq \(method.access.rawValue)"
      let start = try #require(page.firstIndex { $0 == head }, "\(method.name)")
      let entry = page[(start + 1)...].prefix { !$0.hasPrefix(".It Li ") && !$0.hasPrefix(".Sh ") }
      for parameter in method.parameters {
        let wanted = parameter.isRequired ? ".It Va \(parameter.name)" : ".It Bq Va \(parameter.name)"
        #expect(entry.contains { $0 == wanted }, "\(method.name) \(parameter.name)")
      }
      #expect(
        entry.count { $0.hasPrefix(".It ") } == method.parameters.count, "\(method.name) has parameters that are gone")
    }
    #expect(page.count { $0.hasPrefix(".It Li ") } == RPCMethod.all.count, "the page has methods that are gone")
    for code in RPCErrorCode.allCases {
      let number = code.rawValue < 0 ? "\\-\(-code.rawValue)" : "\(code.rawValue)"
      let start = try #require(page.firstIndex { $0 == ".It \(number)" }, "\(code.kind)")
      #expect(page[start + 1] == ".Li \(code.kind) :")
    }
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
