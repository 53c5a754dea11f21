package import Engines
package import Evaluation
import Settings
import Tokenizer

/// What a model lacks for a task.
package enum TaskEncodingError: Error, Equatable, CustomStringConvertible {
  case noTokenizer(model: String)
  case noChatTemplate(task: String, problem: String)
  case notRendered(row: String, line: Int, problem: String)
  case emptyChoice(row: String, line: Int, choice: String)
  case tooLong(row: String, line: Int, tokens: Int, context: Int)

  package var description: String {
    switch self {
    case .noTokenizer(let model):
      "the model '\(model)' has no tokenizer, so texts cannot be scored; put its tokenizer.json beside the weights"
    case .noChatTemplate(let task, let problem):
      "the task '\(task)' wants the model's chat template, but \(problem); set `chat: false` in task.json5"
    case .notRendered(let row, let line, let problem): "row '\(row)' (line \(line)): \(problem)"
    case .emptyChoice(let row, let line, let choice):
      "row '\(row)' (line \(line)): the choice '\(choice)' has no tokens"
    case .tooLong(let row, let line, let tokens, let context):
      "row '\(row)' (line \(line)) needs \(tokens) tokens, the model's context holds \(context)"
    }
  }
}

/// A row as a model reads it.
package struct EncodedRow: Sendable {
  package var row: TaskRow
  package var prompt: [Int32]
  /// One for each choice; none for a row that is generated.
  package var continuations: [[Int32]]
  /// How many tokens at the beginning of each continuation are not scored; empty: none.
  package var leads: [Int] = []
  /// Whether the chat template was used: it decides what ends a generation.
  package var isChat: Bool

  package var item: ScoringItem { ScoringItem(prompt: prompt, continuations: continuations, leads: leads) }

  /// Rows that a forward pass computes for it, about.
  var cost: Int { prompt.count + continuations.reduce(0) { $0 + max(0, $1.count - 1) } }
}

/// Turns a task's rows into tokens, by the task's template and the model's tokenizer and chat template.
package struct TaskEncoder {
  private let task: TaskDefinition
  private let facts: EngineFacts
  private let tokenizer: Tokenizer

  package init(_ task: TaskDefinition, for model: any Engine) throws(TaskEncodingError) {
    let facts = model.facts
    guard let tokenizer = facts.tokenizer else { throw .noTokenizer(model: facts.modelID) }
    self.task = task
    self.facts = facts
    self.tokenizer = tokenizer
  }

  package func encode(_ rows: [TaskRow]) throws(TaskEncodingError) -> [EncodedRow] {
    var encoded: [EncodedRow] = []
    for row in rows { encoded.append(try encode(row)) }
    return encoded
  }

  private func encode(_ row: TaskRow) throws(TaskEncodingError) -> EncodedRow {
    let text = try promptText(row)
    let prompt = tokenizer.encode(text)
    var continuations: [[Int32]] = []
    let leads = task.leads(for: row)
    var leadCounts: [Int] = []
    for (index, choice) in task.continuations(for: row).enumerated() {
      let lead = leads.isEmpty ? [] : tokenizer.continuation(leads[index], of: text)
      let before = leads.isEmpty ? text : text.appending(leads[index])
      let scored = added(choice, behind: before, prompt + lead)
      guard !scored.isEmpty else { throw .emptyChoice(row: row.id, line: row.line, choice: choice) }
      continuations.append(lead + scored)
      if !leads.isEmpty { leadCounts.append(lead.count) }
    }
    let longest = prompt.count + (continuations.map(\.count).max() ?? 1)
    guard longest <= facts.context else {
      throw .tooLong(row: row.id, line: row.line, tokens: longest, context: facts.context)
    }
    return EncodedRow(row: row, prompt: prompt, continuations: continuations, leads: leadCounts, isChat: text.isChat)
  }

  /// The tokens that a text adds to the tokens that are there, of the text before it, as lm-evaluation-harness does: see
  /// ``Tokenizer/continuation(_:of:recognizeSpecial:)``. With a lead those need not be the tokens of all text before.
  private func added(_ text: String, behind before: PromptText, _ tokens: [Int32]) -> [Int32] {
    let whole = tokenizer.encode(before.appending(text))
    return whole.starts(with: tokens) ? Array(whole.dropFirst(tokens.count)) : tokenizer.continuation(text)
  }

  /// The right answer behind the row's prompt, and the token that ends it: what `next-token` training teaches. Empty for
  /// a row that has none.
  package func solution(of row: EncodedRow) throws(TaskEncodingError) -> [Int32] {
    let text = task.solution(for: row.row, chat: row.isChat)
    // The text goes on where the prompt ends, so both are encoded together.
    let added = added(text, behind: try promptText(row.row), row.prompt)
    let end = row.isChat ? facts.endOfAnswer ?? tokenizer.turnEnd : tokenizer.eos
    let solution = added + [end].compactMap(\.self)
    guard row.prompt.count + solution.count <= facts.context else {
      throw .tooLong(
        row: row.row.id, line: row.row.line, tokens: row.prompt.count + solution.count, context: facts.context)
    }
    return added.isEmpty ? [] : solution
  }

  private func promptText(_ row: TaskRow) throws(TaskEncodingError) -> PromptText {
    switch task.prompt(for: row) {
    case .text(let text): return .text(text)
    case .chat(let messages, let otherwise):
      switch facts.chatTemplate {
      case .success(let template):
        let messages = messages.map { ChatMessage(role: $0.role, content: $0.content) }
        do throws(ChatTemplateError) {
          return .chat(try template.pieces(messages, options: task.settings.chatOptions))
        } catch {
          throw .notRendered(row: row.id, line: row.line, problem: error.description)
        }
      case .failure(let problem):
        guard let otherwise else { throw .noChatTemplate(task: task.name, problem: problem.description) }
        return .text(otherwise)
      }
    }
  }
}
