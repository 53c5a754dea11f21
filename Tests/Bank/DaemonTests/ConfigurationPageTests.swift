import Records
import Settings
import StrictJSON
import SystemSupport
import TestSupport
import Testing

@testable import Daemon

/// t2d.conf(5), Configuration.swift and the shipped file name the same keys with the same defaults.
@Suite struct ConfigurationPageTests {
  private func text(_ path: String) throws -> String {
    String(decoding: try FileSystem.readAll("\(repository)/\(path)", maximumBytes: 1 << 20), as: UTF8.self)
  }

  /// Of the page: `checks.rows` with "integer" and "200".
  private func page() throws -> [(key: String, type: String, default: String)] {
    try text("man/t2d.conf.5").split(separator: "\n").compactMap { line -> (String, String, String)? in
      guard let match = line.wholeMatch(of: /\.It Va ([a-z_.]+) No \(([a-z ]+), (.+)\)/) else {
        #expect(!line.hasPrefix(".It Va "), "a key without its type and default: \(line)")
        return nil
      }
      return (String(match.1), String(match.2), String(match.3).replacing(#"\(dq"#, with: "\""))
    }
  }

  /// The shipped file with its commented keys taken as written.
  private func shipped() throws -> JSONValue {
    let lines = try text("etc/t2d/t2d.json5").split(separator: "\n", omittingEmptySubsequences: false).map { line in
      line.wholeMatch(of: /\s*\/\/ ([a-z_]+: (?:["{\[0-9]|true|false).*)/).map { String($0.1) } ?? String(line)
    }
    return try parseJSON(Array(lines.joined(separator: "\n").utf8), dialect: .json5)
  }

  private func leaves(_ value: JSONValue, _ path: String = "") -> [(key: String, value: JSONValue)] {
    guard case .object(let object) = value else { return [(path, value)] }
    return object.members.flatMap { leaves($0.value, path.isEmpty ? $0.key : "\(path).\($0.key)") }
  }

  /// `{a: {b: value}}` of `a.b`.
  private func nested(_ key: String, _ value: JSONValue) -> JSONValue {
    key.split(separator: ".").reversed().reduce(value) { inner, name in
      var outer = JSONObject()
      outer[String(name)] = inner
      return .object(outer)
    }
  }

  private func read(_ value: JSONValue) throws(ConfigurationError) -> Configuration {
    try Configuration(json5: value.serialized(), path: "t2d.json5")
  }

  @Test func thePageAndTheShippedFileNameTheSameKeys() throws {
    let inPage = try page().map(\.key)
    #expect(Set(inPage).count == inPage.count)
    #expect(Set(inPage) == Set(leaves(try shipped()).map(\.key)))
    #expect(inPage.count > 30)
  }

  /// Every `try reader.optional…("key"` of the source is the last part of a key of the page.
  @Test func theReaderKnowsNoKeyThatThePageDoesNot() throws {
    let source = try text("Sources/Bank/Daemon/Configuration.swift")
    let read = Set(source.matches(of: /\.optional[A-Z][A-Za-z]*\(\s*"([a-z_]+)"/).map { String($0.1) })
    let parts = Set(
      try page().filter { !$0.key.hasPrefix("search.") }.flatMap { $0.key.split(separator: ".").map(String.init) })
    #expect(read.union(["search"]) == parts.union(["search"]))
  }

  /// The search's settings are one record; these three spellings are those of task.json5, in t2-task(5).
  @Test func thePageNamesEverySettingOfASearch() throws {
    let inPage = try page().map(\.key).filter { $0.hasPrefix("search.") }.map { String($0.dropFirst(7)) }
    let ofTasks = ["elite", "range", "budget"]
    #expect(Set(inPage + ofTasks) == Set(SearchSettings.members.map(\.name)))
    let taskPage = try text("man/t2-task.5")
    for name in ofTasks { #expect(taskPage.contains(".It Va \(name)") || taskPage.contains(name)) }
  }

  @Test func theReaderKnowsEveryKeyOfThePageByItsType() throws {
    for (key, type, _) in try page() {
      // What no key takes: the error must be about the value and not about the key.
      let error = #expect(throws: ConfigurationError.self, "\(key)") { try read(nested(key, [[1]])) }
      let text = error?.description ?? ""
      #expect(!text.contains("unknown key"), "\(key): \(text)")
      let wrong: JSONValue =
        switch type {
        case "string", "list of strings": 7
        case "integer", "number", "boolean": "x"
        default: .null
        }
      #expect(wrong != .null, "\(key) has the type '\(type)'")
      #expect(throws: ConfigurationError.self, "\(key) takes no \(wrong.jsonText)") { try read(nested(key, wrong)) }
    }
  }

  /// The defaults that both name are the same, and are those of the program: the file taken as written changes nothing.
  @Test func theDefaultsAreTheProgramsOwn() throws {
    let values = leaves(try shipped())
    for (key, type, text) in try page() {
      let value = try #require(values.first { $0.key == key }?.value, "\(key)")
      switch type {
      case "string": if text.hasPrefix("\"") { #expect("\(value.jsonText)" == text, "\(key)") }
      case "integer", "number":
        if let number = Double(text) { #expect(value.doubleValue == number, "\(key)") }
      case "boolean": #expect(value.jsonText == text, "\(key)")
      default: break
      }
      // Those without a default of their own stand in the file with an example.
      guard !["none", "all", "by the experts", "a fifth of the population", "beside t2d"].contains(text) else {
        continue
      }
      let (taken, untouched) = (try read(nested(key, value)), Configuration())
      // One granularity is spelled in two ways.
      var search = taken.search
      search.granularity = nil
      #expect(search == untouched.search, "\(key)")
      #expect(taken.worker == untouched.worker && taken.checks == untouched.checks, "\(key)")
      #expect(taken.debounce == untouched.debounce && taken.socketMode == untouched.socketMode, "\(key)")
      #expect(taken.socket == untouched.socket && taken.promotion == untouched.promotion, "\(key)")
      #expect(taken.logLevel == untouched.logLevel && taken.maximumExpertBytes == untouched.maximumExpertBytes)
      #expect(taken.code == untouched.code, "\(key)")
      #expect(taken.maximumTaskBytes == untouched.maximumTaskBytes, "\(key)")
    }
  }
}
