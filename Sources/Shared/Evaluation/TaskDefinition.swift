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

  package init(name: String, files: Files) throws(TaskFileError) {
    guard Self.isName(name) else { throw .name(name) }
    var settings = TaskSettings()
    if let file = files.settings { settings = try TaskSettings(json5: file.bytes, file: file.name) }
    let shots = try Self.rows(files.fewshot)
    let eval = try files.eval.map { file throws(TaskFileError) in try Self.rows(file) } ?? []
    let train = try files.train.map { file throws(TaskFileError) in try Self.rows(file) } ?? []

    self.name = name
    self.settings = settings
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
        if let template = settings.template { _ = try template.render(row, file: file) }
      }
    }
    warnings = try Self.checkRepetition(files, shots: shots, eval: eval, train: train)

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

  private static func rows(_ file: Files.File) throws(TaskFileError) -> [TaskRow] {
    var reader = RowReader(file: file.name)
    return try reader.rows(of: file.bytes)
  }

  private static func defaultMetric(_ scoring: Scoring) -> Metric {
    switch scoring {
    case .choice: .acc
    case .generate: .exactMatch
    case .code: .passAt1
    }
  }

  // MARK: Repetition

  /// A few-shot row may stand once only and never in the eval file, nor may a training row. Repetitions within the eval or the
  /// training file only shift weights; published sets have some, so they are warnings.
  private static func checkRepetition(
    _ files: Files, shots: [TaskRow], eval: [TaskRow], train: [TaskRow]
  ) throws(TaskFileError) -> [String] {
    var warnings: [String] = []
    var lines: [String: Int] = [:]
    for row in shots {
      if let other = lines.updateValue(row.line, forKey: identity(row)) {
        throw .duplicate(file: files.fewshot.name, line: row.line, otherFile: files.fewshot.name, otherLine: other)
      }
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
