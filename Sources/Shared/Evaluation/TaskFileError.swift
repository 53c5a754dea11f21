package import FileKinds
package import Sandbox
import Settings
import StrictJSON

/// Why a task's files could not be read. Rows are named by file and line, so that an editor can go there.
package enum TaskFileError: Error, Equatable, CustomStringConvertible {
  case unreadable(path: String, problem: String)
  case name(String)
  case missingFile(directory: String, name: String)
  case unexpectedFile(directory: String, name: String, suggestion: String?)
  case twoFiles(directory: String, String, String)
  case tooLarge(path: String, bytes: Int, allowed: Int)
  case tooManyRows(file: String, allowed: Int)
  case empty(file: String)
  case json(file: String, line: Int, problem: String)
  /// What the file is instead.
  case kind(file: String, FileKind)
  /// Of a file with separators.
  case table(file: String, line: Int, problem: String)
  /// Several rows, each with its own.
  indirect case rows(file: String, [TaskFileError])
  /// With the file's name.
  case settings(problem: String)
  case notAnObject(file: String, line: Int, found: String)
  /// `nearest`: the end of a sentence.
  case unknownShape(file: String, line: Int, keys: [String], nearest: String?)
  case templateShape(file: String, line: Int, template: String, fields: [String], keys: [String])
  /// A row with a template that says nowhere what is right.
  case noAnswer(file: String, line: Int, keys: [String], names: [String])
  /// Text fields that nothing reads.
  case unreadFields(file: String, line: Int, fields: [String])
  /// Lines of rows that say that it is the one and the other.
  case ambiguousDigits(file: String, line: Int, others: [Int])
  case field(file: String, line: Int, field: String, problem: String)
  case answerNotAmongChoices(file: String, line: Int, answer: String, choices: [String])
  case emptyChoice(file: String, line: Int, index: Int)
  case equalChoices(file: String, line: Int, first: Int, second: Int, text: String)
  case duplicate(file: String, line: Int, otherFile: String, otherLine: Int)
  case leak(file: String, line: Int, evalFile: String, evalLine: Int)
  case promptTooLong(file: String, line: Int, allowed: Int)
  case templateField(file: String, line: Int, field: String, keys: [String])
  case scoring(file: String, line: Int, wanted: String, found: String)
  case mixedScoring(file: String, line: Int, first: String, found: String)

  package var description: String {
    switch self {
    case .unreadable(let path, let problem):
      "cannot read the task '\(path)': \(problem)"
    case .name(let name):
      "'\(name)' is not a valid task name; a name takes letters, digits, '_', '-' and '.', begins with a letter or digit, and has at most 64 of them"
    case .missingFile(let directory, let name):
      "the task directory '\(directory)' has no '\(name)'; it holds fewshot.jsonl and, if wanted, task.json5, eval.jsonl and train.jsonl"
    case .unexpectedFile(let directory, let name, let suggestion):
      "the task directory '\(directory)' has a file '\(name)' that is not read"
        + (suggestion.map { "; did you mean '\($0)'?" } ?? "")
    case .twoFiles(let directory, let first, let second):
      "the task directory '\(directory)' has '\(first)' and '\(second)', and only one of them can be meant; remove the other"
    case .tooLarge(let path, let bytes, let allowed):
      "'\(path)' has \(bytes) bytes, a task's file at most \(allowed)"
    case .tooManyRows(let file, let allowed):
      "'\(file)' has more than \(allowed) rows, the most that a task's file may have; use a part of it"
    case .empty(let file):
      "'\(file)' has no rows; a few-shot file needs at least one"
    case .json(let file, let line, let problem):
      "\(file), line \(line): not JSON: \(problem)"
    case .settings(let problem):
      problem
    case .notAnObject(let file, let line, let found):
      "\(file), line \(line): a row is a JSON object, found \(found)"
    case .kind(let file, let kind):
      "\(file): this is \(kind.name), and no file of rows\(kind.advice.map { "; " + $0 } ?? Self.conversion(of: kind, file))"
    case .table(let file, let line, let problem): "\(file), line \(line): \(problem)"
    case .rows(_, let problems): Self.several(problems)
    case .unknownShape(let file, let line, let keys, let nearest):
      "\(file), line \(line): the row's fields are of no known shape: \(keys.excerpt); "
        + (nearest.map { $0 + "; all" } ?? "known") + " shapes are in t2-task(5)"
    case .templateShape(let file, let line, let template, let fields, let keys):
      "\(file), line \(line): \(template) is for rows with \(fields.map { "'\($0)'" }.joined(separator: " or ")), this one has: "
        + keys.excerpt
    case .noAnswer(let file, let line, let keys, let names):
      "\(file), line \(line): no field says what is right: \(keys.excerpt); name it in task.json5: fields: { answer: \"NAME\" }, or "
        + "call it one of \(names.joined(separator: ", "))"
    case .unreadFields(let file, let line, let fields):
      "\(file), line \(line): the text of \(fields.map { "'\($0.excerpt)'" }.prefix(8).joined(separator: ", ")) would not be part of "
        + "what is asked; in task.json5 use it in a template: \"{\(fields[0].excerpt)} ...\", or pass over it: ignore_fields: "
        + "[\(fields.prefix(8).map { "\"\($0.excerpt)\"" }.joined(separator: ", "))]"
    case .ambiguousDigits(let file, let line, let others):
      "\(file), line \(line): the answer is an index from 0 and also the text of another choice, and "
        + (others.isEmpty
          ? "no other row tells which is meant"
          : "line \(others[0]) can only be an index and line \(others[1]) only a text")
        + "; say so in task.json5: digits: \"index\" or digits: \"text\""
    case .field(let file, let line, let field, let problem):
      "\(file), line \(line): '\(field)' \(problem)"
    case .answerNotAmongChoices(let file, let line, let answer, let choices):
      "\(file), line \(line): the answer '\(answer.excerpt)' is not among the choices: \(choices.excerpt)"
    case .emptyChoice(let file, let line, let index):
      "\(file), line \(line): choice \(index + 1) is empty"
    case .equalChoices(let file, let line, let first, let second, let text):
      "\(file), line \(line): choices \(first + 1) and \(second + 1) are equal: '\(text.excerpt)'"
    case .duplicate(let file, let line, let otherFile, let otherLine):
      "\(file), line \(line): the same row stands in \(otherFile), line \(otherLine); remove one"
    case .leak(let file, let line, let evalFile, let evalLine):
      "\(file), line \(line): the row also stands in \(evalFile), line \(evalLine); a score on rows that the search has seen means nothing"
    case .promptTooLong(let file, let line, let allowed):
      "\(file), line \(line): the template makes a prompt of more than \(allowed) bytes of the row"
    case .templateField(let file, let line, let field, let keys):
      "\(file), line \(line): the template names the field '{\(field.excerpt)}', which the row does not have as text; it has: \(keys.excerpt)"
    case .scoring(let file, let line, let wanted, let found):
      "\(file), line \(line): the task's scoring is '\(wanted)', the row is one for '\(found)'"
    case .mixedScoring(let file, let line, let first, let found):
      "\(file), line \(line): the row is one for '\(found)', the rows before are for '\(first)'; a task has rows of one kind"
    }
  }

  /// The command that makes rows of a table that pandas reads; empty for what is none.
  private static func conversion(of kind: FileKind, _ file: String) -> String {
    guard case .table(let table) = kind,
      let command = table.conversion(of: file, to: TaskFileName.task(ofPath: file) + ".jsonl")
    else { return "" }
    return "; convert it: \(command)"
  }

  /// Of several rows.
  static let shownRows = 20
  private static let shownBytes = 4096

  private static func several(_ problems: [TaskFileError]) -> String {
    var shown: [String] = []
    var bytes = 0
    for problem in problems.prefix(shownRows) where bytes < shownBytes {
      shown.append(problem.description)
      bytes += problem.description.utf8.count
    }
    let more = problems.count - shown.count
    return "\(problems.count) rows are bad: \(shown.joined(separator: "; "))" + (more > 0 ? "; and \(more) more" : "")
  }

  /// What is wrong, one by one.
  package var single: [TaskFileError] {
    if case .rows(_, let problems) = self { problems } else { [self] }
  }

  /// Where in its file; nil for what is of no line.
  package var line: Int? {
    switch self {
    case .json(_, let line, _), .table(_, let line, _), .notAnObject(_, let line, _), .unknownShape(_, let line, _, _),
      .templateShape(_, let line, _, _, _), .noAnswer(_, let line, _, _), .unreadFields(_, let line, _),
      .ambiguousDigits(_, let line, _), .field(_, let line, _, _), .answerNotAmongChoices(_, let line, _, _),
      .emptyChoice(_, let line, _), .equalChoices(_, let line, _, _, _), .duplicate(_, let line, _, _),
      .leak(_, let line, _, _), .promptTooLong(_, let line, _), .templateField(_, let line, _, _),
      .scoring(_, let line, _, _), .mixedScoring(_, let line, _, _):
      line
    case .unreadable, .name, .missingFile, .unexpectedFile, .twoFiles, .tooLarge, .tooManyRows, .empty, .kind, .rows,
      .settings:
      nil
    }
  }
}

/// Why rows could not be scored.
package enum EvaluationError: Error, Equatable, CustomStringConvertible {
  case codeExecutionDisabled(task: String)
  case code(SandboxError)
  case scoreCount(item: String, expected: Int, found: Int)
  case invalidPattern(rule: String, problem: String)

  package var description: String {
    switch self {
    case .codeExecutionDisabled(let task):
      "the task '\(task)' is scored by running code, and code execution is not enabled here; set code: { enabled: true } in "
        + "t2d.json5, see t2d.conf(5), and start t2d again"
    case .code(let error): error.description
    case .scoreCount(let item, let expected, let found):
      "row \(item) has \(expected) choices, \(found) scores were given"
    case .invalidPattern(let rule, let problem):
      "the extraction rule '\(rule.excerpt)' is not a valid regular expression: \(problem)"
    }
  }
}
