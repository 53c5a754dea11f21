/// What the model is given for a row, before tokens.
package enum TaskPrompt: Sendable, Equatable {
  /// A text as it is, without template and added tokens.
  case text(String)
  /// A conversation for the model's chat template. `otherwise` is for a model that has none; nil: then it is an error.
  case chat([PromptMessage], otherwise: String?)
}

extension TaskDefinition {
  /// The prompt of one row. For rows with choices the continuations are `continuations(for:)`.
  package func prompt(for row: TaskRow) -> TaskPrompt {
    let asked = asked(row)
    switch row.content {
    case .choice:
      return settings.chat == true ? chat(asked, otherwise: nil) : .text(prefixed(asked.text))
    // A completion of code is the prompt's own continuation, which a chat would begin anew.
    case .code:
      return settings.chat == true ? chat(asked, otherwise: nil) : .text(prefixed(asked.text))
    case .generate:
      switch settings.chat {
      case true?: return chat(asked, otherwise: nil)
      case false?: return .text(prefixed(asked.text))
      case nil: return chat(asked, otherwise: prefixed(asked.text))
      }
    }
  }

  /// A row as somebody would ask it, and as the task's own template asks it, where that is another text: what a dispatcher
  /// may meet.
  package func requests(for row: TaskRow) -> [String] {
    let templated = asked(row)
    switch row.content {
    case .choice(let question, _, _), .generate(.question(let question), _):
      return question == templated.text ? [question] : [question, templated.text]
    case .generate(.prompt, _), .generate(.messages, _), .code: return [templated.text]
    }
  }

  /// What is scored after the prompt, one a choice: a space and the choice's text; without the space behind a chat template, which
  /// ends with a line break. Empty for rows without choices.
  package func continuations(for row: TaskRow) -> [String] {
    guard case .choice(_, let choices, _) = row.content else { return [] }
    if settings.template?.shapeName != nil || settings.template == nil, let texts = row.form?.continuations {
      // What stands before them is scored as little as the prompt, and takes the space.
      return settings.chat == true && row.form?.leads == nil ? texts.map { $0.trimmingBlanks() } : texts
    }
    return settings.chat == true ? choices : choices.map { " " + $0 }
  }

  /// What stands between the prompt and each continuation and is not scored, one a choice; empty where nothing does.
  package func leads(for row: TaskRow) -> [String] {
    settings.template == nil || settings.template?.shapeName != nil ? row.form?.leads ?? [] : []
  }

  /// The right answer as it goes on behind the prompt; empty where a row says none. A space parts it from a prompt that
  /// is a plain text, where neither has white space of its own there.
  package func solution(for row: TaskRow, chat: Bool) -> String {
    guard let solution = row.solution else { return "" }
    if chat || solution.first?.isWhitespace == true || prefixed(asked(row).text).last?.isWhitespace == true {
      return solution
    }
    return " " + solution
  }

  /// The texts that end a generation. Where the task names none: nothing behind a chat template, which has its own end; the next
  /// question, as in lm-evaluation-harness, without one; of code what follows a function.
  package func stops(chat: Bool) -> [String] {
    if let stop = settings.stop { return stop.items }
    if chat { return [] }
    if let stops = shots[0].form?.stops { return stops }
    guard case .code(let problem) = shots[0].content else { return ["Question:"] }
    // bigcode-evaluation-harness's of HumanEval, whose prompt has begun a function, and of MBPP, whose answer may be several.
    return problem.entryPoint != nil
      ? ["\nclass", "\ndef", "\n#", "\n@", "\nprint", "\nif", "\n```"]
      : ["\nclass", "\nassert", "\n\"\"\"", "\nprint", "\nif"]
  }

  /// The template as results name it.
  package var templateName: String {
    if let template = settings.template { return template.text }
    if let form = shots[0].form { return form.name }
    switch scoring {
    case .choice: return Self.questionTemplate
    case .generate, .code:
      switch shots[0].content {
      case .choice, .generate(.question, _): return settings.chat == false ? Self.questionTemplate : "{question}"
      case .generate(.prompt, _): return shots[0].fields["prompt"] != nil ? "{prompt}" : "{input}"
      case .generate(.messages, _): return "{messages}"
      case .code(let problem): return problem.entryPoint != nil ? "{prompt}" : Self.docstring("{text}", ["{test_list}"])
      }
    }
  }

  private static let questionTemplate = "Question: {question}\nAnswer:"

  /// MBPP without examples, as bigcode-evaluation-harness asks it: what is wanted and its tests, as a docstring.
  private static func docstring(_ text: String, _ tests: [String]) -> String {
    (["\"\"\"", text] + tests + ["\"\"\"", ""]).joined(separator: "\n")
  }

  /// What a user would have asked: the question that a dispatcher sorts, without the scaffolding that makes a model
  /// answer it and without the choices, which our own template does not show either. A task's own template is its user's
  /// words; of a chat the last ones count, as in an answer.
  package func request(of row: TaskRow) -> String {
    if let template = settings.template, template.shapeName == nil { return asked(row).text }
    guard case .generate(.messages(let messages), _) = row.content else { return row.question }
    return messages.last { $0.role == "user" }?.content ?? row.question
  }

  /// The turns of a row for a chat, and the same as one text.
  private func asked(_ row: TaskRow) -> (messages: [PromptMessage], text: String) {
    // The template was rendered for every row when the task was read, so that it cannot fail here.
    if let template = settings.template, template.shapeName == nil, let text = try? template.render(row, file: "") {
      return ([PromptMessage(role: "user", content: text)], text)
    }
    if let form = row.form { return (form.messages ?? [PromptMessage(role: "user", content: form.text)], form.text) }
    func user(_ content: String, text: String) -> ([PromptMessage], String) {
      ([PromptMessage(role: "user", content: content)], text)
    }
    switch row.content {
    case .choice(let question, _, _):
      let text = "Question: \(question)\nAnswer:"
      return user(text, text: text)
    case .generate(.question(let question), _):
      return user(question, text: "Question: \(question)\nAnswer:")
    case .generate(.prompt(let prompt), _):
      return user(prompt, text: prompt)
    case .generate(.messages(let messages), _):
      return (messages, messages.map(\.content).joined(separator: "\n\n"))
    case .code(let problem):
      // Without the white space at its end, as bigcode-evaluation-harness gives it: a line break and the indentation after
      // it are one token to most models, and behind a line break of its own they begin something else than a body.
      let text =
        problem.entryPoint != nil
        ? problem.prompt.trimmingTrailingBlanks() : Self.docstring(problem.prompt, problem.tests)
      return user(text, text: text)
    }
  }

  private func chat(_ asked: (messages: [PromptMessage], text: String), otherwise: String?) -> TaskPrompt {
    guard let system = settings.system else { return .chat(asked.messages, otherwise: otherwise) }
    let turns = asked.messages.first?.role == "system" ? asked.messages.dropFirst() : asked.messages[...]
    return .chat([PromptMessage(role: "system", content: system)] + turns, otherwise: otherwise)
  }

  private func prefixed(_ text: String) -> String { settings.system.map { $0 + "\n\n" + text } ?? text }
}
