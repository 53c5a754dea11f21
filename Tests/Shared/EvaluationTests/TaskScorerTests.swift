import Records
import StrictJSON
import Testing

@testable import Evaluation

@Suite struct TaskScorerTests {
  @Test func accTakesTheSumAndAccNormTheCharacters() {
    let score = ChoiceScore(sums: [-4, -5, -9], choices: ["ab", "abcde", "é"], gold: 1)
    #expect(score.predicted == 0 && !score.isCorrect)
    #expect(score.predictedNorm == 1 && score.isCorrectNorm)  // -2, -1, -9
    // "e" and a combining accent are two scalars: -3 a scalar against -4.
    #expect(ChoiceScore(sums: [-4, -6], choices: ["x", "e\u{301}"], gold: 0).predictedNorm == 1)
  }

  @Test func tiesGoToTheLowestIndexAndNaNNeverWins() {
    #expect(ChoiceScore(sums: [-2, -1, -1], choices: ["a", "b", "c"], gold: 0).predicted == 1)
    #expect(ChoiceScore(sums: [.nan, -1], choices: ["a", "b"], gold: 0).predicted == 1)
    #expect(ChoiceScore(sums: [-.infinity, -.infinity], choices: ["a", "b"], gold: 0).predicted == 0)
  }

  private func generation(_ output: String, gold: String, settings: String? = nil) throws -> GenerationScore {
    let row: JSONValue = ["question": "Q?", "answer": JSONValue(gold)]
    let task = try TaskFixture.task(row.jsonText, settings: settings)
    guard
      case .generation(_, let score, _) = try TaskScorer(task, sandbox: nil).score(task.shots[0], output: output)
        .outcome
    else {
      Issue.record("not a generation")
      return GenerationScore(extracted: nil, rule: nil, isCorrect: false, byRule: [])
    }
    return score
  }

  @Test func strictIsTriedBeforeFlexible() throws {
    let strict = try generation("3 and 4 make 7.\n#### 7\nor 8", gold: "#### 7")
    #expect(strict.extracted == "7" && strict.rule == "strict" && strict.isCorrect)
    #expect(strict.byRule.map(\.name) == ["strict", "flexible"])
    #expect(strict.byRule.map(\.isCorrect) == [true, false])
    let flexible = try generation("She has 3 + 4 = 7.", gold: "#### 7")
    #expect(flexible.extracted == "7." && flexible.rule == "flexible" && flexible.isCorrect)
  }

  @Test(arguments: [
    ("The total is $1,234.", "#### 1234", true), ("It is 1234", "#### 1,234", true), ("#### -5", "#### -5", true),
    ("#### 5", "#### -5", false), ("the answer is 5.0", "#### 5", true), ("the answer is 5.01", "#### 5", false),
    ("so 12.50", "#### 12.50", true),
    ("no number", "#### 5", false), ("", "#### 5", false), ("#### 18 dollars", "#### 18", true),
    ("I say 7", "7 apples", true),
  ])
  func numbersAreComparedAsTheHarnessDoesAndAsNumbers(output: String, gold: String, isCorrect: Bool) throws {
    #expect(try generation(output, gold: gold).isCorrect == isCorrect)
  }

  @Test func anAnswerThatNoRuleFindsIsWrongAndHasNoRule() throws {
    let score = try generation("I do not know", gold: "#### 5")
    #expect(score.extracted == nil && score.rule == nil && !score.isCorrect)
  }

  @Test func textsAreComparedWhole() throws {
    #expect(try generation("  paris. ", gold: "Paris").isCorrect)
    #expect(try generation("New\n York", gold: "new york").isCorrect)
    #expect(try generation("It is Paris", gold: "Paris").isCorrect == false)
  }

  @Test func aTasksOwnRulesAreTriedInOrder() throws {
    let settings = #"{extract: [{name: "boxed", regex: "\\\\boxed\\{([^}]*)\\}"}, "(yes|no)", "flexible"]}"#
    let boxed = try generation(#"yes \boxed{a} \boxed{No}"#, gold: "no", settings: settings)
    #expect(boxed.extracted == "No" && boxed.rule == "boxed" && boxed.isCorrect)
    let second = try generation("yes, then no", gold: "no", settings: settings)
    #expect(second.extracted == "no" && second.rule == "rule2" && second.isCorrect)
    #expect(try generation("it is 41, no, 42", gold: "42", settings: "{extract: ['flexible']}").isCorrect)
    let first = #"{extract: {name: "f", regex: "a(.)(.)", group: 2, pick: "first", compare: "number"}}"#
    #expect(try generation("ax1 ay2", gold: "1", settings: first).extracted == "1")
  }

  @Test func codeIsNotRunHere() throws {
    let task = try TaskFixture.task(#"{"prompt":"def f():","test":"","entry_point":"f"}"#)
    #expect(task.scoring == .code && task.metric == .passAt1)
    #expect(throws: EvaluationError.codeExecutionDisabled(task: "t")) { try TaskScorer(task, sandbox: nil) }
    #expect(
      EvaluationError.codeExecutionDisabled(task: "t").description
        == "the task 't' is scored by running code, and code execution is not enabled here; set code: { enabled: true } in "
        + "t2d.json5, see t2d.conf(5), and start t2d again")
  }

  @Test func theWrongNumberOfScoresIsAnError() throws {
    let task = try TaskFixture.task(TaskFixture.arc("Q"))
    #expect(throws: EvaluationError.scoreCount(item: "1", expected: 3, found: 2)) {
      try TaskScorer(task, sandbox: nil).score(task.shots[0], sums: [1, 2])
    }
  }

  @Test func theResultCarriesWhatOtherProgramsReadAndHowItWasMade() throws {
    let task = try TaskFixture.task(TaskFixture.arc("one"), TaskFixture.arc("two"), TaskFixture.arc("three"))
    let scorer = try TaskScorer(task, sandbox: nil)
    let sums: [[Double]] = [[-3, -1, -2], [-1, -2, -3], [-9, -1, -3]]
    let result = EvaluationResult(task: task, items: try zip(task.shots, sums).map { try scorer.score($0, sums: $1) })
    #expect(result.correct == [true, false, true])
    #expect(result.count == 3 && result.interval == WilsonInterval(successes: 2, of: 3))
    #expect(abs((result.scores.acc ?? 0) - 2.0 / 3) < 1e-12)
    #expect(result.scores.accNorm != nil && result.scores.exactMatch == nil)
    #expect(result.template == "Question: {question}\nAnswer:" && result.metric == .acc)
    #expect(result.items[0].json["predicted"] == "green")
  }

  @Test func aGeneratedItemShowsTheAnswerAndTheRule() throws {
    let task = try TaskFixture.task(#"{"id":"x","question":"Q?","answer":"7"}"#)
    let item = try TaskScorer(task, sandbox: nil).score(task.shots[0], output: "so 7")
    let scores = EvaluationResult(task: task, items: [item]).scores
    #expect(scores.exactMatch == 1 && scores.acc == nil)
    #expect(scores.exactMatchByRule == ByName([("strict", 0), ("flexible", 1)]))
    #expect(item.json["extracted"] == "7" && item.json["rule"] == "flexible" && item.json["gold"] == "7")
  }
}
