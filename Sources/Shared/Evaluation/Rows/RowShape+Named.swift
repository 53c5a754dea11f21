import StrictJSON

/// Rows whose fields tell too little: several data sets call their fields the same and number their classes otherwise, so a task
/// says which it is by its template. The prompts are lm-evaluation-harness's.
extension RowShape {
  static let named = [
    classes("rte", "sentence1, sentence2, label", ["True", "False"]) { (row) throws(TaskFileError) in
      "\(try row.asked("sentence1"))\nQuestion: \(try row.asked("sentence2")) True or False?\nAnswer:"
    },
    classes("wnli", "sentence1, sentence2, label", ["False", "True"]) { (row) throws(TaskFileError) in
      "\(try row.asked("sentence1"))\nQuestion: \(try row.asked("sentence2")) True or False?\nAnswer:"
    },
    classes("mnli", "premise, hypothesis, label", ["True", "Neither", "False"]) { (row) throws(TaskFileError) in
      let hypothesis = try row.question("hypothesis")
      let end = hypothesis.hasSuffix(".") ? "" : "."
      return "\(try row.asked("premise"))\nQuestion: \(hypothesis)\(end) True, False or Neither?\nAnswer:"
    },
    classes("anli_r1", "premise, hypothesis, label", ["True", "Neither", "False"]) { (row) throws(TaskFileError) in
      row.pass(over: ["reason"])
      return "\(try row.asked("premise"))\nQuestion: \(try row.asked("hypothesis")) True, False, or Neither?\nAnswer:"
    },
    classes("cb", "premise, hypothesis, label", ["True", "False", "Neither"]) { (row) throws(TaskFileError) in
      "\(try row.asked("premise"))\nQuestion: \(try row.asked("hypothesis")). True, False, or Neither?\nAnswer:"
    },
    classes("sst2", "sentence, label", ["negative", "positive"]) { (row) throws(TaskFileError) in
      "\(try row.asked("sentence"))\nQuestion: Is this sentence positive or negative?\nAnswer:"
    },
    classes("cola", "sentence, label", ["no", "yes"]) { (row) throws(TaskFileError) in
      "\(try row.asked("sentence"))\nQuestion: Does this sentence make sense?\nAnswer:"
    },
    classes("qnli", "question, sentence, label", ["yes", "no"]) { (row) throws(TaskFileError) in
      "\(try row.asked("question"))\n\(try row.asked("sentence"))\nQuestion: Does this response answer the question?\nAnswer:"
    },
    classes("mrpc", "sentence1, sentence2, label", ["no", "yes"]) { (row) throws(TaskFileError) in
      "Sentence 1: \(try row.asked("sentence1"))\nSentence 2: \(try row.asked("sentence2"))\n"
        + "Question: Do both sentences mean the same thing?\nAnswer:"
    },
    classes("qqp", "question1, question2, label", ["no", "yes"]) { (row) throws(TaskFileError) in
      "Question 1: \(try row.asked("question1"))\nQuestion 2: \(try row.asked("question2"))\n"
        + "Question: Do both questions ask the same thing?\nAnswer:"
    },
    RowShape(
      fields: "question, options, answer, answer_index",
      summary: "MMLU-Pro as the harness asks it: the model thinks step by step and ends with a letter.",
      passes: ["cot_content"], template: "harness/mmlu_pro", isDefault: false
    ) { (row) throws(TaskFileError) in
      let question = try row.asked("question")
      let texts = try row.checked(try row.texts("options", for: .choice), "options")
      let gold = try row.gold("answer", among: texts)
      let subject = try row.optionalText("category") ?? "all subjects"
      let letter = PromptTemplate.letter(gold)
      return RowContent(
        .generate(.question(question), gold: .text(letter)),
        form: RowForm(
          name: "harness/mmlu_pro",
          text:
            "The following are multiple choice questions (with answers) about \(subject). Think step by step and then finish "
            + "your answer with \"the answer is (X)\" where X is the correct letter choice.\n"
            + "Question:\n\(question)\nOptions:\n\(lettered(texts))Answer: Let's think step by step.",
          stops: ["Question:"],
          extract: [ExtractionRule(name: "letter", pattern: #"answer is \(?([ABCDEFGHIJ])\)?"#, pick: .first)]),
        solution: letter)
    },
  ]

  /// Classes with numbers, each of which is a word that is scored.
  private static func classes(
    _ name: String, _ fields: String, _ words: [String],
    text: @escaping @Sendable (inout RowFields) throws(TaskFileError) -> String
  ) -> RowShape {
    RowShape(
      fields: fields, summary: "The classes are \(words.joined(separator: ", ")).", passes: ["idx"],
      template: "harness/\(name)", isDefault: false
    ) { (row) throws(TaskFileError) in
      let asked = try text(&row)
      return RowContent(
        .choice(question: asked, choices: words, gold: try row.index("label", among: words)),
        form: RowForm(name: "harness/\(name)", text: asked))
    }
  }
}
