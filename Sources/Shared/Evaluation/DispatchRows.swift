import StrictJSON

/// A prompt and the label that it should get, from a line of JSONL: `{"prompt": ..., "label": ...}`, or a task's row with
/// a `label`, of which the question is the prompt.
package struct DispatchRow: Sendable, Equatable {
  package var line: Int
  package var prompt: String
  package var label: String

  package init(line: Int, prompt: String, label: String) {
    self.line = line
    self.prompt = prompt
    self.label = label
  }

  package static let maximumRows = 100_000

  /// Reads a file; every label must be one of `labels` (of which the last is `other`).
  package static func read(
    _ bytes: [UInt8], file: String, labels: [String]
  ) throws(DispatchRowError) -> [DispatchRow] {
    var rows: [DispatchRow] = []
    for item in JSONLines(bytes) {
      let object: JSONObject
      switch item.value {
      case .failure(let error):
        throw .json(file: file, line: item.number, problem: "\(error.problem) (column \(error.column))")
      case .success(let value):
        guard let found = value.objectValue else {
          throw .json(file: file, line: item.number, problem: "it is \(value.kindName), a row is an object")
        }
        object = found
      }
      guard let label = object["label"]?.stringValue else {
        throw .noLabel(file: file, line: item.number, keys: object.keys)
      }
      guard let known = labels.first(where: { $0.utf8.elementsEqual(label.utf8) }) else {
        throw .unknownLabel(file: file, line: item.number, label: label, known: labels)
      }
      guard let prompt = prompt(of: object), !prompt.isEmpty else {
        throw .noPrompt(file: file, line: item.number, keys: object.keys)
      }
      rows.append(DispatchRow(line: item.number, prompt: prompt, label: known))
      guard rows.count <= maximumRows else { throw .tooMany(file: file) }
    }
    guard !rows.isEmpty else { throw .empty(file: file) }
    return rows
  }

  private static func prompt(of row: JSONObject) -> String? {
    for key in ["prompt", "question", "input", "text", "problem"] {
      if let text = row[key]?.stringValue { return text }
    }
    if let stem = row["question"]?["stem"]?.stringValue { return stem }
    return row["messages"]?.arrayValue?.last { $0["role"] == "user" }?["content"]?.stringValue
  }
}

/// What is wrong with a file of labelled prompts.
package enum DispatchRowError: Error, Sendable, Equatable, CustomStringConvertible {
  case json(file: String, line: Int, problem: String)
  case noLabel(file: String, line: Int, keys: [String])
  case noPrompt(file: String, line: Int, keys: [String])
  case unknownLabel(file: String, line: Int, label: String, known: [String])
  case tooMany(file: String)
  case empty(file: String)

  package var description: String {
    switch self {
    case .json(let file, let line, let problem): "\(file), line \(line): \(problem)"
    case .noLabel(let file, let line, let keys):
      "\(file), line \(line): the row has no \"label\"; it has \(keys.excerpt)"
    case .noPrompt(let file, let line, let keys):
      "\(file), line \(line): the row has neither \"prompt\" nor \"question\"; it has \(keys.excerpt)"
    case .unknownLabel(let file, let line, let label, let known):
      "\(file), line \(line): the label '\(label.excerpt)' is none of \(known.joined(separator: ", ")), which are those of "
        + "the active experts and 'other'"
    case .tooMany(let file): "\(file): more than \(DispatchRow.maximumRows) rows"
    case .empty(let file): "\(file): there are no rows in it"
    }
  }
}
