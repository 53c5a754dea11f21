import StrictJSON

/// How the answer is found in a generated text. A rule has a name, which every scored item gives.
package struct ExtractionRule: Sendable, Equatable {
  package enum Pick: String, Sendable, CaseIterable { case first, last }

  package let name: String
  /// Swift's `Regex` syntax, matched by Unicode scalars.
  package let pattern: String
  /// The capture that is the answer; nil is the first that took part in the match, or all of it where there is none.
  package let group: Int?
  package let pick: Pick
  /// Whether answers are compared as lm-evaluation-harness compares numbers, or as texts.
  package let isNumeric: Bool

  /// lm-evaluation-harness's `strict-match` of GSM8K. The first match: what a model says after its answer does not count.
  package static let strict = ExtractionRule(
    name: "strict", pattern: #"#### (\-?[0-9\.\,]+)"#, group: nil, pick: .first, isNumeric: true)
  /// lm-evaluation-harness's `flexible-extract` of GSM8K: the last number.
  package static let flexible = ExtractionRule(
    name: "flexible", pattern: "(-?[$0-9.,]{2,})|(-?[0-9]+)", group: nil, pick: .last, isNumeric: true)
  /// All of the text.
  package static let whole = ExtractionRule(
    name: "whole", pattern: #"(?s).+"#, group: nil, pick: .first, isNumeric: false)

  /// The rules for a gold answer where the task names none.
  package static func defaults(for gold: GoldAnswer) -> [ExtractionRule] {
    switch gold {
    case .number: [.strict, .flexible]
    case .text: [.whole]
    }
  }

  init(name: String, pattern: String, group: Int?, pick: Pick, isNumeric: Bool) {
    self.name = name
    self.pattern = pattern
    self.group = group
    self.pick = pick
    self.isNumeric = isNumeric
  }

  /// `"strict"`, `"flexible"`, `"whole"`, another text as an expression, or `{name, regex, group, pick, compare}`.
  init(_ value: JSONValue, position: Int) throws {
    if let text = value.stringValue {
      if let known = [Self.strict, .flexible, .whole].first(where: { $0.name == text }) {
        self = known
        return
      }
      self.init(name: "rule\(position + 1)", pattern: text, group: nil, pick: .last, isNumeric: false)
    } else {
      var reader = try ObjectReader(reading: value, path: "extract[\(position)]")
      let name = try reader.optionalString("name") ?? "rule\(position + 1)"
      let pattern = try reader.string("regex")
      let group = try reader.optionalInt("group", in: 0...99)
      let pick = try reader.optionalChoice("pick", Pick.self) ?? .last
      let compare = try reader.optionalChoice("compare", Comparison.self) ?? .text
      try reader.finish()
      self.init(name: name, pattern: pattern, group: group, pick: pick, isNumeric: compare == .number)
    }
    _ = try AnswerExtractor([self])
  }

  private enum Comparison: String, CaseIterable { case text, number }
}

/// The rules of a task, compiled. Not `Sendable`, since `Regex` is not: each thread makes its own.
package struct AnswerExtractor {
  private let rules: [(rule: ExtractionRule, regex: Regex<AnyRegexOutput>)]

  package init(_ rules: [ExtractionRule]) throws(EvaluationError) {
    var compiled: [(rule: ExtractionRule, regex: Regex<AnyRegexOutput>)] = []
    for rule in rules {
      if let problem = Self.problem(of: rule.pattern) { throw .invalidPattern(rule: rule.name, problem: problem) }
      do {
        compiled.append((rule, try Regex(rule.pattern).matchingSemantics(.unicodeScalar)))
      } catch {
        throw .invalidPattern(rule: rule.name, problem: "\(error)")
      }
    }
    self.rules = compiled
  }

  private static let (maximumPatternBytes, maximumBrackets, maximumCount) = (1024, 64, 1000)

  /// What `Regex` would take and choke on; nil where it would not. Its compiler calls itself for each bracket of a class
  /// and each operator between classes, and a thousand of them overflow the stack of a thread, which ends the process;
  /// and a count of a billion is tried out.
  private static func problem(of pattern: String) -> String? {
    guard pattern.utf8.count <= maximumPatternBytes else {
      return "it has \(pattern.utf8.count) bytes, at most \(maximumPatternBytes) are allowed"
    }
    let nesting = pattern.utf8.count { $0 == UInt8(ascii: "[") }
    let operators = ["&&", "--", "~~"].reduce(0) { $0 + pattern.ranges(of: $1).count }
    guard nesting + operators <= maximumBrackets else {
      return "it has \(nesting + operators) brackets and operators of classes, at most \(maximumBrackets) are allowed"
    }
    // Counts, but not the hexadecimal digits of `\u{10348}`.
    for match in pattern.matches(of: /(\\[uxo])?\{ *([0-9]+)?(?: *, *([0-9]+))?/) where match.1 == nil {
      for count in [match.2, match.3].compactMap(\.self) where (Int(count) ?? .max) > maximumCount {
        return "it repeats something \(count.excerpt) times, at most \(maximumCount) are allowed"
      }
    }
    return nil
  }

  /// What each rule finds and whether it is right; the answer is that of the first rule that finds one.
  package func score(_ output: String, gold: GoldAnswer) -> GenerationScore {
    var score = GenerationScore(extracted: nil, rule: nil, isCorrect: false, byRule: [])
    for (rule, regex) in rules {
      let found = Self.find(rule, regex, in: output)
      let isCorrect = found.map { Self.isEqual($0, gold, rule) } ?? false
      score.byRule.append((rule.name, isCorrect))
      if score.rule == nil, let found {
        score.rule = rule.name
        score.extracted = found
        score.isCorrect = isCorrect
      }
    }
    return score
  }

  private static func find(_ rule: ExtractionRule, _ regex: Regex<AnyRegexOutput>, in output: String) -> String? {
    let match = rule.pick == .first ? output.firstMatch(of: regex) : output.matches(of: regex).last
    guard let match else { return nil }
    let text: Substring?
    if let group = rule.group {
      text = group < match.output.count ? match.output[group].substring : nil
    } else if match.output.count == 1 {
      text = match.output[0].substring
    } else {
      text = match.output.dropFirst().lazy.compactMap(\.substring).first
    }
    guard let answer = text?.trimmingBlanks(), !answer.isEmpty else { return nil }
    return answer
  }

  private static func isEqual(_ answer: String, _ gold: GoldAnswer, _ rule: ExtractionRule) -> Bool {
    if rule.isNumeric { return normalizedNumber(answer) == normalizedNumber(gold.text) }
    switch gold {
    case .number(let number) where normalizedNumber(answer) == normalizedNumber(number): return true
    case .number, .text: return normalizedText(answer) == normalizedText(gold.text)
    }
  }

  /// lm-evaluation-harness's `regexes_to_ignore` of GSM8K: `,`, `$`, everything to `#### `, and a full stop at the end;
  /// case does not count.
  static func normalizedNumber(_ text: String) -> String {
    var text = text.lowercased()
    if let mark = text.ranges(of: "#### ").last { text = String(text[mark.upperBound...]) }
    text.removeAll { $0 == "," || $0 == "$" }
    if text.hasSuffix(".") { text.removeLast() }
    return text
  }

  /// Case, runs of white space and a full stop at the end do not count.
  static func normalizedText(_ text: String) -> String {
    var text = text.lowercased().split(whereSeparator: \.isWhitespace).joined(separator: " ")
    if text.hasSuffix(".") { text.removeLast() }
    return text
  }
}

/// What became of one generated text.
package struct GenerationScore: Sendable {
  /// The answer that was found, as it stands in the text; nil where no rule matched.
  package var extracted: String?
  package var rule: String?
  package var isCorrect: Bool
  /// Every rule beside the others, in the task's order.
  package var byRule: [(name: String, isCorrect: Bool)]
}
