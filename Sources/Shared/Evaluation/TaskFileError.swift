package import Sandbox
import StrictJSON

/// Why a task's files could not be read. Rows are named by file and line, so that an editor can go there.
package enum TaskFileError: Error, Equatable, CustomStringConvertible {
  case unreadable(path: String, problem: String)
  case name(String)
  case missingFile(directory: String, name: String)
  case unexpectedFile(directory: String, name: String, suggestion: String?)
  case tooLarge(path: String, bytes: Int, allowed: Int)
  case tooManyRows(file: String, allowed: Int)
  case empty(file: String)
  case json(file: String, line: Int, problem: String)
  /// With the file's name.
  case settings(problem: String)
  case notAnObject(file: String, line: Int, found: String)
  case unknownShape(file: String, line: Int, keys: [String])
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
    case .unknownShape(let file, let line, let keys):
      "\(file), line \(line): the row's keys are of no known shape: \(keys.excerpt); known shapes are in t2-task(5)"
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
