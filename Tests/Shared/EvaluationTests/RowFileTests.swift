import Settings
import StrictJSON
import Testing

@testable import Evaluation

/// How rows are set in a file: lines, texts after each other, an array, a table.
struct RowFileTests {
  private func task(_ name: String, _ text: String, settings: String? = nil) throws(TaskFileError) -> TaskDefinition {
    try TaskDefinition(
      name: "t",
      files: .init(
        fewshot: .init(name: name, bytes: Array(text.utf8)),
        settings: settings.map { .init(name: "task.json5", bytes: Array($0.utf8)) }))
  }

  private func error(_ name: String, _ text: String, settings: String? = nil) throws -> String {
    let found = TaskFixture.error { () throws(TaskFileError) in try task(name, text, settings: settings) }
    return "\(try #require(found))"
  }

  @Test func theSameRowsAreReadHoweverTheyAreSet() throws {
    let plain = try task(
      "a.jsonl", "{\"question\":\"Q\",\"answer\":\"x, y\"}\n{\"question\":\"R\",\"answer\":\"two\\nlines\"}\n")
    let others = [
      try task(
        "a.NDJSON",
        "\u{FEFF}{\"question\":\"Q\",\"answer\":\"x, y\"}\r\n\r\n{\"question\":\"R\",\"answer\":\"two\\nlines\"}"),
      try task(
        "a.json",
        "[\n {\"question\":\"Q\",\n \"answer\":\"x, y\"},\n {\"question\":\"R\",\"answer\":\"two\\nlines\"}\n]\n"),
      try task(
        "a.jsonl", "{\n \"question\":\"Q\",\n \"answer\":\"x, y\"}\n{\n \"question\":\"R\",\"answer\":\"two\\nlines\"}"),
      try task("a.csv", "question,answer\nQ,\"x, y\"\nR,\"two\nlines\"\n"),
      try task("a.csv", "\u{FEFF}question;answer\r\nQ;x, y\r\nR;\"two\nlines\"\r\n"),
      try task("a.tsv", "question\tanswer\nQ\tx, y\nR\t\"two\nlines\"\n"),
    ]
    for other in others {
      #expect(other.digest == plain.digest)
    }
    #expect(others[1].shots.map(\.line) == [2, 4])
    #expect(others[2].shots.map(\.line) == [1, 4])
    #expect(others[3].shots.map(\.line) == [2, 3])
  }

  @Test func aTableMayHoldListsAndEveryAnswerIsAText() throws {
    let table = try task("a.csv", "question,choices,answer\nQ?,\"[\"\"red\"\", \"\"green\"\"]\",1\n")
    #expect(table.shots[0].content == .choice(question: "Q?", choices: ["red", "green"], gold: 1))
    let columns = try task("a.csv", "question,A,B,C,D,answer\nQ?,red,green,,,B\n")
    #expect(columns.shots[0].content == .choice(question: "Q?", choices: ["red", "green"], gold: 1))
    let indexed = try task("a.csv", ",question,answer\n0,Q?,x\n")
    #expect(indexed.shots.count == 1)
  }

  @Test func aBadTableIsToldOfByItsLine() throws {
    #expect(
      try error("a.csv", "question,answer\na,b\n\"c,d\n").hasSuffix(
        "a.csv, line 3: a value in double quotes has no end"))
    #expect(
      try error("a.csv", "question,answer\na,b\nc, d, e\n").contains(
        "a.csv, line 3: the record has 3 values, the header names 2 columns"))
    #expect(try error("a.csv", "question,question\na,b\n").contains("the column 'question' stands there twice"))
    #expect(try error("a.csv", "question,answer\n").contains("has no rows"))
  }

  @Test func whatIsNoFileOfRowsIsNamed() throws {
    #expect(
      try error("a.jsonl", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n")
        == "a.jsonl: this is a Git LFS pointer, not the file of 7 bytes that it stands for, and no file of rows; "
        + "run 'git lfs pull' where it was cloned")
    #expect(
      try error("arc.jsonl", "PAR1\u{15}").contains(
        "this is a Parquet table, and no file of rows; convert it: python3 -c"))
    #expect(try error("a.jsonl", "\u{1F}\u{8}").contains("not JSON"))
    #expect(
      try error("a.jsonl", "{\"question\":\"Q\",\"answer\":\"x\"}", settings: "<html><title>Sign in</title>")
        .hasPrefix("task.json5: this is a web page, with the title 'Sign in'"))
  }

  @Test func allBadRowsAreToldOfAtOnce() throws {
    let rows = (1...30).map { "{\"question\":\"Q\($0)\",\"choices\":[\"a\",\"b\"],\"answer\":\($0 == 1 ? 0 : 9)}" }
    let message = try error("a.jsonl", rows.joined(separator: "\n"))
    #expect(message.hasPrefix("29 rows are bad: a.jsonl, line 2: the answer '9' is not among the choices"))
    #expect(message.contains("line 21: ") && !message.contains("line 22: ") && message.hasSuffix("; and 9 more"))
    // Of an array that ends too early nothing tells where the next row begins.
    #expect(try error("a.json", "[{\"question\":\"a\",\"answer\":\"b\"},").contains("line 1: not JSON: the array"))
    #expect(
      try error("a.json", "[{\"question\":\"a\",\"answer\":\"b\"}] x").contains("the array ends here, but more follows")
    )
  }

  // MARK: - Names

  @Test func fieldsMayHaveOtherNames() throws {
    let settings = #"{ fields: { question: "ctx", choices: "opts.list", answer: "right" } }"#
    let row = #"{"ctx":"Q?","opts":{"list":["red","green"]},"right":"B"}"#
    #expect(
      try task("a.jsonl", row, settings: settings).shots[0].content
        == .choice(question: "Q?", choices: ["red", "green"], gold: 1))
    let both = #"{"ctx":"Q?","question":"P?","opts":{"list":["red","green"]},"right":"B"}"#
    #expect(
      try error("a.jsonl", both, settings: settings).contains("'question' is there, and 'fields' takes 'ctx' for it"))
  }

  @Test func aTemplateAloneWillDoWhereTheAnswerIsNamed() throws {
    let row = #"{"passage":"P","ask":"Q","target":"T"}"#
    let task = try task("a.jsonl", row, settings: #"{ template: "{passage} - {ask}" }"#)
    #expect(task.plainPrompt(for: task.shots[0]) == "P - Q")
    #expect(task.shots[0].goldAnswer == "T")
    #expect(
      try error("a.jsonl", #"{"passage":"P","ask":"Q","right":"T"}"#, settings: #"{ template: "{passage} - {ask}" }"#)
        .contains("no field says what is right: passage, ask, right"))
  }

  @Test func anUnknownShapeIsToldTheNearest() throws {
    let nearest = try error("a.jsonl", #"{"q":"Q","alternatives":["a","b"],"answer":0}"#)
    #expect(nearest.contains(#"in task.json5: fields: { question: "q", choices: "alternatives" }"#), "\(nearest)")
    #expect(
      try error("a.jsonl", #"{"premise":"P","hypothesis":"H","label":0}"#).contains(
        #"set template to "harness/mnli" or "harness/anli_r1" or "harness/cb""#))
  }

  @Test func aHarnessTemplateIsForRowsOfItsShape() throws {
    #expect(
      try error("a.jsonl", #"{"question":"Q","answer":"x"}"#, settings: "{ template: 'harness/piqa' }").contains(
        "harness/piqa is for rows with 'goal, sol1, sol2, label', this one has: question, answer"))
    let unknown = try error("a.jsonl", #"{"question":"Q","answer":"x"}"#, settings: "{ template: 'harness/pica' }")
    #expect(unknown.contains("harness/pica") && unknown.contains("known are harness/openbookqa, "), "\(unknown)")
  }

  // MARK: - Nothing is dropped in silence

  private let dropped =
    #"{"question":"Q1","answer":"x","legend":"one"}"# + "\n" + #"{"question":"Q2","answer":"y","legend":"two"}"#

  @Test func aTextThatNothingReadsIsRefused() throws {
    #expect(
      try error("a.jsonl", dropped)
        == "a.jsonl, line 1: the text of 'legend' would not be part of what is asked; in task.json5 use it in a template: "
        + #""{legend} ...", or pass over it: ignore_fields: ["legend"]"#)
    let ignored = try task("a.jsonl", dropped, settings: "{ ignore_fields: 'legend' }")
    #expect(ignored.shots.count == 2 && ignored.warnings.isEmpty)
    let used = try task("a.jsonl", dropped, settings: "{ template: '{legend}: {question}' }")
    #expect(used.plainPrompt(for: used.shots[1]) == "two: Q2")
    // A template that does not ask the question drops it.
    #expect(try error("a.jsonl", dropped, settings: "{ template: '{legend}' }").contains("the text of 'question'"))
  }

  @Test func choicesAreScoredWhetherATemplateShowsThemOrNot() throws {
    for row in [
      #"{"goal":"G","sol1":"a","sol2":"b","label":1}"#, #"{"question":"G","A":"a","B":"b","answer":"B"}"#,
      #"{"question":"G","opa":"a","opb":"b","opc":"c","opd":"d","cop":1}"#,
      #"{"question":"G","choices":{"text":["a","b"],"label":["A","B"]},"answerKey":"B"}"#,
    ] {
      let field = row.contains("goal") ? "goal" : "question"
      let task = try task("a.jsonl", row, settings: "{ template: 'Say: {\(field)}' }")
      #expect(task.plainPrompt(for: task.shots[0]) == "Say: G")
      #expect(task.continuations(for: task.shots[0]).prefix(2) == [" a", " b"] && task.shots[0].gold == 1)
    }
  }

  @Test func whatCannotBeOfTheQuestionOnlyWarns() throws {
    let rows = (0..<10).map {
      #"{"question":"Q\#($0)","answer":"x","url":"http://h/\#($0)","hint":"\#($0 == 0 ? "other" : "same")","empty":"","n":\#($0),"digits":"\#($0)"}"#
    }
    let task = try task("a.jsonl", rows.joined(separator: "\n"))
    #expect(task.warnings == ["a.jsonl: not read: 'url', 'hint' (the same in 9 of 10 rows)"])
  }

  // MARK: - Digits

  private func choices(_ rows: (choices: String, answer: String)...) -> String {
    rows.enumerated().map { #"{"question":"Q\#($0)","choices":\#($1.choices),"answer":\#($1.answer)}"# }.joined(
      separator: "\n")
  }

  @Test func digitsAreAnIndexWhereSomeRowSaysSo() throws {
    for one in ["1", "\"1\"", "1.0"] {
      let task = try task("a.jsonl", choices((#"["4","2","1"]"#, one), (#"["red","green"]"#, "0")))
      #expect(task.shots.map(\.gold) == [1, 0])
    }
  }

  @Test func digitsAreTheChoiceItselfWhereNoRowHasSuchAnIndex() throws {
    let task = try task("a.jsonl", choices((#"["4","2","1"]"#, "\"1\""), (#"["10","20"]"#, "20")))
    #expect(task.shots.map(\.gold) == [2, 1])
  }

  @Test func digitsThatCouldBeBothAreRefused() throws {
    #expect(try error("a.jsonl", choices((#"["4","2","1"]"#, "1"))).contains("no other row tells which is meant"))
    #expect(
      try error("a.jsonl", choices((#"["4","2","1"]"#, "1"), (#"["red","green"]"#, "0"), (#"["10","20"]"#, "20")))
        .contains(
          "line 2 can only be an index and line 3 only a text"))
    let text = try task("a.jsonl", choices((#"["4","2","1"]"#, "1")), settings: "{ digits: 'text' }")
    let index = try task("a.jsonl", choices((#"["4","2","1"]"#, "1")), settings: "{ digits: 'index' }")
    #expect(text.shots[0].gold == 2 && index.shots[0].gold == 1)
  }

  // MARK: - What a stored task keeps

  @Test func aStoredTaskIsReadAsItWasRegistered() throws {
    let rows = #"{"instruction":"Say the opposite.","input":"hot","output":"cold","legend":"of one"}"#
    let files = TaskDefinition.Files(fewshot: .init(name: "a.jsonl", bytes: Array(rows.utf8)))
    let old = try TaskDefinition(name: "t", files: files, reading: .first)
    #expect(old.plainPrompt(for: old.shots[0]) == "hot" && old.templateName == "{input}")
    let blanks = TaskDefinition.Files(
      fewshot: .init(name: "a.jsonl", bytes: Array(#"{"question":"Q ","choices":["a ","b"],"answer":0}"#.utf8)))
    let stored = try TaskDefinition(name: "t", files: blanks, reading: .first)
    #expect(stored.plainPrompt(for: stored.shots[0]) == "Question: Q \nAnswer:")
    #expect(stored.continuations(for: stored.shots[0]) == [" a ", " b"])
    // The rows are the same, so their digest is.
    #expect(stored.digest == (try TaskDefinition(name: "t", files: blanks)).digest)
  }

  @Test func aDirectoryMayHaveItsRowsInAnyOfTheForms() throws {
    let contents = [
      "fewshot.CSV": "question,answer\na,b\n", "eval.json": #"[{"question":"c","answer":"d"}]"#, "README.md": "# card",
      "dataset_infos.json": "{}",
    ]
    let files = try TaskFile.files(ofDirectory: "arc", names: contents.keys.sorted()) {
      Array((contents[$0] ?? "").utf8)
    }
    #expect(files.fewshot.name == "arc/fewshot.CSV" && files.eval?.name == "arc/eval.json")
    #expect(TaskFile.isOfSearches("arc/fewshot.CSV") && !TaskFile.isOfSearches("arc/eval.json"))
    #expect(TaskFileName.task(ofPath: "x/D.JSONL") == "D")
    #expect(throws: TaskFileError.twoFiles(directory: "arc", "fewshot.csv", "fewshot.jsonl")) {
      try TaskFile.files(ofDirectory: "arc", names: ["fewshot.csv", "fewshot.jsonl"]) { _ in [] }
    }
    #expect(throws: TaskFileError.unexpectedFile(directory: "arc", name: "test.jsonl", suggestion: "eval.jsonl")) {
      try TaskFile.files(ofDirectory: "arc", names: ["fewshot.jsonl", "test.jsonl"]) { _ in [] }
    }
  }

  @Test func severalAnswersAreRightAndNumbersAreComparedAsNumbers() throws {
    let row = #"{"context":"C","question":"Q","answers":{"text":["Ann Lee","Lee"],"answer_start":[0,1]}}"#
    let task = try task("a.jsonl", row)
    let scorer = try TaskScorer(task, sandbox: nil)
    func isRight(_ output: String) throws -> Bool {
      guard case .generation(_, let score, _) = try scorer.score(task.shots[0], output: output).outcome else {
        return false
      }
      return score.isCorrect
    }
    #expect(try isRight(" lee.") && isRight("Ann Lee") && !isRight("Ann"))
    for (one, other, isSame) in [
      ("12.0", "12", true), ("1,234", "1234", true), ("$18.00", "18", true), ("-0", "0", true), ("007", "7", true),
      ("1.5", "1.50", true), ("12", "21", false), ("12345678901234567890123", "12345678901234567890124", false),
    ] {
      #expect(
        (AnswerExtractor.canonicalNumber(AnswerExtractor.normalizedNumber(one))
          == AnswerExtractor.canonicalNumber(AnswerExtractor.normalizedNumber(other))) == isSame, "\(one), \(other)")
    }
    #expect(AnswerExtractor.canonicalNumber("x") == nil && AnswerExtractor.canonicalNumber(".") == nil)
  }
}
