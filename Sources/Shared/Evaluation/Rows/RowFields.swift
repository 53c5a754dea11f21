import StrictJSON

/// The members of one row, as a shape reads them. What was asked for is remembered, so that no text of a row is dropped
/// without a word.
struct RowFields {
  /// What a field is read for.
  enum Use {
    /// It is part of what a model is asked; a template of the task's own takes its place.
    case question
    /// It is one of the choices, or all of them: scored behind the prompt, whether a template shows it or not.
    case choice
    /// It says what is right, or names the row.
    case answer
    /// The shape knows it, and it is no part of what is asked.
    case passedOver
  }

  let file: String
  let line: Int
  let members: JSONObject
  let rules: RowRules
  /// What digits mean that may be an index and a choice.
  var digits = DigitsMeaning.index
  /// Whether this row's answer would be another one by the other meaning; nil: it is none of digits.
  var reading: DigitsSeen?
  private(set) var used: [String: Use] = [:]

  /// What an answer in digits could mean.
  struct DigitsSeen: Equatable {
    var index: Int?
    var text: Int?
  }

  init(_ members: JSONObject, file: String, line: Int, rules: RowRules) {
    (self.members, self.file, self.line, self.rules) = (members, file, line, rules)
  }

  func has(_ keys: String...) -> Bool { keys.allSatisfy(holds) }

  /// Null is as good as nothing: pandas writes it for what a row does not have.
  func holds(_ key: String) -> Bool {
    switch members[key] {
    case .null?, nil: false
    case .bool, .integer, .number, .string, .array, .object: true
    }
  }

  /// The first of these that the row has.
  func first(of keys: [String]) -> String? { keys.first(where: holds) }

  mutating func pass(over keys: some Sequence<String>) {
    for key in keys { used[key] = used[key] ?? .passedOver }
  }

  mutating func value(_ key: String, for use: Use = .question) -> JSONValue? {
    used[key] = use
    return members[key]
  }

  /// - Returns: nil where the row does not have it, or it is empty.
  mutating func optionalText(_ keys: String..., for use: Use = .question) throws(TaskFileError) -> String? {
    guard let key = first(of: keys) else { return nil }
    let text = try text(key, for: use)
    return text.trimmingBlanks().isEmpty ? nil : text
  }

  mutating func text(_ key: String, for use: Use = .question) throws(TaskFileError) -> String {
    guard let text = value(key, for: use)?.stringValue else {
      throw problem(key, "must be a text, found \(members[key]?.kindName ?? "nothing")")
    }
    return text
  }

  /// The text of one choice.
  mutating func choice(_ key: String) throws(TaskFileError) -> String { try text(key, for: .choice) }

  /// A text that is not empty, with the blanks that it has: lm-evaluation-harness keeps them.
  mutating func asked(_ key: String) throws(TaskFileError) -> String {
    let text = try text(key)
    guard !text.trimmingBlanks().isEmpty else { throw problem(key, "is empty") }
    return text
  }

  /// A text that is not empty. Blanks around it are no part of it, but in what a stored task reads.
  mutating func question(_ key: String) throws(TaskFileError) -> String {
    let text = try text(key)
    guard rules.reading >= .second else { return text }
    let trimmed = text.trimmingBlanks()
    guard !trimmed.isEmpty else { throw problem(key, "is empty") }
    return trimmed
  }

  mutating func texts(
    _ key: String, _ value: JSONValue? = nil, for use: Use = .question
  ) throws(TaskFileError) -> [String] {
    let value = value ?? self.value(key, for: use)
    guard let values = value?.arrayValue else {
      throw problem(key, "must be an array, found \(value?.kindName ?? "nothing")")
    }
    var texts: [String] = []
    for (index, value) in values.enumerated() {
      guard let text = value.stringValue ?? Self.digits(of: value) else {
        throw problem(key, "must hold texts; number \(index + 1) is \(value.kindName)")
      }
      texts.append(text)
    }
    return texts
  }

  /// A number as its digits: 42, and 12.0 as 12, since a column with one gap is one of floats to pandas.
  static func digits(of value: JSONValue?) -> String? {
    switch value {
    case .integer(let number)?: "\(number)"
    case .number(let number)?: Int64(exactly: number).map { "\($0)" } ?? "\(number)"
    case .null, .bool, .string, .array, .object, nil: nil
    }
  }

  /// A text, or a number as its digits.
  mutating func word(_ key: String, for use: Use = .answer) throws(TaskFileError) -> String {
    let value = value(key, for: use)
    guard let word = value?.stringValue ?? Self.digits(of: value) else {
      throw problem(key, "must be a text or a number, found \(value?.kindName ?? "nothing")")
    }
    guard !word.trimmingBlanks().isEmpty else { throw problem(key, "is empty") }
    return word
  }

  /// A whole number: 1, 1.0 or "1".
  mutating func number(_ key: String) throws(TaskFileError) -> Int {
    let word = try word(key).trimmingBlanks()
    guard let number = Int(word) else { throw problem(key, "must be a whole number, found '\(word.excerpt)'") }
    return number
  }

  /// The row is named or labelled by these, beside what it asks.
  mutating func nameBy(_ keys: String...) {
    for key in keys { used[key] = used[key] ?? .answer }
  }

  /// Whether there are words in it: a number is none, nor are its digits in quotes.
  static func hasText(_ value: JSONValue) -> Bool {
    switch value {
    case .string(let text): !text.trimmingBlanks().isEmpty && Double(text.trimmingBlanks()) == nil
    case .array(let values): values.contains(where: hasText)
    case .object(let object): object.members.contains { hasText($0.value) }
    case .null, .bool, .integer, .number: false
    }
  }

  func problem(_ field: String, _ problem: String) -> TaskFileError {
    .field(file: file, line: line, field: field, problem: problem)
  }
}

/// How the rows of a task are read, whatever their shape.
struct RowRules {
  var reading = RowReading.current
  /// Our names of fields, and the row's own.
  var mapping: [(ours: String, theirs: String)] = []
  var ignored: Set<String> = []
  var template: PromptTemplate?
  var labels: [String]?
  var digits: DigitsMeaning?
  /// What ends the completions, which is no part of them.
  var stops: [String] = []
  /// The share of a file's rows that may be passed over.
  var skipped = TaskSettings().skippedRows
}

/// By which rules a task's rows are read. A stored task keeps those that it was registered with, so that neither its
/// prompts nor its scores change under it.
package enum RowReading: Int, Sendable, Comparable, CaseIterable {
  /// Seven shapes, fields beside them passed over, choices with the blanks that they have.
  case first = 1
  case second

  package static let current = RowReading.second

  package static func < (one: RowReading, other: RowReading) -> Bool { one.rawValue < other.rawValue }
}
