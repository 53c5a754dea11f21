import StrictJSON

/// The text fields of a file that nothing reads. Of a question nothing may be dropped in silence: a passage that is left out makes
/// every score wrong, and looks as right as any other.
struct UnreadFields {
  private struct Field {
    var rows = 0
    /// How often each value occurs, by its hash.
    var values: [Int: Int] = [:]
    var firstLine: Int
    /// The shape of the rows says that it is no part of what is asked.
    var isKnown: Bool
  }

  private var fields: [String: Field] = [:]
  private var order: [String] = []

  /// Names that say of a field that it is no part of a question.
  private static let bookkeeping: Set<String> = [
    "id", "_id", "ids", "uid", "uuid", "guid", "idx", "ind", "index", "no", "nr", "number", "qid", "question_id",
    "task_id",
    "example_id", "source_id", "sample_id", "row_id", "prompt_id", "doc_id", "document_id", "problem_id",
    "conversation_id",
    "source", "sources", "src", "data_source", "subject", "subset", "category", "categories", "topic", "topics",
    "domain", "field",
    "type", "question_type", "kind", "difficulty", "level", "grade", "year", "split", "fold", "url", "urls", "link",
    "links",
    "license", "licence", "lang", "language", "locale", "dataset", "dataset_name", "config", "created", "created_at",
    "updated_at",
    "timestamp", "date", "time", "author", "annotator", "annotator_id", "worker_id", "metadata", "meta", "tags", "tag",
    "keywords",
    "file", "filename", "file_name", "path", "version", "hash", "sha256", "md5", "score", "rating", "quality",
    "comment", "note",
    "notes",
  ]

  mutating func note(_ row: RowFields, mapping: [(ours: String, theirs: String)]) {
    let asked = row.rules.template.map { Set($0.shapeName == nil ? $0.fields : []) } ?? []
    let replaces = row.rules.template.map { $0.shapeName == nil } ?? false
    for (key, value) in row.members.members where RowFields.hasText(value) {
      if asked.contains(key) { continue }
      // What a field is named by the task is read under that name.
      if mapping.contains(where: { $0.theirs == key || $0.theirs.hasPrefix(key + ".") }) { continue }
      switch row.used[key] {
      case .answer?, .choice?: continue
      // A template of the task's own takes the place of the question, so what it does not name is not asked.
      case .question?:
        if !replaces { continue }
      case .passedOver?, nil: break
      }
      if fields[key] == nil {
        fields[key] = Field(firstLine: row.line, isKnown: row.used[key] == .passedOver)
        order.append(key)
      }
      fields[key]?.rows += 1
      fields[key]?.values[value.jsonText.hashValue, default: 0] += 1
    }
  }

  func check(
    _ file: String, rows: Int, rules: RowRules, warnings: inout [String]
  ) throws(TaskFileError) {
    var passed: [String] = []
    var refused: [(name: String, line: Int)] = []
    for name in order {
      guard let field = fields[name] else { continue }
      let most = field.values.values.max() ?? 0
      let lowered = name.lowercased()
      if field.isKnown || Self.bookkeeping.contains(lowered) || lowered.hasSuffix("_id") {
        passed.append("'\(name.excerpt)'")
      } else if rows > 1, most * 10 >= rows * 9 {
        passed.append("'\(name.excerpt)' (the same in \(most) of \(rows) rows)")
      } else {
        refused.append((name, field.firstLine))
      }
    }
    if let first = refused.first {
      throw .unreadFields(file: file, line: first.line, fields: refused.map(\.name))
    }
    if !passed.isEmpty { warnings.append("\(file): not read: \(passed.joined(separator: ", "))") }
  }
}
