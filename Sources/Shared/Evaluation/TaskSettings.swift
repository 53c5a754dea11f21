import Records
package import Settings
import StrictJSON

/// What `task.json5` says; a key that is not known is an error that names the nearest known one.
package struct TaskSettings: Sendable, Equatable {
  package var description: String?
  package var license: String?
  package var scoring: Scoring?
  package var metric: Metric?
  package var template: PromptTemplate?
  package var system: String?
  /// Whether prompts go through the model's chat template; nil: rows to be generated do where the model has one.
  package var chat: Bool?
  package var maximumTokens = 256
  /// Generation ends where one of these appears; nil: see `TaskDefinition.stops(chat:)`.
  package var stop: [String]?
  /// Tried in order, the first that matches gives the answer; nil: by the kind of the gold answer.
  package var extract: [ExtractionRule]?
  /// The only model to adapt the task on.
  package var model: String?
  /// The only experts to mix; nil: all active ones of the model.
  package var experts: [String]?
  /// What is given is laid over the configuration.
  package var search = SearchSettings()

  package init() {}

  /// - Parameter file: for messages.
  package init(json5 bytes: [UInt8], file: String) throws(TaskFileError) {
    do {
      let value = try parseJSON(bytes, dialect: .json5)
      var reader = try ObjectReader(reading: value)
      try read(&reader)
    } catch let error as TaskFileError {
      throw error
    } catch {
      throw .settings(file: file, problem: "\(error)")
    }
  }

  private mutating func read(_ reader: inout ObjectReader) throws {
    description = try reader.optionalString("description")
    license = try reader.optionalString("license")
    scoring = try reader.optionalChoice("scoring")
    metric = try reader.optionalChoice("metric")
    template = try reader.optionalString("template").map { try PromptTemplate($0) }
    system = try reader.optionalString("system")
    chat = try reader.optionalBool("chat")
    maximumTokens = try reader.optionalInt("max_tokens", in: 1...65_536) ?? 256
    stop = try Self.oneOrMore("stop", &reader)
    if let empty = stop?.firstIndex(where: \.isEmpty) { throw outOfRange("stop[\(empty)]", "is empty") }
    if let rules = reader.optionalValue("extract") {
      extract = try (rules.arrayValue ?? [rules]).enumerated().map { try ExtractionRule($1, position: $0) }
      if extract?.isEmpty == true { throw outOfRange("extract", "has no rule") }
    }
    model = try reader.optionalString("model")
    experts = try Self.oneOrMore("experts", &reader)
    if experts == ["*"] { experts = nil }
    if experts?.isEmpty == true { throw outOfRange("experts", "names no expert") }
    if let json = reader.optionalValue("search") {
      search = try RecordReader(unknownMembers: .refused).read(json, over: SearchSettings(), at: "search")
    }
    try reader.finish()
    if let scoring, let metric, !metric.fits(scoring) {
      throw outOfRange(
        "metric", "is \"\(metric.rawValue)\", which does not go with the scoring \"\(scoring.rawValue)\"")
    }
  }

  private func outOfRange(_ key: String, _ problem: String) -> ObjectReaderError {
    ObjectReaderError(kind: .outOfRange, path: "", key: key, problem: "\"\(key)\" \(problem)")
  }

  /// A text, or an array of texts.
  private static func oneOrMore(_ key: String, _ reader: inout ObjectReader) throws -> [String]? {
    if let text = reader.object[key]?.stringValue {
      _ = reader.optionalValue(key)
      return [text]
    }
    return try reader.optionalStrings(key)
  }
}

/// What a score counts, by lm-evaluation-harness's names.
package enum Metric: String, Sendable, CaseIterable {
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
