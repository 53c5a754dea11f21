import StrictJSON

extension RowShape {
  /// Rows whose answer is one of several choices.
  static let choices = published + lettered + paired

  // MARK: - As the data sets publish them, each with fields of its own

  private static let published = [
    RowShape(
      fields: "question_stem, choices {text, label}, answerKey", summary: "OpenBookQA.",
      passes: ["fact1", "humanScore", "clarity", "turkIdAnonymized"], template: "harness/openbookqa"
    ) { (row) throws(TaskFileError) in
      let stem = try row.asked("question_stem")
      let (texts, gold) = try row.labelled()
      return RowContent(
        .choice(question: stem, choices: texts, gold: gold), form: RowForm(name: "harness/openbookqa", text: stem))
    },
    RowShape(
      fields: "question, choices {text, label}, answerKey, question_concept", summary: "CommonsenseQA.",
      passes: ["question_concept"], template: "harness/commonsense_qa"
    ) { (row) throws(TaskFileError) in
      let question = try row.question("question")
      let (texts, gold) = try row.labelled()
      return letters(question, texts, gold, name: "harness/commonsense_qa", text: "Question: \(question)")
    },
    RowShape(
      fields: "question, choices {text, label}, answerKey", summary: "ARC, also with the question as {stem, choices}.",
      since: .first, template: "harness/arc_easy"
    ) { (row) throws(TaskFileError) in try arc(&row) },
    RowShape(
      fields: "question, answerKey", summary: "ARC as first published, with the choices in the question.",
      since: .first, fits: { $0.members["question"]?.objectValue != nil }
    ) { (row) throws(TaskFileError) in try arc(&row) },
    RowShape(
      fields: "ctx, endings, label", summary: "HellaSwag.",
      passes: ["ctx_a", "ctx_b", "ind", "split", "split_type", "source_id"], template: "harness/hellaswag"
    ) { (row) throws(TaskFileError) in
      // Of `ctx` the second half begins in small letters.
      var context = try row.text("ctx")
      if row.has("ctx_a") {
        context = try row.text("ctx_a") + " " + capitalized(try row.optionalText("ctx_b") ?? "")
      }
      let activity = try row.optionalText("activity_label")
      let asked = cleaned((activity.map { $0 + ": " } ?? "") + context)
      let endings = try row.checked(try row.texts("endings", for: .choice).map(cleaned), "endings")
      return RowContent(
        .choice(question: asked, choices: endings, gold: try row.index("label", among: endings)),
        form: RowForm(name: "harness/hellaswag", text: asked))
    },
    RowShape(fields: "goal, sol1, sol2, label", summary: "PIQA.", template: "harness/piqa") {
      (row) throws(TaskFileError) in
      let goal = try row.asked("goal")
      let texts = try row.checked([try row.choice("sol1"), try row.choice("sol2")], "sol1")
      return RowContent(
        .choice(question: goal, choices: texts, gold: try row.index("label", among: texts)),
        form: RowForm(name: "harness/piqa", text: "Question: \(goal)\nAnswer:"))
    },
    RowShape(
      fields: "sentence, option1, option2, answer",
      summary: "WinoGrande: what follows the gap is scored behind each option.", template: "harness/winogrande"
    ) { (row) throws(TaskFileError) in
      let sentence = try row.asked("sentence")
      guard let gap = sentence.firstIndex(of: "_") else { throw row.problem("sentence", "has no '_' for the option") }
      let texts = try row.checked([try row.choice("option1"), try row.choice("option2")], "option1")
      let before = sentence[..<gap]
      let after = sentence[sentence.index(after: gap)...].trimmingBlanks()
      guard !after.isEmpty else { throw row.problem("sentence", "has nothing behind its '_' that could be scored") }
      // The blank before the gap goes with the option, as its token does.
      let prompt = before.trimmingTrailingBlanks()
      guard !prompt.isEmpty else {
        return RowContent(
          .choice(question: sentence, choices: texts, gold: try row.index("answer", from: 1, among: texts)),
          form: RowForm(
            name: "harness/winogrande", text: "", continuations: texts.map { _ in " " + after }, leads: texts))
      }
      let blank = String(before.dropFirst(prompt.count))
      return RowContent(
        .choice(question: sentence, choices: texts, gold: try row.index("answer", from: 1, among: texts)),
        form: RowForm(
          name: "harness/winogrande", text: prompt, continuations: texts.map { _ in " " + after },
          leads: texts.map { blank + $0 }))
    },
    RowShape(
      fields: "context, question, answerA, answerB, answerC, label", summary: "Social IQa.",
      template: "harness/social_iqa"
    ) { (row) throws(TaskFileError) in
      let (context, question) = (try row.asked("context"), try row.asked("question"))
      let texts = try row.checked(
        [try row.choice("answerA"), try row.choice("answerB"), try row.choice("answerC")], "answerA")
      return RowContent(
        .choice(
          question: "\(context) \(question)", choices: texts, gold: try row.index("label", from: 1, among: texts)),
        form: RowForm(name: "harness/social_iqa", text: "Q: \(context) \(question)\nA:"))
    },
    RowShape(
      fields: "passage, question, answer/label", summary: "BoolQ.", template: "harness/boolq",
      fits: { $0.members["answer"]?.boolValue != nil || ($0.members["answer"] == nil && $0.has("label")) }
    ) { (row) throws(TaskFileError) in
      let (passage, question) = (try row.asked("passage"), try row.asked("question"))
      row.pass(over: ["title"])  // Of the passage's page.
      let gold: Int
      if case .bool(let truth)? = row.value(row.has("answer") ? "answer" : "label", for: .answer) {
        gold = truth ? 1 : 0
      } else {
        gold = try row.index("label", among: ["no", "yes"])
      }
      return RowContent(
        .choice(question: question, choices: ["no", "yes"], gold: gold),
        form: RowForm(name: "harness/boolq", text: "\(passage)\nQuestion: \(question)?\nAnswer:"))
    },
    RowShape(
      fields: "question, answer", summary: "A question whose answer is true or false.",
      fits: { $0.members["answer"]?.boolValue != nil }
    ) { (row) throws(TaskFileError) in
      let before = try row.background()
      let asked = before + (try row.question("question"))
      let isTrue = row.value("answer", for: .answer) == .bool(true)
      return RowContent(
        .choice(question: asked, choices: ["no", "yes"], gold: isTrue ? 1 : 0),
        form: RowForm(name: "Question: {question}?\nAnswer:", text: "Question: \(questioned(asked))\nAnswer:"))
    },
    RowShape(
      fields: "question, correct_answer, distractor1, distractor2, distractor3", summary: "SciQ.",
      template: "harness/sciq"
    ) { (row) throws(TaskFileError) in
      let question = try row.asked("question")
      let support = try row.optionalText("support").map { String($0.drop(while: \.isWhitespace)) }
      let texts = try row.checked(
        [
          try row.choice("distractor1"), try row.choice("distractor2"), try row.choice("distractor3"),
          try row.choice("correct_answer"),
        ], "distractor1")
      return RowContent(
        .choice(question: question, choices: texts, gold: 3),
        form: RowForm(name: "harness/sciq", text: "\(support ?? "")\nQuestion: \(question)\nAnswer:"))
    },
    RowShape(
      fields: "premise, choice1, choice2, question, label", summary: "COPA.", template: "harness/copa"
    ) { (row) throws(TaskFileError) in
      let (premise, kind) = (try row.asked("premise"), try row.asked("question"))
      guard let connector = ["cause": "because", "effect": "therefore"][kind] else {
        throw row.problem("question", "must be 'cause' or 'effect', found '\(kind.excerpt)'")
      }
      let texts = try row.checked([try row.choice("choice1"), try row.choice("choice2")], "choice1")
      return RowContent(
        .choice(question: premise, choices: texts, gold: try row.index("label", among: texts)),
        form: RowForm(
          name: "harness/copa", text: "\(premise.trimmingBlanks().dropLast()) \(connector)",
          // The harness has a blank of its own there.
          continuations: texts.map { "  " + $0.prefix(1).lowercased() + $0.dropFirst() }))
    },
    RowShape(
      fields: "sent1, sent2, ending0, ending1, ending2, ending3, label", summary: "SWAG.",
      passes: ["video-id", "fold-ind", "gold-source"], template: "harness/swag",
      fits: { $0.members["sent2"].map(RowFields.hasText) ?? false }
    ) { (row) throws(TaskFileError) in
      let begun = try row.optionalText("startphrase")
      let (first, second) = (try row.asked("sent1"), try row.text("sent2"))
      let asked = begun ?? "\(first) \(second)"
      let texts = try row.endings()
      return RowContent(
        .choice(question: asked, choices: texts, gold: try row.index("label", among: texts)),
        form: RowForm(name: "harness/swag", text: asked))
    },
    RowShape(
      fields: "sent1, ending0, ending1, ending2, ending3, label", summary: "MedQA with four options.",
      passes: ["sent2"], template: "harness/medqa_4options"
    ) { (row) throws(TaskFileError) in
      let question = try row.asked("sent1")
      let texts = try row.endings()
      return letters(
        question, texts, try row.index("label", among: texts), name: "harness/medqa_4options",
        text: "Question: \(question)")
    },
    RowShape(
      fields: "question, opa, opb, opc, opd, cop", summary: "MedMCQA.",
      passes: ["exp", "choice_type", "subject_name", "topic_name"], template: "harness/medmcqa"
    ) { (row) throws(TaskFileError) in
      let question = try row.asked("question")
      let texts = try row.checked(
        [try row.choice("opa"), try row.choice("opb"), try row.choice("opc"), try row.choice("opd")], "opa")
      return letters(
        question, texts, try row.index("cop", among: texts), name: "harness/medmcqa", text: "Question: \(question)",
        heading: "Choices:\n")
    },
    RowShape(
      fields: "context, question/query, options, label/answer/correct_option", summary: "LogiQA.",
      template: "harness/logiqa",
      fits: { $0.members["options"]?.arrayValue != nil }
    ) { (row) throws(TaskFileError) in
      let (context, question) = (try row.asked("context"), try row.asked(row.has("question") ? "question" : "query"))
      let texts = try row.checked(try row.texts("options", for: .choice), "options")
      let key = row.first(of: ["label", "answer", "correct_option"]) ?? ""
      let word = try row.word(key).trimmingBlanks()
      let letter = ["a", "b", "c", "d", "e", "f", "g", "h"].prefix(texts.count).firstIndex(of: word)
      let gold = if let letter { letter } else { try row.gold(key, among: texts) }
      return RowContent(
        .choice(question: question, choices: texts, gold: gold),
        form: RowForm(
          name: "harness/logiqa",
          text: "Passage: \(context)\nQuestion: \(question)\nChoices:\n\(lettered(texts))Answer:"))
    },
    RowShape(
      fields: "flores_passage, question, mc_answer1, mc_answer2, mc_answer3, mc_answer4, correct_answer_num",
      summary: "Belebele.", passes: ["dialect", "ds"], template: "harness/belebele"
    ) { (row) throws(TaskFileError) in
      let passage = try row.asked("flores_passage")
      let question = try row.question("question")
      var texts: [String] = []
      for number in 1...4 { texts.append(try row.choice("mc_answer\(number)")) }
      let choices = try row.checked(texts, "mc_answer1")
      let gold = try row.index("correct_answer_num", from: 1, among: choices)
      return letters(
        question, choices, gold, name: "harness/belebele", text: "P: \(passage)\nQ: \(question)", mark: ":")
    },
    RowShape(
      fields: "question/QUESTION, context/CONTEXTS, final_decision", summary: "PubMedQA.",
      passes: [
        "long_answer", "pubid", "LONG_ANSWER", "LABELS", "MESHES", "YEAR", "reasoning_required_pred",
        "reasoning_free_pred",
      ], template: "harness/pubmedqa"
    ) { (row) throws(TaskFileError) in
      let question = try row.asked(row.has("question") ? "question" : "QUESTION")
      let key = row.has("CONTEXTS") ? "CONTEXTS" : "context"
      let value = row.value(key)
      let contexts = try row.texts(key, value?["contexts"] ?? value)
      let choices = ["yes", "no", "maybe"]
      return RowContent(
        .choice(question: question, choices: choices, gold: try row.gold("final_decision", among: choices)),
        form: RowForm(
          name: "harness/pubmedqa",
          text: "Abstract: \(contexts.joined(separator: "\n"))\nQuestion: \(question)\nAnswer:"))
    },
    RowShape(
      fields: "question, mc1_targets", summary: "TruthfulQA, one right choice.",
      passes: ["mc2_targets"], fits: { $0.members["mc1_targets"]?["labels"] != nil }
    ) { (row) throws(TaskFileError) in
      let question = try row.asked("question")
      let targets = row.value("mc1_targets", for: .choice)
      let texts = try row.checked(try row.texts("mc1_targets.choices", targets?["choices"]), "mc1_targets.choices")
      let labels = (targets?["labels"]?.arrayValue ?? []).map { $0.integerValue }
      guard labels.count == texts.count, let gold = labels.firstIndex(of: 1), labels.lastIndex(of: 1) == gold else {
        throw row.problem("mc1_targets", "needs a 'labels' with one 1 for the right choice")
      }
      return RowContent(
        .choice(question: question, choices: texts, gold: gold),
        form: RowForm(name: "Q: {question}\nA:", text: "Q: \(question)\nA:"))
    },
  ]

  private static func arc(_ row: inout RowFields) throws(TaskFileError) -> RowContent {
    if let nested = row.members["question"]?.objectValue {
      _ = row.value("question")
      guard let stem = nested["stem"]?.stringValue else { throw row.problem("question.stem", "must be a text") }
      let (texts, gold) = try row.labelled(nested["choices"], "question.choices")
      return RowContent(
        .choice(
          question: row.rules.reading > .first ? stem.trimmingBlanks() : stem, choices: texts, gold: gold))
    }
    let question = try row.question("question")
    let (texts, gold) = try row.labelled()
    return try chosen(question, texts, gold, in: &row)
  }

  // MARK: - A list of choices, and which is right

  private static let lettered = [
    RowShape(
      fields: "article, question, options, answer", summary: "RACE.", template: "harness/race"
    ) { (row) throws(TaskFileError) in
      let (article, question) = (try row.asked("article"), try row.asked("question"))
      let texts = try row.checked(try row.texts("options", for: .choice), "options")
      return RowContent(
        .choice(question: question, choices: texts, gold: try row.gold("answer", among: texts)),
        form: RowForm(name: "harness/race", text: "Article: \(article)\n\n\(question)"))
    },
    RowShape(
      fields: "question, options, answer, answer_index",
      summary: "MMLU-Pro: the letters are scored, behind the question and all options.", passes: ["cot_content"]
    ) { (row) throws(TaskFileError) in
      let question = try row.question("question")
      let texts = try row.checked(try row.texts("options", for: .choice), "options")
      let gold = try row.index("answer_index", among: texts)
      guard try row.gold("answer", among: texts) == gold else {
        throw row.problem("answer_index", "is \(gold), and 'answer' names another of the options")
      }
      return letters(question, texts, gold, name: "harness/mmlu", text: question)
    },
    RowShape(
      fields: "question, choices/options, answer",
      summary:
        "The same for every list of choices: behind the subject, the question and all choices the letters are scored.",
      passes: ["answer_index", "cot_content"], template: "harness/mmlu", isDefault: false
    ) { (row) throws(TaskFileError) in
      let question = try row.question("question")
      let subject = try row.optionalText("subject")?.replacing("_", with: " ")
      let texts = try row.list()
      return letters(
        question, texts, try row.gold("answer", among: texts), name: "harness/mmlu",
        text: (subject.map { "The following are multiple choice questions (with answers) about \($0).\n\n" } ?? "")
          + question)
    },
    RowShape(
      fields: "question, choices, answer", summary: "MMLU: the choices' texts are scored behind the question.",
      since: .first
    ) { (row) throws(TaskFileError) in
      let question = try row.question("question")
      let texts = try row.list()
      return try chosen(question, texts, try row.gold("answer", among: texts), in: &row)
    },
    RowShape(
      fields: "question, options, answer_idx", summary: "MedQA: the options by their letters.",
      passes: ["answer", "metamap_phrases"], fits: { $0.members["options"]?.objectValue != nil }
    ) { (row) throws(TaskFileError) in
      let question = try row.asked("question")
      let (texts, gold) = try row.byLetter("options", answer: "answer_idx")
      return letters(question, texts, gold, name: "harness/medqa_4options", text: "Question: \(question)")
    },
    RowShape(
      fields: "question, options/choices, answer/correct/label",
      summary: "A question with a list of options, or an object of them by letter.", passes: ["rationale"],
      fits: { $0.members["options"] != nil || $0.members["answer"] == nil }
    ) { (row) throws(TaskFileError) in
      let question = try row.question("question")
      let key = row.first(of: ["answer", "correct", "label"]) ?? ""
      if row.members["options"]?.objectValue != nil {
        let (texts, gold) = try row.byLetter("options", answer: key)
        return try chosen(question, texts, gold, in: &row)
      }
      let texts = try row.list()
      return try chosen(question, texts, try row.gold(key, among: texts), in: &row)
    },
    RowShape(
      fields: "question, A, B, answer", summary: "A table with a column for each choice."
    ) { (row) throws(TaskFileError) in
      let question = try row.question("question")
      var texts: [String] = []
      for letter in ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J"] {
        guard let text = try row.optionalText(letter, for: .choice) else { break }
        texts.append(text)
      }
      let choices = try row.checked(texts, "A")
      return try chosen(question, choices, try row.gold("answer", among: choices), in: &row)
    },
    RowShape(
      fields: "query, choices, gold", summary: "As lm-evaluation-harness's own tasks of AGIEval.",
      fits: { $0.members["choices"]?.arrayValue != nil }
    ) { (row) throws(TaskFileError) in
      let query = try row.text("query")
      let texts = try row.list()
      let gold = row.members["gold"]?.arrayValue?.first ?? row.members["gold"]
      _ = row.value("gold", for: .answer)
      guard let number = gold?.integerValue, texts.indices.contains(Int(number)) else {
        throw row.problem("gold", "must be the index of a choice, from 0")
      }
      return RowContent(
        .choice(question: query, choices: texts, gold: Int(number)),
        form: RowForm(name: "{query}", text: query.trimmingTrailingBlanks()))
    },
  ]

  // MARK: - Classes

  private static let paired = [
    RowShape(
      fields: "text/sentence, label", summary: "A classification: each class is a choice, as 'labels' names them."
    ) { (row) throws(TaskFileError) in
      let text = try row.question(row.has("text") ? "text" : "sentence")
      guard let labels = row.rules.labels else {
        throw row.problem("label", "names a class, and the classes are not known; set labels: [...] in task.json5")
      }
      let named = row.has("label_text") ? "label_text" : "label"
      row.pass(over: ["label"])
      let word = try row.word(named).trimmingBlanks()
      guard
        let gold = labels.firstIndex(where: { UTF8Key($0) == UTF8Key(word) })
          ?? Int(word).flatMap({ labels.indices.contains($0) ? $0 : nil })
      else {
        throw .answerNotAmongChoices(file: row.file, line: row.line, answer: word, choices: labels)
      }
      return RowContent(
        .choice(question: text, choices: labels, gold: gold),
        form: RowForm(name: "Text: {text}\nLabel:", text: "Text: \(text)\nLabel:"))
    }
  ]

  /// Whether a row's classes must be known before it can be read.
  var isClassification: Bool { fields == "text/sentence, label" }

  // MARK: - What they share

  /// The choices' texts behind the question, and what stands before it where the row has that.
  private static func chosen(
    _ question: String, _ texts: [String], _ gold: Int, in row: inout RowFields
  ) throws(TaskFileError) -> RowContent {
    let content = TaskRow.Content.choice(question: question, choices: texts, gold: gold)
    guard row.rules.reading > .first else { return RowContent(content) }
    let before = try row.background()
    guard !before.isEmpty else { return RowContent(content) }
    return RowContent(
      content,
      form: RowForm(name: "{context}\n\nQuestion: {question}\nAnswer:", text: "\(before)Question: \(question)\nAnswer:")
    )
  }

  /// All choices with their letters behind the question; the letters are scored.
  private static func letters(
    _ question: String, _ texts: [String], _ gold: Int, name: String, text: String, heading: String = "",
    mark: String = "."
  ) -> RowContent {
    let names = texts.indices.map(PromptTemplate.letter)
    return RowContent(
      .choice(question: question, choices: texts, gold: gold),
      form: RowForm(
        name: name, text: "\(text)\n\(heading)\(lettered(texts, mark))Answer:", continuations: names.map { " " + $0 }))
  }

  /// A line for each choice, with its letter.
  static func lettered(_ texts: [String], _ mark: String = ".") -> String {
    texts.enumerated().map { "\(PromptTemplate.letter($0))\(mark) \($1)\n" }.joined()
  }

  private static func questioned(_ text: String) -> String { text.hasSuffix("?") ? text : text + "?" }

  /// As Python's `capitalize`: the first letter large, all others small.
  private static func capitalized(_ text: String) -> String {
    text.prefix(1).uppercased() + text.dropFirst().lowercased()
  }

  /// HellaSwag's texts of WikiHow, as lm-evaluation-harness cleans them: its `[title]` parts sentences, and what else is in
  /// brackets goes.
  private static func cleaned(_ text: String) -> String {
    var text = text.trimmingBlanks().replacing(" [title]", with: ". ")
    text = text.replacing(/\[.*?\]/, with: "")
    return text.replacing("  ", with: " ")
  }
}
