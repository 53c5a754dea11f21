// What the compiler does not say of these sources; `.ci/run` starts it before the build.
//
//   swift .ci/check-sources.swift          checks itself on small samples, then the package in the working directory
//
// 1. Declared arrows and imports agree both ways: what a target imports of this package it declares, and what it
//    declares some file of it imports.
// 2. No test ends silently: where a test returns early, its block has claimed something before.
// 3. No test claims nothing.
//
// Prints `file:line: message`, one a line, and exits with 1 where there is any. It reads text, not syntax trees: what it
// cannot read it reports.
import Foundation

struct Fault: Equatable, CustomStringConvertible {
  var file: String
  var line: Int
  var message: String
  var description: String { "\(file):\(line): \(message)" }
}

// MARK: - Swift text

/// The text with everything in comments and literals blanked, so that what is left is code; lines stay where they are.
struct Code {
  private(set) var bytes: [UInt8]
  private var at = 0
  /// Within a literal's `\( )`.
  private var isNested = false

  init(_ text: String) {
    bytes = Array(text.utf8)
    skim(untilParenthesis: false)
  }

  func line(at offset: Int) -> Int { bytes[..<offset].reduce(1) { $1 == 0x0a ? $0 + 1 : $0 } }

  private func has(_ text: StaticString, _ offset: Int = 0) -> Bool {
    let wanted = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    guard at + offset + wanted.count <= bytes.count else { return false }
    for index in 0..<wanted.count where bytes[at + offset + index] != wanted[index] { return false }
    return true
  }

  private mutating func blank(_ count: Int = 1) {
    for _ in 0..<count where at < bytes.count {
      if bytes[at] != 0x0a { bytes[at] = 0x20 }
      at += 1
    }
  }

  /// Passes over code; within a literal's `\( )` up to the parenthesis that closes it.
  private mutating func skim(untilParenthesis: Bool) {
    var depth = 0
    while at < bytes.count {
      switch bytes[at] {
      case UInt8(ascii: "/") where has("//"):
        while at < bytes.count, bytes[at] != 0x0a { blank() }
      case UInt8(ascii: "/") where has("/*"):
        skipComment()
      case UInt8(ascii: "\""), UInt8(ascii: "#"):
        skipLiteral()
      case UInt8(ascii: "(") where untilParenthesis:
        depth += 1
        blank()
      case UInt8(ascii: ")") where untilParenthesis:
        blank()
        if depth == 0 { return }
        depth -= 1
      default:
        if untilParenthesis { blank() } else { at += 1 }
      }
    }
  }

  private mutating func skipComment() {
    var depth = 0
    repeat {
      if has("/*") { depth += 1 } else if has("*/") { depth -= 1 }
      blank(has("/*") || has("*/") ? 2 : 1)
    } while depth > 0 && at < bytes.count
  }

  /// A string with any number of `#`, or a regular expression between `#/` and `/#`; a lone `#` is code.
  private mutating func skipLiteral() {
    var hashes = 0
    while at + hashes < bytes.count, bytes[at + hashes] == UInt8(ascii: "#") { hashes += 1 }
    func closes(_ offset: Int) -> Bool {
      at + offset + hashes <= bytes.count
        && bytes[(at + offset)..<(at + offset + hashes)].allSatisfy { $0 == UInt8(ascii: "#") }
    }
    if hashes > 0, has("/", hashes) {
      blank(hashes + 1)
      while at < bytes.count, !(has("/") && closes(1)) { blank() }
      return blank(1 + hashes)
    }
    guard has("\"", hashes) else { return at += max(1, hashes) }
    let isLong = has("\"\"\"", hashes)
    let quotes = isLong ? 3 : 1
    if !isNested { at += 1 }  // What is left says that a value stands here.
    blank(hashes + quotes - (isNested ? 0 : 1))
    while at < bytes.count {
      if bytes[at] == UInt8(ascii: "\\"), closes(1) {
        if has("(", 1 + hashes) {
          blank(2 + hashes)
          let outer = isNested
          isNested = true
          skim(untilParenthesis: true)
          isNested = outer
        } else {
          blank(2 + hashes)
        }
      } else if isLong ? has("\"\"\"") : has("\""), closes(quotes) {
        return blank(quotes + hashes)
      } else if !isLong, bytes[at] == 0x0a {
        return  // No string goes on here: a quote that was none.
      } else {
        blank()
      }
    }
  }
}

/// A word of code, with its `#` or `@`, and the bytes where it stands.
struct Word {
  var text: String
  var range: Range<Int>
}

/// A function's name, its words from `func` on, and the bytes of its body within the braces.
struct Function {
  var name: String
  var isTest: Bool
  var start: Int
  var body: Range<Int>
  /// Those of the body.
  var words: ArraySlice<Word>
}

func isWord(_ byte: UInt8) -> Bool {
  switch byte {
  case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
    UInt8(ascii: "0")...UInt8(ascii: "9"),
    UInt8(ascii: "_"):
    true
  default: false
  }
}

func words(of bytes: [UInt8]) -> [Word] {
  var found: [Word] = []
  var index = 0
  while index < bytes.count {
    let start = index
    if bytes[index] == UInt8(ascii: "#") || bytes[index] == UInt8(ascii: "@") { index += 1 }
    while index < bytes.count, isWord(bytes[index]) { index += 1 }
    if index == start {
      index += 1
    } else {
      found.append(Word(text: String(decoding: bytes[start..<index], as: UTF8.self), range: start..<index))
    }
  }
  return found
}

/// All functions of a file; nil where its braces do not match, so that nothing can be said of it.
func functions(of code: Code) -> [Function]? {
  let bytes = code.bytes
  var partner: [Int: Int] = [:]
  var open: [Int] = []
  for (index, byte) in bytes.enumerated() {
    if byte == UInt8(ascii: "{") { open.append(index) }
    if byte == UInt8(ascii: "}") {
      guard let start = open.popLast() else { return nil }
      partner[start] = index
    }
  }
  guard open.isEmpty else { return nil }
  let words = words(of: bytes)
  var result: [Function] = []
  var isTest = false
  for (number, word) in words.enumerated() {
    if word.text == "@Test" { isTest = true }
    guard word.text == "func", number + 1 < words.count else { continue }
    // The body's brace is the first one outside of the parameters' parentheses.
    var (depth, index) = (0, word.range.upperBound)
    while index < bytes.count, depth > 0 || bytes[index] != UInt8(ascii: "{") {
      if bytes[index] == UInt8(ascii: "(") { depth += 1 }
      if bytes[index] == UInt8(ascii: ")") { depth -= 1 }
      if depth == 0, bytes[index] == UInt8(ascii: "}") { break }
      index += 1
    }
    guard index < bytes.count, let close = partner[index] else { continue }  // A requirement of a protocol.
    let first = words[number...].firstIndex { $0.range.lowerBound > index } ?? words.endIndex
    let last = words[first...].firstIndex { $0.range.lowerBound > close } ?? words.endIndex
    result.append(
      Function(
        name: words[number + 1].text, isTest: isTest, start: word.range.lowerBound, body: (index + 1)..<close,
        words: words[first..<last]))
    isTest = false
  }
  return result
}

// MARK: - Tests

/// With these a test says what must hold; `Issue` is that of `Issue.record`.
let claims: Set<String> = ["#expect", "#require", "Issue", "withKnownIssue"]

func claimsSomething(_ words: some Sequence<Word>) -> Bool { words.contains { claims.contains($0.text) } }

func faultsOfTests(_ file: String, _ text: String) -> [Fault] {
  let code = Code(text)
  guard let functions = functions(of: code) else {
    return [Fault(file: file, line: 1, message: "cannot be checked: its braces do not match as this check reads them")]
  }
  var faults: [Fault] = []
  let helpers = Set(functions.filter { !$0.isTest && claimsSomething($0.words) }.map(\.name))
  for test in functions where test.isTest {
    if !claimsSomething(test.words), !test.words.contains(where: { helpers.contains($0.text) }) {
      faults.append(
        Fault(
          file: file, line: code.line(at: test.start),
          message:
            "the test '\(test.name)' claims nothing: there is no #expect, #require or Issue.record in it, nor in "
            + "a function of this file that it calls"))
    }
    for word in test.words where word.text == "return" {
      // A value may stand in the next line; behind a `return` without one there is only the end of its block.
      let next = code.bytes[word.range.upperBound..<test.body.upperBound].first { $0 != 0x20 && $0 != 0x0a }
      guard next == nil || next == UInt8(ascii: "}") || next == UInt8(ascii: ";") else { continue }
      // Back to the brace of the block that returns.
      var (depth, start) = (0, word.range.lowerBound)
      while start > test.body.lowerBound, depth >= 0 {
        start -= 1
        if code.bytes[start] == UInt8(ascii: "}") { depth += 1 }
        if code.bytes[start] == UInt8(ascii: "{") { depth -= 1 }
      }
      let block = start..<word.range.lowerBound
      if claimsSomething(test.words.lazy.filter { block.contains($0.range.lowerBound) }) { continue }
      faults.append(
        Fault(
          file: file, line: code.line(at: word.range.lowerBound),
          message: "the test '\(test.name)' ends here without a word, so it passes where it should fail: use "
            + "try #require(…), or Issue.record(…) before the return; what a test needs of the machine is a trait, "
            + ".enabled(if: …, \"why\")"))
    }
  }
  return faults
}

// MARK: - Arrows

struct Target {
  var name: String
  var path: String
  var dependencies: [String]
}

let importBeginnings = Set("import @testable package public private".split(separator: " ").compactMap(\.utf8.first))

/// The module that a line imports, nil where it imports none.
func importedModule(_ line: String) -> String? {
  var words = line.split(separator: " ")[...]
  while let first = words.first, first.hasPrefix("@") || ["public", "package", "internal", "private"].contains(first) {
    words = words.dropFirst()
  }
  guard words.popFirst() == "import" else { return nil }
  if let kind = words.first, ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias"].contains(kind) {
    words = words.dropFirst()
  }
  return words.first.map { String($0.prefix { $0 != "." && $0 != ";" }) }
}

/// Where a target is declared in the manifest, and where a name stands in its declaration.
func declarationLine(of target: String, _ dependency: String?, in manifest: String) -> Int {
  let lines = manifest.components(separatedBy: "\n")
  let beginnings = [
    ".system(", ".c(", ".part(", ".program(", ".tests(", ".target(", ".executableTarget(", ".testTarget(",
  ]
  func starts(_ line: String) -> Bool { beginnings.contains { line.contains($0) } }
  for first in lines.indices where starts(lines[first]) {
    let next = lines[(first + 1)...].firstIndex(where: starts) ?? lines.endIndex
    let isTest = lines[first].contains(".tests(")
    let name = isTest && target.hasSuffix("Tests") ? String(target.dropLast(5)) : target
    let text = lines[first..<next].joined(separator: "\n")
    guard let literal = text.split(separator: "\"", omittingEmptySubsequences: false).dropFirst().first,
      literal == name,
      isTest || !target.hasSuffix("Tests")
    else { continue }
    guard let dependency else { return first + 1 }
    // In the first line the target's own name comes before.
    for index in first..<next {
      var line = lines[index][...]
      if index == first, let own = line.range(of: "\"\(name)\"") { line = line[own.upperBound...] }
      if line.contains("\"\(dependency)\"") { return index + 1 }
    }
    return first + 1
  }
  return 1
}

/// `sources` are the Swift files of a target by its name: their paths and texts.
func faultsOfArrows(
  _ targets: [Target], _ sources: [String: [(file: String, text: String)]], manifest: String
) -> [Fault] {
  let known = Set(targets.map(\.name))
  var faults: [Fault] = []
  for target in targets {
    var imported: Set<String> = []
    for (file, text) in sources[target.name] ?? [] {
      var seen: Set<String> = []
      for (index, line) in text.utf8.split(separator: 0x0a, omittingEmptySubsequences: false).enumerated() {
        // Most lines are something else, which their first byte tells.
        guard let first = line.first, importBeginnings.contains(first),
          let module = importedModule(String(decoding: line, as: UTF8.self)),
          known.contains(module)
        else { continue }
        imported.insert(module)
        if !seen.insert(module).inserted {
          faults.append(Fault(file: file, line: index + 1, message: "'\(module)' is imported twice in this file"))
        }
        if !target.dependencies.contains(module) {
          faults.append(
            Fault(
              file: file, line: index + 1,
              message: "'\(module)' is imported and Package.swift declares no arrow from '\(target.name)' to it"))
        }
      }
    }
    for dependency in target.dependencies where known.contains(dependency) && !imported.contains(dependency) {
      faults.append(
        Fault(
          file: "Package.swift", line: declarationLine(of: target.name, dependency, in: manifest),
          message: "'\(target.name)' declares an arrow to '\(dependency)', which no file of it imports"))
    }
  }
  return faults
}

// MARK: - This package

func read(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

/// What SwiftPM makes of the manifest; nothing is built for it.
func describedTargets() throws -> [Target] {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = ["swift", "package", "--ignore-lock", "dump-package"]
  let pipe = Pipe()
  process.standardOutput = pipe
  try process.run()
  let data = pipe.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  guard process.terminationStatus == 0,
    let package = try JSONSerialization.jsonObject(with: data) as? [String: Any],
    let targets = package["targets"] as? [[String: Any]]
  else { throw CocoaError(.fileReadCorruptFile) }
  return targets.compactMap { target in
    guard let name = target["name"] as? String, let path = target["path"] as? String else { return nil }
    // {"byName": ["Experts", null]}, or "target" or "product" for "byName".
    let dependencies = (target["dependencies"] as? [[String: Any]] ?? []).compactMap { dependency in
      (dependency.values.first as? [Any])?.first as? String
    }
    return Target(name: name, path: path, dependencies: dependencies)
  }
}

func swiftFiles(below directory: String) -> [String] {
  let names = FileManager.default.enumerator(atPath: directory)?.compactMap { $0 as? String } ?? []
  return names.filter { $0.hasSuffix(".swift") }.sorted().map { directory + "/" + $0 }
}

func faultsOfThisPackage() throws -> [Fault] {
  let targets = try describedTargets()
  var faults: [Fault] = []
  var sources: [String: [(file: String, text: String)]] = [:]
  for target in targets {
    let files = try swiftFiles(below: target.path).map { (file: $0, text: try read($0)) }
    sources[target.name] = files
    guard target.path.hasPrefix("Tests/") else { continue }
    for (file, text) in files { faults += faultsOfTests(file, text) }
  }
  return faults + faultsOfArrows(targets, sources, manifest: try read("Package.swift"))
}

// MARK: - This check

/// Texts, and the lines that must be found in them.
let samples: [(text: String, lines: [Int])] = [
  ("@Test func a() throws {\n  guard let x else { return }\n  #expect(x == 1)\n}", [2]),
  ("@Test func a() throws {\n  guard let x else {\n    return\n  }\n  #expect(x == 1)\n}", [3]),
  ("@Test func a() throws {\n  with { d in\n    if d.isOld { return }\n    #expect(d.x)\n  }\n}", [3]),
  (
    "@Test(.enabled(if: f { 1 }, \"}\"))\n  func a(x: Int = g({ 1 })) {\n  if x == 1 { return; }\n  #expect(x == 2)\n}",
    [3]
  ),
  (
    "@Test func a() {\n  guard x else {\n    Issue.record(\n      \"no \\(y[\"}\"])\")\n    return\n  }\n  #expect(x)\n}",
    []
  ),
  ("@Test func a() {\n  guard x else { Issue.record(\"no\"); return }\n  #expect(x)\n}", []),
  (
    "@Test func a() {\n  // guard x else { return }\n  let t = \"\"\"\n    return\n    \"\"\"\n  #expect(t.isEmpty)\n}",
    []
  ),
  ("@Test func a() {\n  let y = x.map { guard $0 else { return nil }; return 1 }\n  #expect(y == #\"\"{\"#)\n}", []),
  ("@Test func a() {\n  #expect(x.map { y in\n    return\n      y + 1\n  } == 2)\n}", []),
  ("@Test func a() {\n  #expect(x.map { y in\n    guard y else { return \"\\(f(\"{\"))\" }\n  } == 2)\n}", []),
  ("func helper() {\n  guard x else { return }\n}\n@Test func a() { #expect(x) }", []),
  ("@Test func a() {\n  manager.ready()\n}", [1]),
  ("func holds() { #expect(x) }\n@Test func a() {\n  holds()\n}\n@Test func b() {\n  others()\n}", [5]),
  ("@Test func a() {\n  #expect(x)\n", [1]),
  ("@Test func a() {\n  #expect(x.contains(#/}\"/#))\n}\nprotocol P { func f() }", []),
]

func checkOfThisCheck() -> [Fault] {
  let here = ".ci/check-sources.swift"
  var faults = samples.enumerated().compactMap { number, sample -> Fault? in
    let found = faultsOfTests("sample", sample.text).map(\.line)
    return found == sample.lines
      ? nil
      : Fault(
        file: here, line: 1, message: "sample \(number) must have faults in lines \(sample.lines), found \(found)")
  }
  let manifest = """
    targets: [
      low.part("A"),
      low.part("B", ["A"]),
      low.part(
        "C",
        ["A",
         "B"]),
      low.tests("C", ["C", "A"]),
    """
  let targets = [
    Target(name: "A", path: "a", dependencies: []), Target(name: "B", path: "b", dependencies: ["A"]),
    Target(name: "C", path: "c", dependencies: ["A", "B"]),
    Target(name: "CTests", path: "t", dependencies: ["C", "A"]),
  ]
  let found = faultsOfArrows(
    targets,
    [
      "A": [("a.swift", "import Glibc\nimport B\n")], "B": [("b.swift", "package import A\nimport A\n")],
      "C": [("c.swift", "internal import struct A.X\n// import B is not meant\n")],
      "CTests": [("t.swift", "@testable import C\n")],
    ], manifest: manifest
  ).map { "\($0.file):\($0.line)" }
  let expected = ["a.swift:2", "b.swift:2", "Package.swift:7", "Package.swift:8"]
  if found != expected {
    faults.append(Fault(file: here, line: 1, message: "the arrows' faults must be in \(expected), found in \(found)"))
  }
  return faults
}

let own = checkOfThisCheck()
let faults = own.isEmpty ? try faultsOfThisPackage() : own
for fault in faults { print(fault) }
exit(faults.isEmpty ? 0 : 1)
