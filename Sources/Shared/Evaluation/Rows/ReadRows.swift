/// The rows of a task's files, read one file after the other by rules that the first of them completes.
struct ReadRows {
  var rules: RowRules
  private(set) var warnings: [String] = []
  private var digits: DigitsMeaning?

  init(rules: RowRules) { self.rules = rules }

  mutating func rows(of file: TaskDefinition.Files.File) throws(TaskFileError) -> [TaskRow] {
    var reader = RowReader(file: file.name, rules: rules)
    let rows = try reader.rows(of: file.bytes)
    warnings += reader.warnings
    // The few-shot rows say which classes there are: a search reads no others.
    if rules.labels == nil { rules.labels = reader.labels }
    if let found = reader.digits {
      guard digits == nil || digits == found else {
        throw .ambiguousDigits(file: file.name, line: rows.first?.line ?? 1, others: [])
      }
      digits = found
    }
    return rows
  }
}

extension RowRules {
  init(_ settings: TaskSettings, reading: RowReading) {
    self.init()
    self.reading = reading
    mapping = settings.fields?.entries.map { ($0.name, $0.value) } ?? []
    ignored = Set(settings.ignoreFields?.items ?? [])
    template = settings.template
    labels = settings.labels
    stops = settings.stop?.items ?? []
    skipped = settings.skippedRows
    digits = settings.digits
  }
}
