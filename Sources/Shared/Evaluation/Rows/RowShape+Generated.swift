import StrictJSON

extension RowShape {
  /// Rows whose answer is generated.
  static let generated = [
    RowShape(
      fields: "instruction, output", summary: "An instruction with or without input, as in Alpaca.",
      passes: ["text"]
    ) { (row) throws(TaskFileError) in
      // `text` of Alpaca's rows is all of the row in its prompt.
      try instructed(&row, context: "input", answer: "output")
    },
    RowShape(
      fields: "instruction, response", summary: "An instruction with or without context, as in Dolly."
    ) { (row) throws(TaskFileError) in try instructed(&row, context: "context", answer: "response") },
    RowShape(
      fields: "context/passage, question, answer/answers",
      summary: "A question on a text, as in SQuAD; each of several answers is right.",
      passes: ["is_impossible", "answer_start"], template: "harness/squadv2"
    ) { (row) throws(TaskFileError) in
      let context = try row.asked(row.has("context") ? "context" : "passage")
      let title = try row.optionalText("title")
      let question = try row.asked("question")
      let (gold, solution) = try row.golds(row.has("answer") ? "answer" : "answers")
      let text =
        (title.map { "Title: \($0)\n\n" } ?? "") + "Background: \(context)\n\nQuestion: \(question)\n\nAnswer:"
      return RowContent(
        .generate(.question(question), gold: gold), form: RowForm(name: "harness/squadv2", text: text, stops: ["\n"]),
        solution: solution)
    },
    RowShape(
      fields: "question, answer", summary: "A trivia question, as in TriviaQA: each alias is right.",
      passes: ["entity_pages", "search_results", "question_source"], template: "harness/triviaqa",
      fits: { $0.members["answer"]?["aliases"] != nil || $0.members["answer"]?["value"] != nil }
    ) { (row) throws(TaskFileError) in
      try trivia(&row, "harness/triviaqa") { "Question: \($0)?\nAnswer:" }
    },
    RowShape(
      fields: "question, answer", summary: "A question with several right answers, as in NQ Open.",
      template: "harness/nq_open", fits: { $0.members["answer"]?.arrayValue?.isEmpty == false }
    ) { (row) throws(TaskFileError) in
      try trivia(&row, "harness/nq_open") { "Answer these questions:\n\nQ: \($0)?\nA:" }
    },
    RowShape(
      fields: "question, answer", summary: "A question; where '#### n' stands in the answer, n is right, as in GSM8K.",
      passes: ["original_question"], since: .first, template: "harness/gsm8k"
    ) { (row) throws(TaskFileError) in try questioned(&row, "question", answer: "answer") },
    RowShape(
      fields: "problem, solution",
      summary: "A problem of mathematics, as in MATH: what the last \\boxed{} holds is right.",
      passes: ["answer"], template: "harness/minerva_math"
    ) { (row) throws(TaskFileError) in
      let problem = try row.asked("problem")
      let solution = try row.text("solution", for: .answer)
      let gold = try row.optionalText("answer", for: .answer) ?? BoxedAnswer(lastIn: solution)?.content ?? solution
      return RowContent(
        .generate(.question(problem), gold: GoldAnswer(gold)),
        form: RowForm(
          name: "harness/minerva_math", text: "Problem:\n\(problem)\n\nSolution:", stops: ["Problem:"],
          extract: [.boxed, .flexible]),
        solution: solution)
    },
    RowShape(
      fields: "question/query/problem, response/answer/output", summary: "A question and its answer under other names."
    ) { (row) throws(TaskFileError) in
      try questioned(
        &row, row.first(of: ["question", "query", "problem"]) ?? "",
        answer: row.first(of: ["answer", "response", "output"]) ?? "")
    },
    RowShape(
      fields: "prompt, completion/response", summary: "A text and what continues it.", since: .first
    ) { (row) throws(TaskFileError) in
      try continued(&row, "prompt", answer: row.has("completion") ? "completion" : "response")
    },
    RowShape(
      fields: "input, output/target", summary: "A text and what is made of it.", since: .first
    ) { (row) throws(TaskFileError) in try continued(&row, "input", answer: row.has("output") ? "output" : "target") },
  ]

  /// A question with several right answers, of which a model says one in a few words.
  private static func trivia(
    _ row: inout RowFields, _ name: String, text: (_ question: String) -> String
  ) throws(TaskFileError) -> RowContent {
    let question = try row.asked("question")
    let (gold, solution) = try row.golds("answer")
    return RowContent(
      .generate(.question(question), gold: gold),
      form: RowForm(name: name, text: text(question), stops: ["\n", ".", ","]), solution: solution)
  }

  /// A question, after the instruction and the system's text that it has beside it.
  private static func questioned(
    _ row: inout RowFields, _ key: String, answer: String
  ) throws(TaskFileError) -> RowContent {
    let question = try row.question(key)
    let (gold, solution) = try row.golds(answer)
    guard row.rules.reading > .first else {
      return RowContent(.generate(.question(question), gold: gold), solution: solution)
    }
    let system = try row.optionalText("system", "system_prompt")
    let instruction = try row.optionalText("instruction")
    let context = try row.optionalText("context", "passage", "article", "paragraph")
    let asked = [instruction, context, question].compactMap(\.self).joined(separator: "\n\n")
    guard system != nil || asked != question else {
      return RowContent(.generate(.question(question), gold: gold), solution: solution)
    }
    let before = [system, instruction, context].compactMap { $0.map { $0 + "\n\n" } }.joined()
    let turns =
      (system.map { [PromptMessage(role: "system", content: $0)] } ?? []) + [.init(role: "user", content: asked)]
    return RowContent(
      .generate(.question(question), gold: gold),
      form: RowForm(
        name: [
          system.map { _ in "{system}" }, instruction.map { _ in "{instruction}" }, context.map { _ in "{context}" },
        ]
        .compactMap(\.self).map { $0 + "\n\n" }.joined() + "Question: {\(key)}\nAnswer:",
        text: before + "Question: \(question)\nAnswer:", messages: turns),
      solution: solution)
  }

  /// A text that is continued. A blank at its end belongs to what follows: to most models a word and the blank before it
  /// are one token.
  private static func continued(
    _ row: inout RowFields, _ key: String, answer: String
  ) throws(TaskFileError) -> RowContent {
    var prompt = try row.text(key)
    var (gold, solution) = try row.golds(answer)
    guard row.rules.reading > .first else {
      return RowContent(.generate(.prompt(prompt), gold: gold), solution: solution)
    }
    guard !prompt.trimmingBlanks().isEmpty else { throw row.problem(key, "is empty") }
    while prompt.last == " " || prompt.last == "\t" { prompt.removeLast() }
    if let stop = row.rules.stops.first(where: { solution.hasSuffix($0) && solution.count > $0.count }) {
      solution.removeLast(stop.count)
      gold = GoldAnswer(solution)
    }
    let system = try row.optionalText("system", "system_prompt")
    let instruction = try row.optionalText("instruction")
    let asked = instruction.map { "\($0)\n\n\(prompt)" } ?? prompt
    if let system { return prompted(asked, system: system, answer: solution) }
    return RowContent(.generate(.prompt(asked), gold: gold), solution: solution)
  }

  /// In a chat the instruction and what it is about; without one the words with which Alpaca was published.
  private static func instructed(
    _ row: inout RowFields, context: String, answer: String
  ) throws(TaskFileError) -> RowContent {
    let instruction = try row.question("instruction")
    let input = try row.optionalText(context)?.trimmingBlanks()
    let (gold, solution) = try row.golds(answer)
    let system = try row.optionalText("system", "system_prompt")
    let asked = input.map { "\(instruction)\n\n\($0)" } ?? instruction
    let opening =
      "Below is an instruction that describes a task"
      + (input == nil ? "" : ", paired with an input that provides further context")
      + ". Write a response that appropriately completes the request.\n\n"
    let text = { (instruction: String, input: String?) in
      opening + "### Instruction:\n\(instruction)\n\n" + (input.map { "### Input:\n\($0)\n\n" } ?? "")
        + "### Response:\n"
    }
    let turns =
      (system.map { [PromptMessage(role: "system", content: $0)] } ?? []) + [.init(role: "user", content: asked)]
    return RowContent(
      .generate(.question(asked), gold: gold),
      form: RowForm(
        name: text("{instruction}", input.map { _ in "{\(context)}" }),
        text: (system.map { $0 + "\n\n" } ?? "") + text(instruction, input), messages: turns, stops: ["\n###"]),
      solution: solution)
  }
}

extension RowFields {
  /// What is right, and as it is written: a text, a number, several of them, or SQuAD's and TriviaQA's objects of them.
  mutating func golds(_ key: String) throws(TaskFileError) -> (GoldAnswer, solution: String) {
    var value = value(key, for: .answer)
    if let object = value?.objectValue {
      let several = object["text"] ?? object["aliases"]
      // TriviaQA's name comes first, since it is what is shown.
      value = (object["value"]?.stringValue).map { .array([.string($0)] + (several?.arrayValue ?? [])) } ?? several
    }
    if case .bool(let truth)? = value { return (.text(truth ? "yes" : "no"), truth ? "yes" : "no") }
    if let values = value?.arrayValue {
      let several = try texts(key, .array(values)).filter { !$0.trimmingBlanks().isEmpty }
      guard let first = several.first else { throw problem(key, "holds no answer") }
      return (GoldAnswer(oneOf: several), first)
    }
    guard rules.reading > .first else {
      // As it was when the task was stored.
      if case .number(let number)? = value { return (GoldAnswer("\(number)"), "\(number)") }
      let text = try word(key)
      return (GoldAnswer(text), text)
    }
    let text = try word(key)
    return (GoldAnswer(text), text)
  }
}
