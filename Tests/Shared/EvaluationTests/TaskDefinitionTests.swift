import Testing

@testable import Evaluation

@Suite struct TaskDefinitionTests {
  @Test func aFewShotRowCountsOnce() throws {
    let rows = [TaskFixture.arc("Which  One?"), TaskFixture.arc("two"), TaskFixture.arc("which one?")]
    let task = try TaskFixture.task(rows[0], rows[1], rows[2])
    #expect(task.shots.map(\.line) == [1, 2])
    #expect(task.warnings == ["fewshot.jsonl, line 3: the same row stands there twice; it is passed over"])
    let found = TaskFixture.error { () throws(TaskFileError) in
      try TaskFixture.task(rows[0], rows[1], rows[2], settings: "{ skipped_rows: 0 }")
    }
    #expect(found == .duplicate(file: "fewshot.jsonl", line: 3, otherFile: "fewshot.jsonl", otherLine: 1))
    let many = TaskFixture.error { () throws(TaskFileError) in
      try TaskFixture.task(rows[0], rows[1], rows[2], rows[1])
    }
    #expect("\(many!)".hasPrefix("2 rows are bad: fewshot.jsonl, line 3: the same row stands in fewshot.jsonl, line 1"))
  }

  @Test func aFewShotOrTrainingRowInTheEvalFileIsALeak() {
    let shot = TaskFixture.error { () throws(TaskFileError) in
      try TaskFixture.task(
        TaskFixture.arc("one"), eval: [TaskFixture.arc("two"), TaskFixture.arc("ONE", ["blue", "green", "red"])])
    }
    #expect(shot == .leak(file: "fewshot.jsonl", line: 1, evalFile: "eval.jsonl", evalLine: 2))
    let train = TaskFixture.error { () throws(TaskFileError) in
      try TaskFixture.task(
        TaskFixture.arc("one"), eval: [TaskFixture.arc("two")], train: [TaskFixture.arc("one"), TaskFixture.arc("two")])
    }
    #expect(train == .leak(file: "train.jsonl", line: 2, evalFile: "eval.jsonl", evalLine: 1))
  }

  @Test func theSameQuestionWithOtherChoicesIsAnotherRow() throws {
    let task = try TaskFixture.task(
      TaskFixture.arc("Which of these?"), eval: [TaskFixture.arc("Which of these?", ["x", "y"])])
    #expect(task.eval.count == 1)
  }

  @Test func repetitionsInTheEvalFileAreAWarning() throws {
    let task = try TaskFixture.task(TaskFixture.arc("one"), eval: [TaskFixture.arc("two"), TaskFixture.arc("two")])
    #expect(task.warnings == ["eval.jsonl has 1 rows twice"])
  }

  @Test func rowsOfTwoKindsAreAnError() {
    let generated = #"{"question":"Q?","answer":"1"}"#
    #expect(
      TaskFixture.error { () throws(TaskFileError) in try TaskFixture.task(TaskFixture.arc("one"), generated) }
        == .mixedScoring(file: "fewshot.jsonl", line: 2, first: "choice", found: "generate"))
    #expect(
      TaskFixture.error { () throws(TaskFileError) in try TaskFixture.task(generated, settings: "{scoring: 'choice'}") }
        == .scoring(file: "fewshot.jsonl", line: 1, wanted: "choice", found: "generate"))
  }

  @Test func theDigestIsOfTheContentAndNotOfItsSpelling() throws {
    let plain = try TaskFixture.task(#"{"question":"Q","answer":"1"}"#, settings: "{max_tokens: 9}")
    let spelled = try TaskFixture.task(
      "", #"{ "id": "x", "answer": "1", "question": "\u0051" }"#, settings: "{ /* why */ 'max_tokens': 9, }",
      name: "other")
    #expect(plain.digest == spelled.digest)
    let others = [
      try TaskFixture.task(#"{"question":"Q","answer":"2"}"#, settings: "{max_tokens: 9}"),
      try TaskFixture.task(#"{"question":"Q","answer":"1"}"#, settings: "{max_tokens: 8}"),
      try TaskFixture.task(#"{"question":"Q","answer":"1"}"#),
    ]
    for other in others { #expect(other.digest != plain.digest && other.shotsDigest != plain.shotsDigest) }
    let withEval = try TaskFixture.task(
      #"{"question":"Q","answer":"1"}"#, eval: [#"{"question":"R","answer":"1"}"#], settings: "{max_tokens: 9}")
    #expect(withEval.digest != plain.digest)
    #expect(withEval.shotsDigest == plain.shotsDigest)
    #expect("\(plain.digest)".hasPrefix("sha256:"))
  }

  @Test func namesThatAreNoFileNamesAreRefused() {
    for name in ["", "../x", ".hidden", "a/b", "é", String(repeating: "x", count: 65)] {
      #expect(
        TaskFixture.error { () throws(TaskFileError) in try TaskFixture.task(TaskFixture.arc("Q"), name: name) }
          == .name(name))
    }
    #expect(TaskDefinition.isName("arc_easy-2.1"))
  }
}
