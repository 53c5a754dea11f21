import StrictJSON

/// A prompt and the label that it should get, from a row of a file: `{"prompt": ..., "label": ...}`, or a task's row with
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
    let found: RowFile
    do throws(TaskFileError) {
      found = try RowFile(.init(name: file, bytes: bytes), maximumRows: maximumRows)
    } catch {
      throw .file(error)
    }
    if let problem = found.problems.first { throw .file(problem) }
    var rows: [DispatchRow] = []
    for item in found.rows {
      let object = item.object
      guard let label = object["label"]?.stringValue else {
        throw .noLabel(file: file, line: item.line, keys: object.keys)
      }
      guard let known = labels.first(where: { $0.utf8.elementsEqual(label.utf8) }) else {
        throw .unknownLabel(file: file, line: item.line, label: label, known: labels)
      }
      guard let prompt = prompt(of: object), !prompt.isEmpty else {
        throw .noPrompt(file: file, line: item.line, keys: object.keys)
      }
      rows.append(DispatchRow(line: item.line, prompt: prompt, label: known))
    }
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
  /// It is no file of rows, or one of them is none.
  case file(TaskFileError)
  case noLabel(file: String, line: Int, keys: [String])
  case noPrompt(file: String, line: Int, keys: [String])
  case unknownLabel(file: String, line: Int, label: String, known: [String])

  package var description: String {
    switch self {
    case .file(let error): error.description
    case .noLabel(let file, let line, let keys):
      "\(file), line \(line): the row has no \"label\"; it has \(keys.excerpt)"
    case .noPrompt(let file, let line, let keys):
      "\(file), line \(line): the row has neither \"prompt\" nor \"question\"; it has \(keys.excerpt)"
    case .unknownLabel(let file, let line, let label, let known):
      "\(file), line \(line): the label '\(label.excerpt)' is none of \(known.joined(separator: ", ")), which are those of "
        + "the active experts and 'other'"
    }
  }
}
