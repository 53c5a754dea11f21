import Foundation
import Sandbox
import StrictJSON
import SystemSupport
import Testing

@testable import Evaluation

@Suite(
  .enabled(
    if: (try? FileSystem.status(SandboxSettings().interpreter, followingLinks: true)) != nil,
    "python3 is not installed")
)
struct CodeProgramTests {
  private static let sandbox: Sandbox = {
    var settings = SandboxSettings()
    settings.timeout = .seconds(60)  // a busy machine
    return Sandbox(settings)
  }()

  /// All 164 problems of HumanEval.
  private func humanEval() throws -> TaskDefinition {
    let path = Bundle.module.bundlePath + "/Fixtures/humaneval.jsonl"
    return try TaskDefinition(
      name: "humaneval",
      files: .init(
        fewshot: .init(name: "humaneval.jsonl", bytes: try FileSystem.readAll(path, maximumBytes: 1 << 20))))
  }

  private func problem(_ row: TaskRow) throws -> CodeProblem {
    guard case .code(let problem) = row.content else { throw NoCode() }
    return problem
  }

  private struct NoCode: Error {}

  @Test func everyCanonicalSolutionOfHumanEvalPasses() throws {
    let task = try humanEval()
    let scorer = try TaskScorer(task, sandbox: Self.sandbox)
    #expect(task.shots.count == 164)
    for row in task.shots {
      let item = try scorer.score(row, output: try #require(try problem(row).solution))
      #expect(item.isCorrect(.passAt1), "\(row.id): \(JSONValue.object(item.json).jsonText)")
    }
  }

  @Test func everyBrokenSolutionOfHumanEvalFails() throws {
    let task = try humanEval()
    let scorer = try TaskScorer(task, sandbox: Self.sandbox)
    // No body, another answer, an end before the tests, and the right solution of another problem.
    let broken = ["", "    return 'wrong'\n", "    import sys\n    sys.exit(0)\n", "    import os\n    os._exit(0)\n"]
    for (number, row) in task.shots.enumerated() {
      let completion = broken[number % broken.count]
      let item = try scorer.score(row, output: completion)
      #expect(!item.isCorrect(.passAt1), "\(row.id) passes with \(completion.debugDescription)")
    }
  }

  private func item(_ row: JSONValue, _ output: String, settings: String? = nil) throws -> JSONObject {
    let task = try TaskFixture.task(row.jsonText, settings: settings)
    var short = SandboxSettings()
    short.timeout = .seconds(2)
    return try TaskScorer(task, sandbox: Sandbox(short)).score(task.shots[0], output: output).json
  }

  private let add: JSONValue = [
    "task_id": "add", "prompt": "def add(a, b):\n    \"\"\" the sum \"\"\"\n", "entry_point": "add",
    "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(2, 2) == 4\n",
  ]

  @Test func aFailureNamesTheAssertion() throws {
    let item = try item(add, "    return 3\n")
    #expect(item["pass"] == false && item["outcome"] == "failed")
    let detail = item["detail"]?.stringValue ?? ""
    #expect(detail.contains("assert candidate(2, 2) == 4") && detail.hasSuffix("AssertionError"), "\(detail)")
    #expect(item["output"] == "    return 3\n")
  }

  @Test func everyOtherEndHasItsName() throws {
    #expect(try item(add, "    return a + b\n")["outcome"] == "passed")
    #expect(try item(add, "    while True: pass\n")["outcome"] == "timed_out")
    #expect(try item(add, "    return 'x' * (1 << 40)\n")["outcome"] == "out_of_memory")
    #expect(try item(add, "    import os\n    os.abort()\n")["outcome"] == "killed")
    #expect(try item(add, "    return a + b\nimport sys\nsys.exit(0)\n")["outcome"] == "unfinished")
    #expect(try item(add, "    return a + b\nprint('tests passed')\nexit()\n")["outcome"] == "unfinished")
    #expect(try item(add, "    return a + b\nclass int(\n")["outcome"] == "failed")
  }

  @Test(
    .enabled(
      if: (try? sandbox.probe().contains(.seccomp)) == true, "this kernel has no seccomp"))
  func whatIsForbiddenIsCalledSo() throws {
    let item = try item(add, "    import os\n    os.fork()\n")
    #expect(item["outcome"] == "forbidden" && item["detail"]?.stringValue?.contains("what is forbidden") == true)
  }

  @Test func aChatsFencedFunctionIsTaken() throws {
    let answer = "Here it is:\n```python\ndef add(a, b):\n    return a + b\n```\nIt adds."
    #expect(try item(add, answer)["pass"] == true)
    #expect(try item(add, "```\ndef add(a, b):\n    return a + b")["pass"] == true)
    #expect(try item(add, "def add(a, b):\n    return a + b\n```\nIt adds.")["pass"] == true)
    #expect(try item(add, "Here it is: add.")["pass"] == false)
  }

  @Test func mbppRowsRunTheirTestsAfterTheirImports() throws {
    let row: JSONValue = [
      "task_id": 1, "text": "Write a function to take a root.", "code": "def root(x): return math.sqrt(x)",
      "test_list": ["assert root(4) == 2", "assert root(9) == 3"], "test_setup_code": "",
      "test_imports": ["import math"],
    ]
    #expect(try item(row, "def root(x):\n    return math.sqrt(x)\n")["pass"] == true)
    #expect(try item(row, "def root(x):\n    return x / 2\n")["pass"] == false)
  }

  @Test func passAt1HasItsIntervalAndItsItems() throws {
    let other: JSONValue = ["prompt": "def f():\n", "test": "def check(c): assert c() == 1", "entry_point": "f"]
    let task = try TaskFixture.task(add.jsonText, other.jsonText)
    let scorer = try TaskScorer(task, sandbox: Self.sandbox)
    let result = EvaluationResult(
      task: task,
      items: [
        try scorer.score(task.shots[0], output: "    return a + b"),
        try scorer.score(task.shots[1], output: "    return 2"),
      ])
    #expect(result.scores.passAt1 == 0.5 && result.metric == .passAt1 && result.scoring == .code)
    #expect(result.interval == WilsonInterval(successes: 1, of: 2) && result.template == "{prompt}")
    #expect(result.items.map { $0.json["pass"] } == [true, false])
  }

  @Test func withoutAnInterpreterATaskOfCodeIsAnErrorThatSaysWhatToInstall() throws {
    let task = try TaskFixture.task(add.jsonText)
    var settings = SandboxSettings()
    settings.interpreter = "/nonexistent/python3"
    let error = #expect(throws: EvaluationError.self) { try TaskScorer(task, sandbox: Sandbox(settings)) }
    #expect("\(error.map { "\($0)" } ?? "")".contains("install python3"))
  }
}
