import Settings
import Glibc
import TestSupport
import Testing

@testable import Evaluation

@Suite struct TaskFileTests {
  /// A directory with the given files, removed afterwards.
  private func withDirectory(_ files: [String: String], _ body: (String) throws -> Void) throws {
    var template = Array("/tmp/t2-task-XXXXXX".utf8CString)
    guard let made = unsafe mkdtemp(&template) else { throw TaskFileError.empty(file: "mkdtemp") }
    let path = unsafe String(cString: made)
    defer {
      for name in files.keys { unsafe unlink("\(path)/\(name)") }
      unsafe rmdir(path)
    }
    for (name, text) in files {
      guard let file = unsafe fopen("\(path)/\(name)", "w") else { throw TaskFileError.empty(file: name) }
      unsafe fputs(text, file)
      unsafe fclose(file)
    }
    try body(path)
  }

  private func error(_ path: String) -> TaskFileError? {
    TaskFixture.error { () throws(TaskFileError) in try TaskFile.load(path: path, name: "t") }
  }

  @Test func oneFileIsAllShots() throws {
    try withDirectory(["arc_easy.jsonl": TaskFixture.arc("Q")]) { path in
      let task = try TaskFile.load(path: "\(path)/arc_easy.jsonl")
      #expect(task.name == "arc_easy" && task.shots.count == 1 && task.eval.isEmpty)
    }
  }

  @Test func aDirectoryHasItsFourFiles() throws {
    let files = [
      "task.json5": "{max_tokens: 5}", "fewshot.jsonl": TaskFixture.arc("a"), "eval.jsonl": TaskFixture.arc("b"),
      "train.jsonl": TaskFixture.arc("c"), "README.md": "x",
    ]
    try withDirectory(files) { path in
      let task = try TaskFile.load(path: path + "/", name: "mine")
      #expect(task.shots.count == 1 && task.eval.count == 1 && task.train.count == 1)
      #expect(task.settings.maximumTokens == 5 && task.name == "mine")
    }
  }

  @Test func aFileThatCouldBeMeantIsNotPassedOver() throws {
    try withDirectory(["fewshot.jsonl": TaskFixture.arc("a"), "task.json": "{}"]) { path in
      #expect("\(error(path)!)".contains("'task.json'") && "\(error(path)!)".contains("task.json5"))
    }
    try withDirectory(["fewshots.jsonl": TaskFixture.arc("a")]) { path in #expect(error(path) != nil) }
  }

  @Test func whatIsMissingIsNamed() throws {
    try withDirectory(["eval.jsonl": TaskFixture.arc("a")]) { path in
      #expect(error(path) == .missingFile(directory: path, name: "fewshot.jsonl"))
    }
    #expect("\(error("/nonexistent/x.jsonl")!)".contains("ENOENT"))
    #expect("\(error("/dev/null")!)".contains("not a regular file"))
  }

  @Test func theExamplesAreGoodTasks() throws {
    let examples = [
      ("arc_easy", "arc_easy", Scoring.choice), ("arc_challenge.jsonl", "arc_challenge", .choice),
      ("gsm8k.jsonl", "gsm8k", .generate),
    ]
    for (file, name, scoring) in examples {
      let task = try TaskFile.load(path: "\(repository)/etc/examples/tasks/\(file)")
      #expect(task.shots.count == 10 && task.scoring == scoring && task.name == name)
    }
  }

  @Test func noSearchAndNoTrainingOfTheExamplesSeesARowOfTheQuickstartsEvalFile() throws {
    func questions(_ rows: [TaskRow]) -> [String] {
      rows.compactMap { if case .choice(let question, _, _) = $0.content { question } else { nil } }
    }
    let task = try TaskFile.load(path: "\(repository)/etc/examples/tasks/arc_easy")
    let lesson = try TaskFile.load(path: "\(repository)/etc/examples/lessons/arc_easy")
    let held = questions(task.eval)
    #expect(held.count == 100 && Set(held).count == 100)
    let seen = questions(task.shots + lesson.shots + lesson.train + lesson.eval)
    #expect(seen.count > 1000 && Set(held).isDisjoint(with: seen))
  }
}
