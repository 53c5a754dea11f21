import StrictJSON

/// Reads the rows of one `.jsonl` file. What a row is follows from its keys; the first shape that fits is taken.
///
/// ```
/// {"messages": [{"role", "content"}, ...]}                                   the last assistant turn is the answer
/// {"question", "choices": {"text": [...], "label": [...]}, "answerKey"}      ARC
/// {"question": {"stem", "choices": [{"text", "label"}]}, "answerKey"}        ARC as published
/// {"question", "choices": [...], "answer": 0-based index or letter}          MMLU
/// {"prompt", "test", "entry_point"}                                          HumanEval
/// {"text" or "prompt", "test_list": [...]}                                   MBPP
/// {"question", "answer"}   {"prompt", "completion"}   {"input", "output"}    to be generated; GSM8K where "#### n" stands in it
/// ```
struct RowReader {
  let file: String
  let maximumRows: Int
  private var line = 0
  private var row = JSONObject()

  private static let maximumChoices = 64

  init(file: String, maximumRows: Int = 100_000) {
    self.file = file
    self.maximumRows = maximumRows
  }

  mutating func rows(of bytes: [UInt8]) throws(TaskFileError) -> [TaskRow] {
    var rows: [TaskRow] = []
    for item in JSONLines(bytes) {
      switch item.value {
      case .failure(let error):
        throw .json(file: file, line: item.number, problem: "\(error.problem) (column \(error.column))")
      case .success(let value):
        guard let object = value.objectValue else {
          throw .notAnObject(file: file, line: item.number, found: value.kindName)
        }
        guard rows.count < maximumRows else { throw .tooManyRows(file: file, allowed: maximumRows) }
        rows.append(try read(object, line: item.number))
      }
    }
    if rows.isEmpty { throw .empty(file: file) }
    return rows
  }

  mutating func read(_ object: JSONObject, line: Int) throws(TaskFileError) -> TaskRow {
    self.line = line
    row = object
    return TaskRow(
      id: identifier() ?? "\(line)", line: line, content: try content(), label: row["label"]?.stringValue, fields: row)
  }

  private func identifier() -> String? {
    for key in ["id", "task_id"] {
      if let text = row[key]?.stringValue { return text }
      if let number = row[key]?.integerValue { return "\(number)" }
    }
    return nil
  }

  private func has(_ keys: String...) -> Bool { keys.allSatisfy { row[$0] != nil } }

  private func content() throws(TaskFileError) -> TaskRow.Content {
    if has("messages") { return try chat() }
    if has("question", "answerKey") { return try arc() }
    if has("question", "choices", "answer") { return try multipleChoice() }
    if has("prompt", "test", "entry_point") {
      return .code(
        CodeProblem(
          prompt: try text("prompt"), tests: [try text("test")], entryPoint: try text("entry_point"),
          solution: row["canonical_solution"]?.stringValue))
    }
    if has("test_list"), has("text") || has("prompt") {
      let imports = row["test_imports"] == nil ? [] : try texts("test_imports", row["test_imports"])
      let setUp = [row["test_setup_code"]?.stringValue].compactMap(\.self)
      return .code(
        CodeProblem(
          prompt: try text(has("text") ? "text" : "prompt"), tests: try texts("test_list", row["test_list"]),
          entryPoint: nil, solution: row["code"]?.stringValue, setUp: (imports + setUp).joined(separator: "\n")))
    }
    if has("question", "answer") {
      return .generate(.question(try text("question")), gold: GoldAnswer(try answer("answer")))
    }
    for (asked, answered) in [("prompt", "completion"), ("input", "output")] where has(asked, answered) {
      return .generate(.prompt(try text(asked)), gold: GoldAnswer(try answer(answered)))
    }
    throw .unknownShape(file: file, line: line, keys: row.keys)
  }

  // MARK: Rows to be generated

  private func chat() throws(TaskFileError) -> TaskRow.Content {
    guard let values = row["messages"]?.arrayValue else { throw problem("messages", "must be an array") }
    var messages: [PromptMessage] = []
    for (index, value) in values.enumerated() {
      guard let role = value["role"]?.stringValue, let content = value["content"]?.stringValue else {
        throw problem("messages", "needs a 'role' and a 'content', both texts, in message \(index + 1)")
      }
      guard ["system", "user", "assistant"].contains(role) else {
        throw problem(
          "messages", "has the role '\(role.excerpt)' in message \(index + 1); system, user and assistant are known")
      }
      messages.append(PromptMessage(role: role, content: content))
    }
    guard let last = messages.popLast(), last.role == "assistant" else {
      throw problem("messages", "must end with the assistant's message, which is the right answer")
    }
    guard messages.last?.role == "user" else {
      throw problem("messages", "needs a user's message before the assistant's last")
    }
    return .generate(.messages(messages), gold: GoldAnswer(last.content))
  }

  /// A text or a number: `"answer": 42` is as good as `"answer": "42"`.
  private func answer(_ key: String) throws(TaskFileError) -> String {
    switch row[key] {
    case .integer(let value): return "\(value)"
    case .number(let value): return "\(value)"
    default: break
    }
    let text = try text(key)
    guard !text.trimmingBlanks().isEmpty else { throw problem(key, "is empty") }
    return text
  }

  // MARK: Rows with choices

  private func arc() throws(TaskFileError) -> TaskRow.Content {
    let question: String
    var texts: [String]
    let labels: [String]
    if let nested = row["question"]?.objectValue {
      guard let stem = nested["stem"]?.stringValue else { throw problem("question.stem", "must be a text") }
      question = stem
      (texts, labels) = try labelled(nested["choices"] ?? row["choices"], "question.choices")
    } else {
      question = try text("question")
      (texts, labels) = try labelled(row["choices"], "choices")
    }
    // Before anything that takes each of them with each other.
    texts = try checked(texts)
    let key = row["answerKey"]?.stringValue ?? row["answerKey"]?.integerValue.map { "\($0)" }
    guard let key else { throw problem("answerKey", "must be a label") }
    if let twice = labels.indices.first(where: { labels[..<$0].contains(labels[$0]) }) {
      throw problem("choices", "has the label '\(labels[twice].excerpt)' twice")
    }
    guard let gold = labels.firstIndex(of: key) else {
      throw .answerNotAmongChoices(file: file, line: line, answer: key, choices: labels)
    }
    return .choice(question: question, choices: texts, gold: gold)
  }

  /// `{"text": [...], "label": [...]}` or `[{"text", "label"}, ...]`; labels may be numbers.
  private func labelled(_ value: JSONValue?, _ name: String) throws(TaskFileError) -> ([String], [String]) {
    if let object = value?.objectValue {
      let found = try texts("\(name).text", object["text"])
      let labels = try texts("\(name).label", object["label"])
      guard found.count == labels.count else {
        throw problem(name, "has \(found.count) texts and \(labels.count) labels")
      }
      return (found, labels)
    }
    guard let list = value?.arrayValue else { throw problem(name, "must be {\"text\": [...], \"label\": [...]}") }
    var found: [String] = []
    var labels: [String] = []
    for (index, choice) in list.enumerated() {
      let label = choice["label"]?.stringValue ?? choice["label"]?.integerValue.map { "\($0)" }
      guard let text = choice["text"]?.stringValue, let label else {
        throw problem(name, "needs a 'text' and a 'label' in choice \(index + 1)")
      }
      found.append(text)
      labels.append(label)
    }
    return (found, labels)
  }

  private func multipleChoice() throws(TaskFileError) -> TaskRow.Content {
    let question = try text("question")
    let choices = try checked(try texts("choices", row["choices"]))
    return .choice(question: question, choices: choices, gold: try gold(choices))
  }

  /// A 0-based index, a letter, or one of the choices itself.
  private func gold(_ choices: [String]) throws(TaskFileError) -> Int {
    if let number = row["answer"]?.integerValue {
      guard let index = Int(exactly: number), choices.indices.contains(index) else {
        throw .answerNotAmongChoices(file: file, line: line, answer: "\(number)", choices: choices)
      }
      return index
    }
    let answer = try text("answer").trimmingBlanks()
    let byText = choices.firstIndex { UTF8Key($0.trimmingBlanks()) == UTF8Key(answer) }
    var byLetter: Int?
    if let letter = answer.utf8.first, answer.utf8.count == 1, (0x41...0x5A).contains(letter),
      Int(letter) - 0x41 < choices.count
    {
      byLetter = Int(letter) - 0x41
    }
    if let byText, let byLetter, byText != byLetter {
      throw problem(
        "answer", "is '\(answer.excerpt)', which is both a letter and the text of another choice; give the index")
    }
    guard let index = byLetter ?? byText else {
      throw .answerNotAmongChoices(file: file, line: line, answer: answer, choices: choices)
    }
    return index
  }

  private func checked(_ choices: [String]) throws(TaskFileError) -> [String] {
    guard choices.count >= 2 else { throw problem("choices", "has \(choices.count) of at least 2") }
    guard choices.count <= Self.maximumChoices else {
      throw problem("choices", "has \(choices.count), at most \(Self.maximumChoices) are allowed")
    }
    let trimmed = choices.map { $0.trimmingBlanks() }
    for (index, choice) in trimmed.enumerated() {
      if choice.isEmpty { throw .emptyChoice(file: file, line: line, index: index) }
      if let first = trimmed[..<index].firstIndex(where: { UTF8Key($0) == UTF8Key(choice) }) {
        throw .equalChoices(file: file, line: line, first: first, second: index, text: choice)
      }
    }
    return choices
  }

  // MARK: Parts

  private func text(_ key: String) throws(TaskFileError) -> String {
    guard let text = row[key]?.stringValue else {
      throw problem(key, "must be a text, found \(row[key]?.kindName ?? "nothing")")
    }
    return text
  }

  private func texts(_ name: String, _ value: JSONValue?) throws(TaskFileError) -> [String] {
    guard let values = value?.arrayValue else {
      throw problem(name, "must be an array, found \(value?.kindName ?? "nothing")")
    }
    var texts: [String] = []
    for (index, value) in values.enumerated() {
      guard let text = value.stringValue ?? value.integerValue.map({ "\($0)" }) else {
        throw problem(name, "must hold texts; number \(index + 1) is \(value.kindName)")
      }
      texts.append(text)
    }
    return texts
  }

  private func problem(_ field: String, _ problem: String) -> TaskFileError {
    .field(file: file, line: line, field: field, problem: problem)
  }
}
