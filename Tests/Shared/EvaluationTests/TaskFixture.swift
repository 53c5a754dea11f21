import StrictJSON

@testable import Evaluation

/// Tasks made of text in the test itself.
enum TaskFixture {
  static func arc(_ question: String, _ choices: [String] = ["red", "green", "blue"], key: String = "B") -> String {
    let labels = JSONValue(["A", "B", "C", "D", "E"].prefix(choices.count).map { $0 })
    let row: JSONValue = [
      "question": JSONValue(question), "choices": ["text": JSONValue(choices), "label": labels],
      "answerKey": JSONValue(key),
    ]
    return row.jsonText
  }

  static func task(
    _ fewshot: String..., eval: [String]? = nil, train: [String]? = nil, settings: String? = nil, name: String = "t"
  ) throws(TaskFileError) -> TaskDefinition {
    func file(_ name: String, _ lines: [String]) -> TaskDefinition.Files.File {
      .init(name: name, bytes: Array(lines.joined(separator: "\n").utf8))
    }
    return try TaskDefinition(
      name: name,
      files: .init(
        fewshot: file("fewshot.jsonl", fewshot), eval: eval.map { file("eval.jsonl", $0) },
        train: train.map { file("train.jsonl", $0) }, settings: settings.map { file("task.json5", [$0]) }))
  }

  /// The error of a task, or nil.
  static func error(_ make: () throws(TaskFileError) -> TaskDefinition) -> TaskFileError? {
    do throws(TaskFileError) {
      _ = try make()
      return nil
    } catch {
      return error
    }
  }

  static func row(_ json: String) throws -> TaskRow {
    try task(json).shots[0]
  }
}
