import FileKinds
package import Records
package import Settings
import StrictJSON

/// What `task.json5` says: t2-task(5).
package struct TaskSettings: Record {
  @Setting("what the task is about, for people") package var description: String?
  @Setting("licence of the rows, for people") package var license: String?
  @Setting("how rows are scored; default by their shape") package var scoring: Scoring?
  @Setting("what a score counts; default acc for choice, exact_match for generate, pass@1 for code")
  package var metric: Metric?
  @Setting("prompt of a row, with the row's members in braces, such as {question}; default by the row's shape")
  package var template: PromptTemplate?
  @Setting("names under which rows have their fields, by the names of a shape, such as { answer: \"label\" }")
  package var fields: ByName<String>?
  @Setting("fields of rows to be passed over; default none") package var ignoreFields: OneOrMore<String>?
  @Setting("what an answer in digits means among choices that are numbers; default by the rule in Answers")
  package var digits: DigitsMeaning?
  @Setting("names of the classes of rows with text and label, in the order of their numbers") package var labels:
    [String]?
  @Setting(
    "share of a file's rows that may be passed over as repeated or with equal choices, and at least one row", 0.0...1.0)
  package var skippedRows = 0.1
  @Setting("system prompt") package var system: String?
  @Setting("put prompts through the model's chat template; default true for generate where the model has one")
  package var chat: Bool?
  @Included package var chatOptions = ChatOptions()
  @Setting("maximum number of generated tokens", 1...65_536, name: "max_tokens") package var maximumTokens = 256
  /// See `TaskDefinition.stops(chat:)`.
  @Setting("texts before which generation ends; default by the kind of the rows") package var stop: OneOrMore<String>?
  /// The first that matches gives the answer.
  @Setting("rules that find the answer in a generated text, tried in order; default strict and flexible for a number")
  package var extract: OneOrMore<ExtractionRule>?
  @Setting("only model that the task is adapted on; default every model with active experts") package var model: String?
  @Setting("only experts that are mixed; default *, all active ones") package var experts: OneOrMore<String>?
  /// What is given is laid over the configuration.
  @Setting("settings of the task's searches, over those of the configuration") package var search = SearchSettings()

  package init() {}

  /// - Parameter file: for messages.
  package init(json5 bytes: [UInt8], file: String) throws(TaskFileError) {
    let value: JSONValue
    if let kind = FileKind(beginning: bytes), kind != .empty { throw .settings(problem: "\(file): this is \(kind)") }
    do { value = try parseJSON(bytes, dialect: .json5) } catch { throw .settings(problem: "\(file): \(error)") }
    do throws(RecordError) { self = try RecordReader(unknownMembers: .refused).read(value) } catch {
      throw .settings(problem: error.description(of: file))
    }
  }

  package mutating func validate() throws(RecordError) {
    if let empty = stop?.items.firstIndex(where: \.isEmpty) {
      throw RecordError(.invalid, at: "stop[\(empty)]", "is an empty string")
    }
    if let count = extract?.items.count {
      if count == 0 { throw RecordError(.invalid, at: "extract", "is an empty list") }
      for index in 0..<count where extract?.items[index].name == "" { extract?.items[index].name = "rule\(index + 1)" }
    }
    if experts == ["*"] { experts = nil }
    if experts == [] { throw RecordError(.invalid, at: "experts", "is an empty list") }
    if let scoring, let metric, !metric.fits(scoring) {
      throw RecordError(
        .invalid, at: "metric", "is '\(metric.rawValue)', which does not go with the scoring '\(scoring.rawValue)'")
    }
  }
}

/// What an answer means that is digits, among choices that are numbers: `"choices": ["4", "2", "1"], "answer": 1`.
package enum DigitsMeaning: String, Choice {
  /// The second choice.
  case index
  /// The choice "1".
  case text
}

/// What a score counts, by lm-evaluation-harness's names.
package enum Metric: String, Choice {
  /// The choice of the highest summed log-probability.
  case acc
  /// The same, divided by the characters of the choice.
  case accNorm = "acc_norm"
  /// The extracted answer equals the gold answer.
  case exactMatch = "exact_match"
  /// The program passes its tests.
  case passAt1 = "pass@1"

  package func fits(_ scoring: Scoring) -> Bool {
    switch (self, scoring) {
    case (.acc, .choice), (.accNorm, .choice), (.exactMatch, .generate), (.passAt1, .code): true
    case (.acc, _), (.accNorm, _), (.exactMatch, _), (.passAt1, _): false
    }
  }
}
