import StrictJSON

extension RowFields {
  private static let maximumChoices = 64

  /// Choices that are at least two, not too many, not empty and different ones; without the blanks around them, which are
  /// tokens of their own to a model.
  func checked(_ choices: [String], _ field: String) throws(TaskFileError) -> [String] {
    guard choices.count >= 2 else { throw problem(field, "has \(choices.count) of at least 2") }
    guard choices.count <= Self.maximumChoices else {
      throw problem(field, "has \(choices.count), at most \(Self.maximumChoices) are allowed")
    }
    let trimmed = choices.map { $0.trimmingBlanks() }
    for (index, choice) in trimmed.enumerated() {
      if choice.isEmpty { throw .emptyChoice(file: file, line: line, index: index) }
      if let first = trimmed[..<index].firstIndex(where: { UTF8Key($0) == UTF8Key(choice) }) {
        throw .equalChoices(file: file, line: line, first: first, second: index, text: choice)
      }
    }
    return rules.reading > .first ? trimmed : choices
  }

  /// `choices` or `options`, checked.
  mutating func list() throws(TaskFileError) -> [String] {
    let key = has("choices") ? "choices" : "options"
    return try checked(try texts(key, for: .choice), key)
  }

  /// `ending0` to `ending3`.
  mutating func endings() throws(TaskFileError) -> [String] {
    var endings: [String] = []
    for number in 0..<4 { endings.append(try choice("ending\(number)")) }
    return try checked(endings, "ending0")
  }

  /// What a row says before its question, with an empty line behind each part.
  mutating func background() throws(TaskFileError) -> String {
    var background = ""
    for key in ["system", "system_prompt", "instruction", "context", "passage", "article", "paragraph"] {
      if let text = try optionalText(key) { background += text.trimmingBlanks() + "\n\n" }
    }
    return background
  }

  // MARK: Which is right

  /// A number among so many.
  mutating func index(
    _ key: String, from start: Int = 0, among choices: [String]
  ) throws(TaskFileError) -> Int {
    let number = try number(key)
    guard choices.indices.contains(number - start) else {
      throw .answerNotAmongChoices(file: file, line: line, answer: "\(number)", choices: choices)
    }
    return number - start
  }

  /// `{"text": [...], "label": [...]}` or `[{"text", "label"}, ...]`, and which of them `answerKey` names; labels may be
  /// numbers.
  mutating func labelled(
    _ nested: JSONValue? = nil, _ name: String = "choices"
  ) throws(TaskFileError) -> (texts: [String], gold: Int) {
    let value = nested ?? value("choices", for: .choice)
    var (texts, labels): ([String], [String]) = ([], [])
    if let object = value?.objectValue {
      texts = try self.texts("\(name).text", object["text"] ?? .null)
      labels = try self.texts("\(name).label", object["label"] ?? .null)
      guard texts.count == labels.count else {
        throw problem(name, "has \(texts.count) texts and \(labels.count) labels")
      }
    } else {
      guard let list = value?.arrayValue else { throw problem(name, "must be {\"text\": [...], \"label\": [...]}") }
      for (index, choice) in list.enumerated() {
        let label = choice["label"]?.stringValue ?? Self.digits(of: choice["label"])
        guard let text = choice["text"]?.stringValue, let label else {
          throw problem(name, "needs a 'text' and a 'label' in choice \(index + 1)")
        }
        texts.append(text)
        labels.append(label)
      }
    }
    // Before anything that takes each of them with each other.
    texts = try checked(texts, name)
    let answer = self.value("answerKey", for: .answer)
    guard let key = (answer?.stringValue ?? Self.digits(of: answer))?.trimmingBlanks() else {
      throw problem("answerKey", "must be a label")
    }
    if let twice = labels.indices.first(where: { labels[..<$0].contains(labels[$0]) }) {
      throw problem(name, "has the label '\(labels[twice].excerpt)' twice")
    }
    guard let gold = labels.firstIndex(of: key) else {
      throw .answerNotAmongChoices(file: file, line: line, answer: key, choices: labels)
    }
    return (texts, gold)
  }

  /// `{"A": ..., "B": ...}`, and which of them the answer names, by its letter or its text.
  mutating func byLetter(_ key: String, answer: String) throws(TaskFileError) -> (texts: [String], gold: Int) {
    let options = value(key, for: .choice)?.objectValue ?? [:]
    var texts: [String] = []
    for (letter, option) in options.members {
      guard let text = option.stringValue ?? Self.digits(of: option) else {
        throw problem("\(key).\(letter.excerpt)", "must be a text")
      }
      texts.append(text)
    }
    texts = try checked(texts, key)
    let word = try word(answer).trimmingBlanks()
    let letters = options.keys
    guard let gold = letters.firstIndex(of: word) ?? texts.firstIndex(where: { UTF8Key($0) == UTF8Key(word) }) else {
      throw .answerNotAmongChoices(file: file, line: line, answer: word, choices: letters)
    }
    return (texts, gold)
  }

  /// An index from 0, a letter, or one of the choices itself. Digits may be the first and the last: what they mean is a
  /// matter of all rows, and `reading` remembers what they could.
  mutating func gold(_ key: String, among choices: [String]) throws(TaskFileError) -> Int {
    let value = value(key, for: .answer)
    let isFirst = rules.reading == .first
    if isFirst, let number = value?.integerValue {
      guard let index = Int(exactly: number), choices.indices.contains(index) else {
        throw .answerNotAmongChoices(file: file, line: line, answer: "\(number)", choices: choices)
      }
      return index
    }
    let answer = try (isFirst ? text(key, for: .answer) : word(key)).trimmingBlanks()
    let byText = choices.firstIndex { UTF8Key($0.trimmingBlanks()) == UTF8Key(answer) }
    if !isFirst, let number = Int(answer), answer.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2D }) {
      let byIndex = choices.indices.contains(number) ? number : nil
      reading = DigitsSeen(index: byIndex, text: byText)
      // Where the task says what they are, they are that; else what they can be.
      let other = rules.digits == nil ? byIndex ?? byText : nil
      guard let gold = (digits == .index ? byIndex : byText) ?? other else {
        throw .answerNotAmongChoices(file: file, line: line, answer: answer, choices: choices)
      }
      return gold
    }
    var byLetter: Int?
    if let letter = answer.utf8.first, answer.utf8.count == 1, (0x41...0x5A).contains(letter),
      Int(letter) - 0x41 < choices.count
    {
      byLetter = Int(letter) - 0x41
    }
    if let byText, let byLetter, byText != byLetter {
      throw problem(
        key, "is '\(answer.excerpt)', which is both a letter and the text of another choice; give the index")
    }
    guard let index = byLetter ?? byText else {
      throw .answerNotAmongChoices(file: file, line: line, answer: answer, choices: choices)
    }
    return index
  }
}
