package import Records
package import StrictJSON

/// How the answer is found in a generated text. A rule has a name, which every scored item gives.
package struct ExtractionRule: Record {
  package enum Pick: String, Choice { case first, last }
  package enum Comparison: String, Choice { case text, number }

  /// Empty until the rule has its place in a task.
  @Setting("name of the rule in results; default rule1 for the first, and so on") package var name = ""
  @Setting("regular expression in Swift's syntax, matched by Unicode scalars; required", name: "regex")
  package var pattern: String
  @Setting(
    "capture that is the answer; default the first that took part in the match, or the whole match without any", 0...99)
  package var group: Int?
  @Setting("which match gives the answer") package var pick = Pick.last
  @Setting(
    "how answers are compared: text, without case, white space and a last full stop; number, as lm-evaluation-harness does"
  )
  package var compare = Comparison.text

  package init() {}

  /// lm-evaluation-harness's `strict-match` of GSM8K. The first match: what a model says after its answer does not count.
  package static let strict = ExtractionRule(
    name: "strict", pattern: #"#### (\-?[0-9\.\,]+)"#, pick: .first, compare: .number)
  /// lm-evaluation-harness's `flexible-extract` of GSM8K: the last number.
  package static let flexible = ExtractionRule(
    name: "flexible", pattern: "(-?[$0-9.,]{2,})|(-?[0-9]+)", compare: .number)
  /// What the last `\boxed{}` holds, without braces within it.
  static let boxed = ExtractionRule(name: "boxed", pattern: #"\\boxed\{([^{}]*)\}"#)
  /// All of the text.
  package static let whole = ExtractionRule(
    name: "whole", pattern: #"(?s).+"#, pick: .first)

  /// The rules for a gold answer where the task names none.
  package static func defaults(for gold: GoldAnswer) -> [ExtractionRule] {
    switch gold {
    case .number: [.strict, .flexible]
    case .text, .oneOf: [.whole]
    }
  }

  init(name: String = "", pattern: String, pick: Pick = .last, compare: Comparison = .text) {
    (self.name, self.pattern, self.pick, self.compare) = (name, pattern, pick, compare)
  }

  package static var valueType: ValueType { .custom("rule") }

  /// `"strict"`, `"flexible"`, `"whole"`, another text as an expression, or the object.
  package static func read(
    _ json: JSONValue, over base: Self?, at place: String, by reader: RecordReader
  ) throws -> Self {
    switch json {
    case .string(let text):
      if let known = [strict, flexible, whole].first(where: { $0.name == text }) { return known }
      if let problem = AnswerExtractor.problem(of: text) { throw RecordError(.invalid, at: place, problem) }
      return Self(pattern: text)
    case .object: return try reader.read(json, over: Self(), at: place)
    case .null, .bool, .integer, .number, .array:
      throw RecordError(
        .invalid, at: place, "must be a regular expression or an object with one, and is \(json.asFound)")
    }
  }

  package func validate() throws(RecordError) {
    if let problem = AnswerExtractor.problem(of: pattern) { throw RecordError(.invalid, at: "regex", problem) }
  }
}

/// The rules of a task, compiled. Not `Sendable`, since `Regex` is not: each thread makes its own.
package struct AnswerExtractor {
  private let rules: [(rule: ExtractionRule, regex: Regex<AnyRegexOutput>)]

  package init(_ rules: [ExtractionRule]) throws(EvaluationError) {
    var compiled: [(rule: ExtractionRule, regex: Regex<AnyRegexOutput>)] = []
    for rule in rules {
      do throws(RegexProblem) {
        compiled.append((rule, try Self.compiled(rule.pattern)))
      } catch {
        throw .invalidPattern(rule: rule.name, problem: error.text)
      }
    }
    self.rules = compiled
  }

  private struct RegexProblem: Error { let text: String }

  private static func compiled(_ pattern: String) throws(RegexProblem) -> Regex<AnyRegexOutput> {
    if let excess = excess(of: pattern) { throw RegexProblem(text: excess) }
    do { return try Regex(pattern).matchingSemantics(.unicodeScalar) } catch { throw RegexProblem(text: "\(error)") }
  }

  /// As the rest of a sentence; nil where the expression can be used.
  static func problem(of pattern: String) -> String? {
    do throws(RegexProblem) { _ = try compiled(pattern) } catch {
      return "is not a valid regular expression: \(error.text)"
    }
    return nil
  }

  private static let (maximumPatternBytes, maximumBrackets, maximumCount) = (1024, 64, 1000)

  /// What `Regex` would take and choke on; nil where it would not. Its compiler calls itself for each bracket of a class
  /// and each operator between classes, and a thousand of them overflow the stack of a thread, which ends the process;
  /// and a count of a billion is tried out.
  private static func excess(of pattern: String) -> String? {
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
    if case .oneOf(let golds) = gold { return golds.contains { isEqual(answer, $0, rule) } }
    if rule.compare == .number { return isEqualNumber(answer, gold.text) }
    if case .number(let number) = gold, isEqualNumber(answer, number) { return true }
    return normalizedText(answer) == normalizedText(gold.text)
  }

  /// As lm-evaluation-harness compares them, and as numbers besides: 12.0 is 12, which is another text.
  private static func isEqualNumber(_ one: String, _ other: String) -> Bool {
    let (one, other) = (normalizedNumber(one), normalizedNumber(other))
    if one == other { return true }
    guard let one = canonicalNumber(one), let other = canonicalNumber(other) else { return false }
    return one == other
  }

  /// A decimal number without what does not change it: a plus, zeros in front and behind the fraction. As text, so that
  /// no digit of a long one is rounded away; nil for what is none.
  static func canonicalNumber(_ text: String) -> String? {
    guard let match = text.wholeMatch(of: /([+-]?)([0-9]*)(?:\.([0-9]*))?/) else { return nil }
    let whole = match.2.drop { $0 == "0" }
    var fraction = match.3 ?? ""
    guard !match.2.isEmpty || !fraction.isEmpty else { return nil }
    while fraction.last == "0" { fraction.removeLast() }
    let digits = (whole.isEmpty ? "0" : String(whole)) + (fraction.isEmpty ? "" : "." + fraction)
    return match.1 == "-" && digits != "0" ? "-" + digits : digits
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
