import Testing

@testable import Evaluation

@Suite struct TaskPromptTests {
  private func prompt(_ row: String, _ settings: String? = nil) throws -> TaskPrompt {
    let task = try TaskFixture.task(row, settings: settings)
    return task.prompt(for: task.shots[0])
  }

  private let question = #"{"question":"Q?","answer":"1"}"#

  @Test func choicesAreScoredBehindAPlainQuestion() throws {
    let task = try TaskFixture.task(TaskFixture.arc("What colour?"))
    #expect(task.prompt(for: task.shots[0]) == .text("Question: What colour?\nAnswer:"))
    #expect(task.continuations(for: task.shots[0]) == [" red", " green", " blue"])
    #expect(task.templateName == "Question: {question}\nAnswer:")
    #expect(task.metric == .acc && task.scoring == .choice)
  }

  @Test func choicesBehindAChatTemplateBeginWithoutSpace() throws {
    let task = try TaskFixture.task(TaskFixture.arc("Q?"), settings: "{chat: true, system: 'S'}")
    #expect(
      task.prompt(for: task.shots[0])
        == .chat(
          [PromptMessage(role: "system", content: "S"), PromptMessage(role: "user", content: "Question: Q?\nAnswer:")],
          otherwise: nil))
    #expect(task.continuations(for: task.shots[0]) == ["red", "green", "blue"])
  }

  @Test func questionsToBeAnsweredGoThroughTheChatTemplateWhereThereIsOne() throws {
    let user = [PromptMessage(role: "user", content: "Q?")]
    #expect(try prompt(question) == .chat(user, otherwise: "Question: Q?\nAnswer:"))
    #expect(try prompt(question, "{chat: true}") == .chat(user, otherwise: nil))
    #expect(try prompt(question, "{chat: false}") == .text("Question: Q?\nAnswer:"))
    #expect(try prompt(question, "{chat: false, system: 'S'}") == .text("S\n\nQuestion: Q?\nAnswer:"))
  }

  @Test func promptsAndConversationsGoAsTheyAre() throws {
    #expect(
      try prompt(#"{"prompt":"P","completion":"x"}"#)
        == .chat(
          [PromptMessage(role: "user", content: "P")], otherwise: "P"))
    let messages =
      #"{"messages":[{"role":"system","content":"A"},{"role":"user","content":"U"},{"role":"assistant","content":"x"}]}"#
    #expect(
      try prompt(messages, "{system: 'B'}")
        == .chat(
          [PromptMessage(role: "system", content: "B"), PromptMessage(role: "user", content: "U")],
          otherwise: "B\n\nA\n\nU"))
  }

  @Test func aTemplateTakesTheRowsFields() throws {
    let row = #"{"id":7,"question":"Q?","answer":"1","level":3}"#
    let settings = #"{template: "{id}: {question} ({level}) {{x}}"}"#
    #expect(
      try prompt(row, settings)
        == .chat([PromptMessage(role: "user", content: "7: Q? (3) {x}")], otherwise: "7: Q? (3) {x}"))
    #expect(
      try prompt(TaskFixture.arc("Q?"), #"{template: "{question}\n{choices}\n"}"#)
        == .text("Q?\nA. red\nB. green\nC. blue\n"))
  }

  @Test func aFieldThatARowLacksIsAnErrorWithItsLine() {
    let found = TaskFixture.error { () throws(TaskFileError) in
      try TaskFixture.task(
        #"{"question":"a","answer":"1","hint":"h"}"#, #"{"question":"b","answer":"1"}"#,
        settings: #"{template: "{question} {hint}"}"#)
    }
    #expect(found == .templateField(file: "fewshot.jsonl", line: 2, field: "hint", keys: ["question", "answer"]))
  }

  @Test func aTemplateThatMakesMuchOfLittleIsRefused() {
    let question = String(repeating: "q", count: 100_000)
    let settings = #"{ template: "\#(String(repeating: "{input}", count: 1000))" }"#
    let error = TaskFixture.error { () throws(TaskFileError) in
      try TaskFixture.task(#"{"input":"\#(question)","output":"b"}"#, settings: settings)
    }
    #expect(error == .promptTooLong(file: "fewshot.jsonl", line: 1, allowed: 4 << 20))
  }

  @Test func stopsDependOnTheTemplate() throws {
    let task = try TaskFixture.task(question)
    #expect(task.stops(chat: true) == [])
    #expect(task.stops(chat: false) == ["Question:"])
    #expect(try TaskFixture.task(question, settings: "{stop: 'X'}").stops(chat: true) == ["X"])
  }

  @Test func codeIsContinuedAndNotChattedAbout() throws {
    let humanEval = #"{"prompt":"def f():\n    \"\"\" one \"\"\"\n","test":"","entry_point":"f"}"#
    let begun = "def f():\n    \"\"\" one \"\"\""
    #expect(try prompt(humanEval) == .text(begun))
    #expect(
      try prompt(humanEval, "{chat: true}") == .chat([PromptMessage(role: "user", content: begun)], otherwise: nil))
    let task = try TaskFixture.task(humanEval)
    #expect(
      task.stops(chat: false) == ["\nclass", "\ndef", "\n#", "\n@", "\nprint", "\nif", "\n```"]
        && task.stops(chat: true).isEmpty)
    #expect(task.templateName == "{prompt}")

    let mbpp = #"{"text":"Write f.","test_list":["assert f() == 1","assert f()"],"code":""}"#
    #expect(try prompt(mbpp) == .text("\"\"\"\nWrite f.\nassert f() == 1\nassert f()\n\"\"\"\n"))
    let other = try TaskFixture.task(mbpp)
    #expect(other.stops(chat: false) == ["\nclass", "\nassert", "\n\"\"\"", "\nprint", "\nif"])
    #expect(other.templateName == "\"\"\"\n{text}\n{test_list}\n\"\"\"\n")
  }
}
