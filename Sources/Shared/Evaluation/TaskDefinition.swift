package import Settings
package import Digests
import StrictJSON

/// A task as its files define it: the few-shot rows that a search may see, the rows that only a report may see, and the settings.
///
/// A value: made once from bytes, checked as a whole, and then passed around. Nothing here knows a model.
package struct TaskDefinition: Sendable {
  package let name: String
  package let settings: TaskSettings
  /// The few-shot file's rows, all of them; `settings.search.shots` says how many a search takes.
  package let shots: [TaskRow]
  /// Never read by a search.
  package let eval: [TaskRow]
  package let train: [TaskRow]
  package let scoring: Scoring
  package let metric: Metric
  /// The rules by which its rows were read.
  package let reading: RowReading
  /// Over everything that changes a result: rows without their ids, and settings, whatever the spelling of the JSON.
  package let digest: Digest
  /// Over what a search depends on: the few-shot rows and the settings. A changed eval file leaves it as it is.
  package let shotsDigest: Digest
  /// What the user should hear of and nothing is refused for.
  package let warnings: [String]

  /// The bytes of a task's files.
  package struct Files: Sendable {
    package struct File: Sendable {
      package let name: String  // for messages
      package let bytes: [UInt8]

      package init(name: String, bytes: [UInt8]) {
        self.name = name
        self.bytes = bytes
      }
    }
    package var fewshot: File
    package var eval: File?
    package var train: File?
    package var settings: File?

    package init(fewshot: File, eval: File? = nil, train: File? = nil, settings: File? = nil) {
      self.fewshot = fewshot
      self.eval = eval
      self.train = train
      self.settings = settings
    }

    /// Each with the digest of its bytes.
    package var digests: [(name: String, digest: Digest)] {
      [fewshot, eval, train, settings].compactMap { $0 }.map { ($0.name, SHA256.digest($0.bytes)) }
    }

    /// How files that were read back differ from what was stored, given as `digests`; nil where they do not. With
    /// `onlyShots` those that a search must not see were not read.
    package func difference(from stored: [(name: String, digest: String)], onlyShots: Bool = false) -> String? {
      let found = digests
      for (name, digest) in stored where !onlyShots || TaskFile.isOfSearches(name) {
        guard let file = found.first(where: { $0.name == name }) else { return "'\(name)' is missing" }
        guard file.digest.description == digest else { return "the content of '\(name)' is not what was stored" }
      }
      let extra = found.first { file in !stored.contains { $0.name == file.name } }
      return extra.map { "'\($0.name)' was not stored with it" }
    }
  }

  /// - Parameter reading: the rules by which a stored task was registered.
  package init(name: String, files: Files, reading: RowReading = .current) throws(TaskFileError) {
    guard Self.isName(name) else { throw .name(name) }
    var settings = TaskSettings()
    if let file = files.settings { settings = try TaskSettings(json5: file.bytes, file: file.name) }
    var read = ReadRows(rules: RowRules(settings, reading: reading))
    var shots = try read.rows(of: files.fewshot)
    let eval = try files.eval.map { file throws(TaskFileError) in try read.rows(of: file) } ?? []
    let train = try files.train.map { file throws(TaskFileError) in try read.rows(of: file) } ?? []

    self.name = name
    self.reading = reading
    self.settings = settings
    let repeated = try Self.checkRepetition(files, shots: &shots, eval: eval, train: train, read.rules)
    self.shots = shots
    self.eval = eval
    self.train = train
    self.scoring = settings.scoring ?? shots[0].scoring
    self.metric = settings.metric ?? Self.defaultMetric(scoring)
    if !metric.fits(scoring) {
      throw .settings(
        problem:
          "\(files.settings?.name ?? files.fewshot.name): the metric '\(metric.rawValue)' does not go with rows for "
          + "'\(scoring.rawValue)'")
    }

    let parts = [(files.fewshot.name, shots), (files.eval?.name ?? "", eval), (files.train?.name ?? "", train)]
    for (file, rows) in parts {
      for row in rows {
        if let wanted = settings.scoring, wanted != row.scoring {
          throw .scoring(file: file, line: row.line, wanted: wanted.rawValue, found: row.scoring.rawValue)
        }
        guard row.scoring == scoring else {
          throw .mixedScoring(file: file, line: row.line, first: scoring.rawValue, found: row.scoring.rawValue)
        }
        if let template = settings.template, template.shapeName == nil { _ = try template.render(row, file: file) }
      }
    }
    warnings = read.warnings + repeated + Self.commonEnding(shots, settings)

    // The settings count as they are written, so that a new key needs no new rule here.
    let written =
      files.settings.flatMap { try? parseJSON($0.bytes, dialect: .json5) }.map(Self.canonical) ?? .object([:])
    func rowsText(_ rows: [TaskRow]) -> JSONValue { .array(rows.map { Self.canonicalContent($0) }) }
    shotsDigest = SHA256.digest(JSONValue.array([written, rowsText(shots)]).serialized())
    digest = SHA256.digest(
      JSONValue.array([written, rowsText(shots), rowsText(eval), rowsText(train)]).serialized())
  }

  /// Letters, digits, '_', '-' and '.', beginning with a letter or digit: it becomes a file's name.
  package static func isName(_ name: String) -> Bool {
    let bytes = name.utf8
    guard (1...64).contains(bytes.count), let first = bytes.first, isAlphanumeric(first) else { return false }
    return bytes.allSatisfy {
      isAlphanumeric($0) || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".")
    }
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
  }

  private static func defaultMetric(_ scoring: Scoring) -> Metric {
    switch scoring {
    case .choice: .acc
    case .generate: .exactMatch
    case .code: .passAt1
    }
  }

  // MARK: Repetition

  /// A few-shot row counts once, and may never stand in the eval file, nor may a training row. Repetitions within the eval or the
  /// training file only shift weights; published sets have some, so they are warnings.
  private static func checkRepetition(
    _ files: Files, shots: inout [TaskRow], eval: [TaskRow], train: [TaskRow], _ rules: RowRules
  ) throws(TaskFileError) -> [String] {
    var warnings: [String] = []
    var lines: [String: Int] = [:]
    var again: [TaskFileError] = []
    let count = shots.count
    let file = files.fewshot.name
    shots.removeAll { row in
      guard let other = lines[identity(row)] else {
        lines[identity(row)] = row.line
        return false
      }
      again.append(.duplicate(file: file, line: row.line, otherFile: file, otherLine: other))
      return true
    }
    let allowed = rules.reading > .first ? RowReader.skippable(rules.skipped, of: count) : 0
    if again.count > allowed { throw again.count == 1 ? again[0] : .rows(file: file, again) }
    for row in again {
      warnings.append("\(file), line \(row.line ?? 0): the same row stands there twice; it is passed over")
    }
    var evalLines: [String: Int] = [:]
    var repeated = 0
    for row in eval where evalLines.updateValue(row.line, forKey: identity(row)) != nil { repeated += 1 }
    if let file = files.eval, repeated > 0 { warnings.append("\(file.name) has \(repeated) rows twice") }
    for (file, rows) in [(files.fewshot, shots), (files.train ?? files.fewshot, train)] {
      for row in rows {
        guard let line = evalLines[identity(row)] else { continue }
        throw .leak(file: file.name, line: row.line, evalFile: files.eval?.name ?? "", evalLine: line)
      }
    }
    var trainLines: Set<String> = []
    repeated = 0
    for row in train where !trainLines.insert(identity(row)).inserted { repeated += 1 }
    if let file = files.train, repeated > 0 { warnings.append("\(file.name) has \(repeated) rows twice") }
    return warnings
  }

  /// What makes two rows the same: what is asked, and the choices in any order, without regard to case and white space.
  /// Choices count because published sets have generic questions ("Which of these is a mixture?") that differ only in them.
  private static func identity(_ row: TaskRow) -> String {
    func normal(_ text: String) -> String {
      text.lowercased().split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }
    switch row.content {
    case .choice(let question, let choices, _):
      return ([normal(question)] + choices.map(normal).sorted()).joined(separator: "\u{1F}")
    case .generate(.question(let text), _), .generate(.prompt(let text), _):
      return normal(text)
    case .generate(.messages(let messages), _):
      return messages.map { normal($0.content) }.joined(separator: "\u{1F}")
    case .code(let problem):
      return normal(problem.prompt)
    }
  }

  /// Completions that all end in the same word, as OpenAI's first fine-tuning wanted it: a model that is right and says
  /// no more than the answer would never be found right.
  private static func commonEnding(_ shots: [TaskRow], _ settings: TaskSettings) -> [String] {
    guard settings.stop == nil, shots.count > 1, case .generate(.prompt, _) = shots[0].content else { return [] }
    let words = shots.map { $0.solution?.split(whereSeparator: \.isWhitespace) ?? [] }
    guard let last = words[0].last, words.allSatisfy({ $0.count > 1 && $0.last == last }), Set(words).count > 1 else {
      return []
    }
    return [
      "every completion ends in '\(String(last).excerpt)'; if that ends an answer and is no part of it, set stop: "
        + "[\" \(String(last).excerpt)\"] in task.json5"
    ]
  }

  // MARK: Digest

  private static func canonicalContent(_ row: TaskRow) -> JSONValue {
    var fields = row.fields
    fields["id"] = nil
    fields["task_id"] = nil
    return canonical(.object(fields))
  }

  /// The same value with the members of every object sorted by their UTF-8 bytes.
  private static func canonical(_ value: JSONValue) -> JSONValue {
    switch value {
    case .object(let object):
      var sorted = JSONObject()
      for (key, value) in object.members.sorted(by: { UTF8Key($0.key) < UTF8Key($1.key) }) {
        sorted[key] = canonical(value)
      }
      return .object(sorted)
    case .array(let values): return .array(values.map(canonical))
    case .null, .bool, .integer, .number, .string: return value
    }
  }
}
