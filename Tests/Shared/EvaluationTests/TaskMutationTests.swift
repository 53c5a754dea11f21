import TestSupport
import StrictJSON
import Testing

@testable import Evaluation

/// Tasks and dispatch files that were good once and are hostile now.
@Suite struct TaskMutationTests {
  private static func task(
    _ rows: [UInt8], settings: [UInt8]? = nil
  ) throws(TaskFileError) -> TaskDefinition {
    try TaskDefinition(
      name: "t",
      files: .init(
        fewshot: .init(name: "fewshot.jsonl", bytes: rows),
        settings: settings.map { .init(name: "task.json5", bytes: $0) })
    )
  }

  /// Everything that is made of a task's rows before a model sees them.
  private static func use(_ task: TaskDefinition) {
    _ = (task.templateName, task.stops(chat: true), task.stops(chat: false))
    for row in task.shots {
      _ = (task.prompt(for: row), task.requests(for: row), task.continuations(for: row), task.request(of: row))
      _ = (task.solution(for: row, chat: false), row.question, row.goldAnswer)
    }
  }

  @Test func mutatedRowsAreReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      let rows = [
        #"{"id":"q1","question":"Which?","choices":{"text":["red","green"],"label":["A","B"]},"answerKey":"B","label":"x"}"#,
        #"{"question":{"stem":"Which?","choices":[{"text":"red","label":"1"},{"text":"blue","label":2}]},"answerKey":2}"#,
        #"{"question":"Which?","choices":["red","green","blue"],"answer":1}"#,
        #"{"question":"How many?","answer":"3 + 4 = <<3+4=7>>7\n#### 7"}"#,
        #"{"prompt":"Go on","completion":"-$1,200.50 and more"}"#, #"{"input":"a","output":-1.5e3}"#,
        #"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"},{"role":"assistant","content":"42"}]}"#,
        #"{"task_id":7,"prompt":"def f():\n","test":"def check(f): pass","entry_point":"f","canonical_solution":"  pass"}"#,
        #"{"text":"Write f.","test_list":["assert f()"],"test_imports":["import os"],"test_setup_code":"","code":"x"}"#,
        #"[{"instruction":"Translate.","input":"hot","output":"cold"}, {"instruction":"Say.","input":"","output":"x"}]"#,
        "{\n \"question\": \"Q\",\n \"answer\": 1e400\n}\n{\n \"question\": \"R\",\n \"score\": NaN, \"context\": \"c\", \"answers\": {\"text\": [\"a\"]}\n}",
        #"{"sentence":"The cup is in the _ now.","option1":"bag","option2":"box","answer":"2"}"#,
        #"{"ctx_a":"A man [title] mixes.","ctx_b":"he","ctx":"c","endings":["a [x] b","c","d"],"label":"1","activity_label":"Bake"}"#,
        #"{"question":"Which?","options":{"A":"red","B":"green"},"answer_idx":"B"}"#,
        #"{"conversations":[{"from":"human","value":"U"},{"from":"gpt","value":[{"type":"text","text":"A"}]}]}"#,
        "{\"text\":\"good\",\"label\":\"yes\"}\n{\"text\":\"bad\",\"label\":\"no\"}",
      ]
      // Several bad rows are told of together.
      let problem = withstand(rows.map { Array($0.utf8) }, messageBytes: 6000) { Self.use(try Self.task($0)) }
      #expect(problem == nil, "\(problem ?? "")")
    }
  }

  @Test func mutatedTablesAreReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      let tables = [
        "question,choices,answer\r\n\"What, \"\"now\"\"?\",\"[\"\"a\"\",\"\"b\"\"]\",1\r\n",
        "question;answer\nWhat?;\"a\nb\"\nWho?;c\n",
        "\u{FEFF}question,A,B,answer\nWhich?,red,green,B\n",
      ]
      let problem = withstand(tables.map { Array($0.utf8) }, messageBytes: 6000) { bytes in
        Self.use(try TaskDefinition(name: "t", files: .init(fewshot: .init(name: "rows.csv", bytes: bytes))))
      }
      #expect(problem == nil, "\(problem ?? "")")
    }
  }

  @Test func mutatedSettingsAreReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      let settings = [
        """
        {scoring: "generate", metric: "exact_match", template: "Q: {question} {{x}}\\nA:", system: "s", chat: false,
        max_tokens: 64, stop: ["\\n", "Q:"], model: "m", experts: ["a", "b"], description: "d", license: "l",
        extract: ["strict", "(a+)(b)?", {name: "n", regex: "[0-9]{1,3}|(?<x>[a-z&&[^aeiou]])", group: 1, pick: "first",
        compare: "number"}], search: {method: "cem", granularity: "layer", mix: "delta", objective: "loglik",
        iterations: 3, population: 8, elite: 0.2, seed: 7, shots: 4, normalized: true, range: [0, 1.5],
        budget: {prompts: 100, seconds: 1.5}}}
        """,
        #"{"extract": "flexible", "experts": "*", "stop": "\n", "search": {"range": [-1, 1]}}"#,
      ]
      let rows = Array(#"{"question":"How many?","answer":"7"}"#.utf8)
      let problem = withstand(settings.map { Array($0.utf8) }) { bytes in
        let task = try Self.task(rows, settings: bytes)
        Self.use(task)
        if let rules = task.settings.extract {
          _ = try AnswerExtractor(rules.items).score("aab 12 x", gold: .number("12"))
        }
      }
      #expect(problem == nil, "\(problem ?? "")")
    }
  }

  @Test func mutatedLabelledPromptsAreReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      let rows = [
        #"{"prompt":"2 + 2?","label":"math"}"#, #"{"question":{"stem":"Which?"},"label":"other"}"#,
        #"{"messages":[{"role":"user","content":"u"}],"label":"math"}"#,
      ]
      let problem = withstand(rows.map { Array($0.utf8) }) { bytes in
        _ = try DispatchRow.read(bytes, file: "labelled.jsonl", labels: ["math", "other"])
      }
      #expect(problem == nil, "\(problem ?? "")")
    }
  }

  @Test func aMutatedDispatchTemplateIsReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      let problem = withstand([Array(DispatchTemplate.builtIn.text.utf8), Array("{labels} {{prompt}} {prompt}".utf8)]) {
        bytes in
        _ = try DispatchTemplate(bytes: bytes, source: "dispatch.txt").render(labels: ["math"], prompt: "{labels}")
      }
      #expect(problem == nil, "\(problem ?? "")")
    }
  }

  /// What a model says is as hostile as a file: no answer of it may end the process.
  @Test func noAnswerEndsTheProcess() async {
    await #expect(processExitsWith: .success) {
      let answers = [
        #"So \boxed{\text{math}} or \boxed{other}. #### -1,234.5"#, "```python\ndef f():\n  pass\n```\n$1.2.",
      ]
      let row = CodeProblem(prompt: "def f():\n", tests: ["check"], entryPoint: "f", solution: nil)
      let problem = withstand(answers.map { Array($0.utf8) }) { bytes in
        // The samples are answers; of what they become some must be none.
        guard let text = String(validating: bytes, as: UTF8.self) else {
          throw EvaluationError.codeExecutionDisabled(task: "")
        }
        _ = BoxedAnswer(lastIn: text)?.label(of: ["math", "other"])
        _ = try AnswerExtractor([.strict, .flexible, .whole]).score(text, gold: .number("-1234.5"))
        _ = (CodeProgram(row, completion: text), GoldAnswer(text))
      }
      #expect(problem == nil, "\(problem ?? "")")
    }
  }
}
