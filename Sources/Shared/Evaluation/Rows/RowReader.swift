import StrictJSON

/// Reads the rows of one file. What a row is follows from its fields: `RowShape` lists what is known.
///
/// All bad rows are reported together. Of a text field that nothing reads the file is refused, unless it can hardly be a part of
/// what is asked.
struct RowReader {
  let file: String
  let maximumRows: Int
  private var rules: RowRules
  /// What the user should hear of and nothing is refused for.
  private(set) var warnings: [String] = []
  /// The meaning of answers in digits, where the rows decide it.
  private(set) var digits: DigitsMeaning?

  init(file: String, rules: RowRules = RowRules(), maximumRows: Int = 100_000) {
    self.file = file
    self.rules = rules
    self.maximumRows = maximumRows
  }

  mutating func rows(of bytes: [UInt8]) throws(TaskFileError) -> [TaskRow] {
    let written = try RowFile(TaskDefinition.Files.File(name: file, bytes: bytes), maximumRows: maximumRows)
    let mapped = try written.rows.map { row throws(TaskFileError) in
      RowFile.Row(line: row.line, object: try renamed(row))
    }
    if rules.labels == nil { rules.labels = Self.classes(of: mapped) }
    var pass = read(mapped, digits: rules.digits ?? .index)
    if rules.digits == nil, try meaning(of: pass.digits) == .text { pass = read(mapped, digits: .text) }

    let problems = (written.problems + pass.problems).sorted { $0.line ?? 0 < $1.line ?? 0 }
    let skipped = try skip(problems, of: mapped.count)
    if pass.rows.isEmpty { throw skipped.first ?? .empty(file: file) }
    if rules.reading > .first { try pass.unread.check(file, rows: mapped.count, rules: rules, warnings: &warnings) }
    return pass.rows
  }

  // MARK: Names

  /// The row with the names that `fields` gives its fields, beside those that it has, and without those to be ignored.
  private func renamed(_ row: RowFile.Row) throws(TaskFileError) -> JSONObject {
    guard !rules.mapping.isEmpty || !rules.ignored.isEmpty else { return row.object }
    var object = row.object
    for name in rules.ignored { object[name] = nil }
    for (ours, theirs) in rules.mapping {
      guard let value = Self.value(theirs, in: row.object) else { continue }
      if ours != theirs, row.object[ours] != nil, !rules.mapping.contains(where: { $0.theirs == ours }) {
        throw .field(
          file: file, line: row.line, field: ours,
          problem: "is there, and 'fields' takes '\(theirs.excerpt)' for it; name one of the two in ignore_fields")
      }
      object[ours] = value
    }
    return object
  }

  /// A member, or of nested objects one by its path: `answers.text`.
  private static func value(_ path: String, in object: JSONObject) -> JSONValue? {
    if let value = object[path] { return value }
    guard let dot = path.firstIndex(of: ".") else { return nil }
    guard let nested = object[String(path[..<dot])]?.objectValue else { return nil }
    return value(String(path[path.index(after: dot)...]), in: nested)
  }

  /// The labels of a classification in the order of their bytes; nil where the rows are none, or name too few.
  private static func classes(of rows: [RowFile.Row]) -> [String]? {
    guard let first = rows.first,
      RowShape.shape(of: RowFields(first.object, file: "", line: 0, rules: RowRules()))?.isClassification == true
    else { return nil }
    let key = first.object["label_text"] == nil ? "label" : "label_text"
    let labels = Set(rows.compactMap { $0.object[key]?.stringValue?.trimmingBlanks() })
    return labels.count > 1 && labels.count <= 64 && labels.contains { Int($0) == nil } ? labels.sorted() : nil
  }

  var labels: [String]? { rules.labels }

  // MARK: One pass

  private struct Pass {
    var rows: [TaskRow] = []
    var problems: [TaskFileError] = []
    var digits: [(line: Int, seen: RowFields.DigitsSeen)] = []
    var unread = UnreadFields()
  }

  private func read(_ rows: [RowFile.Row], digits: DigitsMeaning) -> Pass {
    var pass = Pass()
    for row in rows {
      var fields = RowFields(row.object, file: file, line: row.line, rules: rules)
      fields.digits = digits
      do throws(TaskFileError) {
        pass.rows.append(try read(&fields, isExplained: pass.problems.count < TaskFileError.shownRows))
      } catch {
        pass.problems.append(error)
        if case .answerNotAmongChoices = error, fields.reading != nil {} else { continue }
      }
      if let seen = fields.reading { pass.digits.append((row.line, seen)) }
      pass.unread.note(fields, mapping: rules.mapping)
    }
    return pass
  }

  /// `isExplained`: what is wrong will be shown, so it is worth to find out what was meant.
  private func read(_ fields: inout RowFields, isExplained: Bool) throws(TaskFileError) -> TaskRow {
    let made: RowContent
    if let shape = RowShape.shape(of: fields) {
      fields.pass(over: shape.passes)
      made = try shape.read(&fields)
    } else if let template = rules.template, template.shapeName == nil {
      made = try templated(&fields)
    } else {
      throw unknown(fields, isExplained)
    }
    // A label beside a question is what a dispatcher should answer.
    fields.nameBy("id", "task_id", "label")
    return TaskRow(
      id: Self.identifier(fields.members) ?? "\(fields.line)", line: fields.line, content: made.content,
      label: fields.members["label"]?.stringValue, fields: fields.members, solution: made.solution, form: made.form)
  }

  private static func identifier(_ row: JSONObject) -> String? {
    for key in ["id", "task_id"] {
      if let text = row[key]?.stringValue { return text }
      if let number = row[key]?.integerValue { return "\(number)" }
    }
    return nil
  }

  /// Of no known shape, but the task says itself how to ask it.
  private func templated(_ fields: inout RowFields) throws(TaskFileError) -> RowContent {
    guard let key = fields.first(of: Self.answers) else {
      throw .noAnswer(file: file, line: fields.line, keys: fields.members.keys, names: Self.answers)
    }
    let (gold, solution) = try fields.golds(key)
    return RowContent(.generate(.prompt(""), gold: gold), solution: solution)
  }

  private static let answers = [
    "answer", "completion", "output", "response", "target", "solution", "gold", "ideal", "answers", "reference",
    "label",
  ]

  private func unknown(_ fields: RowFields, _ isExplained: Bool) -> TaskFileError {
    if let name = rules.template?.shapeName {
      return .templateShape(
        file: file, line: fields.line, template: name,
        fields: RowShape.all.filter { $0.template == name }.map(\.fields), keys: fields.members.keys)
    }
    return .unknownShape(
      file: file, line: fields.line, keys: fields.members.keys,
      nearest: isExplained ? Self.help(with: fields) : nil)
  }

  /// The templates that are for such rows, or the names that would make a known shape of them.
  private static func help(with fields: RowFields) -> String? {
    let named = RowShape.all.filter { !$0.isDefault && $0.isShape(of: fields) }.compactMap(\.template)
    if named.isEmpty { return NearestShape(to: fields)?.description }
    return
      "several data sets have such rows: in task.json5 set template to \(named.map { "\"\($0)\"" }.joined(separator: " or "))"
  }

  // MARK: What is decided over all rows

  /// Digits that are both an index and the text of another choice are an index, unless in some row they can only be a text.
  /// Where every row could be read both ways, and not the same, nobody can tell.
  private mutating func meaning(
    of seen: [(line: Int, seen: RowFields.DigitsSeen)]
  ) throws(TaskFileError) -> DigitsMeaning {
    let mustBeIndex = seen.first { $0.seen.text == nil && $0.seen.index != nil }
    let mustBeText = seen.first { $0.seen.index == nil && $0.seen.text != nil }
    let differs = seen.first { $0.seen.index != nil && $0.seen.text != nil && $0.seen.index != $0.seen.text }
    switch (mustBeIndex, mustBeText) {
    case (let index?, let text?):
      // Each row for itself says what it is; a row that could be both does not.
      guard let differs else { return .index }
      throw .ambiguousDigits(file: file, line: differs.line, others: [index.line, text.line])
    case (nil, _?):
      digits = .text
      return .text
    case (_?, nil):
      digits = .index
      return .index
    case (nil, nil):
      if let differs { throw .ambiguousDigits(file: file, line: differs.line, others: []) }
      return .index
    }
  }

  /// Throws what is wrong with the rows, but where that is so little that a warning does.
  private mutating func skip(_ problems: [TaskFileError], of count: Int) throws(TaskFileError) -> [TaskFileError] {
    guard !problems.isEmpty else { return [] }
    let mayBeSkipped = problems.filter { if case .equalChoices = $0 { true } else { false } }
    let allowed = Self.skippable(rules.skipped, of: count)
    guard problems.count == mayBeSkipped.count, problems.count <= allowed, rules.reading > .first else {
      throw problems.count == 1 ? problems[0] : .rows(file: file, problems)
    }
    for problem in problems { warnings.append("\(problem); the row is passed over") }
    return problems
  }

  /// Of so many rows: a share, and one of a few.
  static func skippable(_ share: Double, of count: Int) -> Int {
    share > 0 ? max(1, Int(share * Double(count))) : 0
  }
}
