import StrictJSON
import Testing

@testable import Evaluation

@Suite struct RowReaderTests {
  private func content(_ json: String) throws -> TaskRow.Content { try TaskFixture.row(json).content }

  private func error(_ json: String) -> TaskFileError? {
    TaskFixture.error { () throws(TaskFileError) in try TaskFixture.task(json) }
  }

  @Test func arcRowsAreRead() throws {
    let gold = TaskRow.Content.choice(question: "Q?", choices: ["a", "b"], gold: 1)
    #expect(
      try content(#"{"id":"x","question":"Q?","choices":{"text":["a","b"],"label":["A","B"]},"answerKey":"B"}"#) == gold
    )
    #expect(
      try content(#"{"question":"Q?","choices":{"text":["a","b"],"label":["1","2"]},"answerKey":"2"}"#) == gold)
    #expect(try content(#"{"question":"Q?","choices":{"text":["a","b"],"label":[1,2]},"answerKey":2}"#) == gold)
    #expect(
      try content(
        #"{"question":{"stem":"Q?","choices":[{"text":"a","label":"A"},{"text":"b","label":"B"}]},"answerKey":"B"}"#)
        == gold)
  }

  @Test func mmluLikeRowsTakeAnIndexALetterOrTheChoice() throws {
    let gold = TaskRow.Content.choice(question: "Q?", choices: ["a b", "c d"], gold: 1)
    for answer in ["1", "\"B\"", "\"c d\""] {
      #expect(try content(#"{"question":"Q?","choices":["a b","c d"],"answer":\#(answer)}"#) == gold)
    }
  }

  @Test func anAnswerThatIsALetterAndAnotherChoiceIsAnError() {
    let found = error(#"{"question":"Q?","choices":["B","A"],"answer":"A"}"#)
    #expect("\(found!)".contains("both a letter and the text of another choice"))
  }

  @Test func generatedRowsAreRead() throws {
    #expect(
      try content(#"{"question":"Q?","answer":"1+1=<<1+1=2>>2\n#### 2"}"#)
        == .generate(.question("Q?"), gold: .number("2")))
    #expect(try content(#"{"question":"Q?","answer":"57"}"#) == .generate(.question("Q?"), gold: .number("57")))
    #expect(try content(#"{"question":"Q?","answer":57}"#) == .generate(.question("Q?"), gold: .number("57")))
    #expect(try content(#"{"question":"Q?","answer":"Paris"}"#) == .generate(.question("Q?"), gold: .text("Paris")))
    #expect(try content(#"{"prompt":"P","completion":" x"}"#) == .generate(.prompt("P"), gold: .text("x")))
    #expect(try content(#"{"input":"P","output":"y"}"#) == .generate(.prompt("P"), gold: .text("y")))
    #expect(
      try content(#"{"messages":[{"role":"user","content":"U"},{"role":"assistant","content":"A"}]}"#)
        == .generate(.messages([PromptMessage(role: "user", content: "U")]), gold: .text("A")))
  }

  @Test func codeRowsAreRecognised() throws {
    let humanEval = try content(
      #"{"task_id":"HumanEval/0","prompt":"def f():","test":"def check(c): pass","entry_point":"f"}"#)
    #expect(
      humanEval
        == .code(CodeProblem(prompt: "def f():", tests: ["def check(c): pass"], entryPoint: "f", solution: nil)))
    let mbpp = try content(#"{"task_id":2,"text":"Write f.","code":"def f(): 1","test_list":["assert f()"]}"#)
    #expect(
      mbpp == .code(CodeProblem(prompt: "Write f.", tests: ["assert f()"], entryPoint: nil, solution: "def f(): 1")))
    #expect(try TaskFixture.row(#"{"task_id":2,"text":"Write f.","test_list":["assert f()"]}"#).id == "2")
    let prepared = try content(
      #"{"prompt":"Write f.","test_list":[],"test_imports":["import math"],"test_setup_code":"x = 1"}"#)
    #expect(
      prepared
        == .code(
          CodeProblem(prompt: "Write f.", tests: [], entryPoint: nil, solution: nil, setUp: "import math\nx = 1")))
  }

  @Test func aRowWithoutIDBearsItsLine() throws {
    let task = try TaskFixture.task("", TaskFixture.arc("one"), "", TaskFixture.arc("two"))
    #expect(task.shots.map(\.id) == ["2", "4"])
    #expect(task.shots.map(\.line) == [2, 4])
  }

  @Test func anUnknownShapeNamesLineAndKeys() {
    let found = TaskFixture.error { () throws(TaskFileError) in
      try TaskFixture.task(TaskFixture.arc("one"), #"{"query":"x","reply":"y"}"#)
    }
    #expect(
      found
        == .unknownShape(
          file: "fewshot.jsonl", line: 2, keys: ["query", "reply"],
          nearest: "the nearest is 'question/query/problem, response/answer/output'; in task.json5: fields: "
            + "{ response: \"reply\" }"))
    #expect("\(found!)".contains("fewshot.jsonl, line 2") && "\(found!)".contains("query, reply"))
  }

  @Test func badLinesAndEmptyFilesAreErrors() {
    #expect(error("") == .empty(file: "fewshot.jsonl"))
    #expect(error(" \n\n ") == .empty(file: "fewshot.jsonl"))
    #expect(error("[1]") == .notAnObject(file: "fewshot.jsonl", line: 1, found: "an integer"))
    #expect(error("7") == .notAnObject(file: "fewshot.jsonl", line: 1, found: "an integer"))
    let broken = TaskFixture.error { () throws(TaskFileError) in
      try TaskFixture.task(TaskFixture.arc("one"), TaskFixture.arc("two"), #"{"question": "x""#)
    }
    guard case .json("fewshot.jsonl", 3, _)? = broken else {
      Issue.record("\(String(describing: broken))")
      return
    }
  }

  @Test func badChoicesAreErrors() {
    #expect(
      error(TaskFixture.arc("Q", ["a", "b"], key: "C"))
        == .answerNotAmongChoices(file: "fewshot.jsonl", line: 1, answer: "C", choices: ["A", "B"]))
    #expect(
      error(#"{"question":"Q","choices":["a","b"],"answer":2}"#)
        == .answerNotAmongChoices(file: "fewshot.jsonl", line: 1, answer: "2", choices: ["a", "b"]))
    #expect(error(#"{"question":"Q","choices":["a","b"],"answer":-1}"#) != nil)
    #expect(error(#"{"question":"Q","choices":["a","b"],"answer":"Z"}"#) != nil)
    #expect(error(TaskFixture.arc("Q", ["a", " "])) == .emptyChoice(file: "fewshot.jsonl", line: 1, index: 1))
    #expect(
      error(TaskFixture.arc("Q", ["a", "b", "a "]))
        == .equalChoices(file: "fewshot.jsonl", line: 1, first: 0, second: 2, text: "a"))
    #expect("\(error(TaskFixture.arc("Q", ["a"], key: "A"))!)".contains("at least 2"))
    #expect(
      "\(error(#"{"question":"Q","choices":{"text":["a","b"],"label":["A"]},"answerKey":"A"}"#)!)".contains(
        "2 texts and 1 labels"))
    #expect(
      "\(error(#"{"question":"Q","choices":{"text":["a","b"],"label":["A","A"]},"answerKey":"A"}"#)!)".contains("twice")
    )
  }

  @Test func manyChoicesAreRefusedBeforeTheyAreComparedWithEachOther() {
    // Every pair of 100,000 labels would take minutes.
    let labels = JSONValue((0..<100_000).map { "\($0)" })
    let row: JSONValue = ["question": "Q", "choices": ["text": labels, "label": labels], "answerKey": "1"]
    #expect("\(error(row.jsonText)!)".hasSuffix("'choices' has 100000, at most 64 are allowed"))
  }

  @Test func onlyCapitalLettersStandForChoices() throws {
    let choices = JSONValue((0..<40).map { "choice \($0)" })
    func row(_ answer: String) -> String {
      let row: JSONValue = ["question": "Q", "choices": choices, "answer": .string(answer)]
      return row.jsonText
    }
    #expect(try TaskFixture.row(row("Z")).gold == 25)
    #expect("\(error(row("a"))!)".contains("the answer 'a' is not among the choices: choice 0, "))
  }

  @Test func rowsAreBounded() {
    var reader = RowReader(file: "f", maximumRows: 2)
    let line = #"{"input":"a","output":"b"}"# + "\n"
    #expect((try? reader.rows(of: Array((line + line).utf8)))?.count == 2)
    #expect(throws: TaskFileError.tooManyRows(file: "f", allowed: 2)) {
      try reader.rows(of: Array((line + line + line).utf8))
    }
  }

  @Test func wrongKindsOfFieldsAreErrors() {
    for json in [
      #"{"question":1,"answer":"x"}"#, #"{"question":"Q","answer":[]}"#, #"{"question":"Q","answer":" "}"#,
      #"{"question":"Q","choices":"ab","answer":0}"#, #"{"question":"Q","choices":[{}],"answerKey":"A"}"#,
      #"{"messages":[]}"#, #"{"messages":"x"}"#, #"{"messages":[{"role":"user","content":"x"}]}"#,
      #"{"messages":[{"role":"robot","content":"x"}]}"#, #"{"messages":[{"role":"assistant","content":"x"}]}"#,
      #"{"prompt":1,"test":"x","entry_point":"f"}"#, #"{"text":"x","test_list":[true]}"#,
    ] {
      guard case .field("fewshot.jsonl", 1, _, _)? = error(json) else {
        Issue.record("\(json): \(String(describing: error(json)))")
        continue
      }
    }
  }

  @Test(arguments: [
    ("#### 1,234", GoldAnswer.number("1,234")), ("x #### 1\n#### -5", .number("-5")), ("42", .number("42")),
    ("$1,200", .number("$1,200")), ("42 apples", .number("42")), ("-3.5", .number("-3.5")),
    ("Apollo 11", .text("Apollo 11")),
    ("12 + 3", .text("12 + 3")), ("3D", .text("3D")), ("1/2", .text("1/2")), ("Paris.", .text("Paris.")),
    ("50%", .number("50")),
  ])
  func theGoldAnswerIsANumberWhereItIsOne(text: String, gold: GoldAnswer) {
    #expect(GoldAnswer(text) == gold)
  }
}
