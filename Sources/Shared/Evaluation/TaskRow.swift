package import Settings
import Records
package import StrictJSON

/// One example of a task: what is asked and what is right.
package struct TaskRow: Sendable, Equatable {
  package enum Content: Sendable, Equatable {
    /// `gold` is the index of the right choice.
    case choice(question: String, choices: [String], gold: Int)
    /// `gold` is what the generated text is compared with.
    case generate(Request, gold: GoldAnswer)
    case code(CodeProblem)
  }

  /// What a row to be generated asks.
  package enum Request: Sendable, Equatable {
    /// A question, in lm-evaluation-harness's form where there is no chat template.
    case question(String)
    /// A text as it is.
    case prompt(String)
    case messages([PromptMessage])
  }

  /// The row's `id` or `task_id`, or its line number.
  package let id: String
  /// From 1, in the file it came from.
  package let line: Int
  package let content: Content
  /// The label that a dispatcher should give to the row, if the row says.
  package let label: String?
  /// Everything the row says, for templates and the digest.
  package let fields: JSONObject

  /// The number of the right choice; nil where there are none.
  package var gold: Int? {
    guard case .choice(_, _, let gold) = content else { return nil }
    return gold
  }

  /// The right answer as the row writes it, with the way to it where that is there; nil where it is one of choices.
  package let solution: String?
  /// How the row is put to a model; nil: as its content says.
  package let form: RowForm?

  package var scoring: Scoring {
    switch content {
    case .choice: .choice
    case .generate: .generate
    case .code: .code
    }
  }
}

package struct PromptMessage: Sendable, Equatable {
  package let role: String
  package let content: String

  package init(role: String, content: String) {
    self.role = role
    self.content = content
  }
}

/// A problem whose answer is a program, judged by running it.
package struct CodeProblem: Sendable, Equatable {
  package let prompt: String
  package let tests: [String]
  package let entryPoint: String?  // HumanEval
  package let solution: String?
  /// What stands before a solution: MBPP's `test_imports` and `test_setup_code`.
  package var setUp = ""
}

/// The right answer of a row whose answer is generated.
package enum GoldAnswer: Sendable, Equatable {
  /// A number as the row writes it; compared after lm-evaluation-harness's normalisation.
  case number(String)
  case text(String)
  /// Each of them is right; the first is shown.
  case oneOf([GoldAnswer])

  package var text: String {
    switch self {
    case .number(let text), .text(let text): text
    case .oneOf(let answers): answers.first?.text ?? ""
    }
  }

  /// One of these, of which equal ones count once.
  package init(oneOf answers: [String]) {
    var golds: [GoldAnswer] = []
    for answer in answers.lazy.map({ GoldAnswer($0) }) where !golds.contains(answer) { golds.append(answer) }
    self = golds.count == 1 ? golds[0] : .oneOf(golds)
  }

  /// What stands after the last `####`, as in GSM8K; else the number, where the answer is one, with a unit or without
  /// ("42", "$1,200", "42 apples"); else the text.
  package init(_ answer: String) {
    if let mark = answer.ranges(of: "####").last {
      let rest = answer[mark.upperBound...].trimmingBlanks()
      self = Self.leadingNumber(rest).map { .number($0) } ?? .text(rest)
      return
    }
    let trimmed = answer.trimmingBlanks()
    self = Self.leadingNumber(trimmed).map { .number($0) } ?? .text(trimmed)
  }

  /// The number that a text begins with, if it holds no other one ("12 + 3" and "Apollo 11" are texts) and the number
  /// is a word of its own ("3D" is a text).
  private static func leadingNumber(_ text: String) -> String? {
    let numbers = text.matches(of: /-?\$?[0-9][0-9,]*(\.[0-9]+)?/.matchingSemantics(.unicodeScalar))
    guard numbers.count == 1, let number = numbers.first, number.range.lowerBound == text.startIndex else { return nil }
    if let next = text[number.range.upperBound...].unicodeScalars.first, next.properties.isAlphabetic || next == "/" {
      return nil
    }
    return String(number.output.0)
  }
}

extension StringProtocol {
  /// Without white space at either end.
  func trimmingBlanks() -> String {
    var scalars = Substring(trimmingTrailingBlanks()).unicodeScalars
    while let first = scalars.first, first.properties.isWhitespace { scalars.removeFirst() }
    return String(scalars)
  }

  func trimmingTrailingBlanks() -> String {
    var scalars = Substring(self).unicodeScalars
    while let last = scalars.last, last.properties.isWhitespace { scalars.removeLast() }
    return String(scalars)
  }
}
