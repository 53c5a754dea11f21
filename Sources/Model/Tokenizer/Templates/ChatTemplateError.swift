/// Why a conversation cannot be put through a model's chat template. Lines are those of the template, from 1.
package enum ChatTemplateError: Error, Equatable, CustomStringConvertible {
  /// The model has none.
  case missing
  case syntax(line: Int, problem: String)
  /// Jinja has it, or may have it, and this reader has not.
  case unsupported(line: Int, what: String)
  case tooLarge(what: String, found: Int, allowed: Int)
  /// What the template does with its values cannot be done.
  case failed(line: Int, problem: String)
  /// The template itself refuses the conversation (`raise_exception`), in its own words.
  case refused(message: String)
  case endless(line: Int, steps: Int)
  case tooDeep(line: Int, allowed: Int)
  /// The simplest conversation fails, as tried when the model was loaded.
  case unusable(problem: String)

  package var description: String {
    switch self {
    case .missing: "the model has no chat template; use the task's 'template', or 'chat: false'"
    case .syntax(let line, let problem): "line \(line) of the model's chat template cannot be read: \(problem)"
    case .unsupported(let line, let what):
      "line \(line) of the model's chat template uses \(what), which t2d does not know; give a prompt without the "
        + "template ('chat: false')"
    case .tooLarge(let what, let found, let allowed):
      "the model's chat template has \(found) \(what), at most \(allowed) are allowed"
    case .failed(let line, let problem): "line \(line) of the model's chat template fails: \(problem)"
    case .refused(let message):
      "the model's chat template refuses this conversation: \(quoted(message)); send the roles in the order that it "
        + "wants, or a prompt without the template ('chat: false')"
    case .endless(let line, let steps):
      "the model's chat template did not end within \(steps) steps, it was in line \(line); does it loop forever?"
    case .tooDeep(let line, let allowed):
      "line \(line) of the model's chat template is nested more than \(allowed) deep; does a macro call itself?"
    case .unusable(let problem): "a chat of one question fails: \(problem)"
    }
  }
}
