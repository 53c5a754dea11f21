package import Settings

/// How a conversation becomes one prompt: the model's own template, which is run.
///
/// The template is Jinja, as transformers runs it; `TemplateParser` and `TemplateRun` say what of it is known. Parsed and
/// tried once, when the model is loaded. Any thread may render; a hostile template ends by itself.
package struct ChatTemplate: Sendable {
  private let program: TemplateProgram
  /// The texts of special tokens by the names that templates have for them: `bos_token`.
  private let tokens: [String: String]
  /// What people call it, for results and `model show`: "ChatML", "Llama 3", or "custom".
  package let name: String
  /// What the template writes behind an assistant's answer, such as `<|im_end|>\n`; nil where it writes nothing, or takes
  /// no answers.
  package private(set) var endOfAnswer: String?

  /// Reads the text, and renders what any chat begins with: so a template that can do nothing is known now.
  /// - Parameter tokens: by names such as `bos_token`.
  package init(_ text: String?, tokens: [String: String] = [:]) throws(ChatTemplateError) {
    guard let text else { throw .missing }
    program = try TemplateParser.parse(text)
    self.tokens = tokens
    name = Self.name(of: text)
    let question = ChatMessage.user("Hello")
    // There are templates that want a system message before all.
    if let problem = problem(with: [question]), self.problem(with: [.system("Hi"), question]) != nil {
      throw .unusable(problem: problem)
    }
    endOfAnswer = try? behindAnswer([question, .assistant("Hi")])
  }

  private func problem(with messages: [ChatMessage]) -> String? {
    do throws(ChatTemplateError) {
      let prompt = try pieces(messages)
      return prompt.contains { $0.text.contains("Hello") } ? nil : "the question is not in the prompt that it makes"
    } catch {
      return error.description
    }
  }

  /// The prompt as one text. To encode it, use `pieces`: there a user's text cannot become a control token.
  package func render(
    _ messages: [ChatMessage], addGenerationPrompt: Bool = true, options: ChatOptions = ChatOptions()
  ) throws(ChatTemplateError) -> String {
    try pieces(messages, addGenerationPrompt: addGenerationPrompt, options: options).map(\.text).joined()
  }

  /// The prompt in stretches: what the template itself writes may hold control tokens, what comes from messages and options
  /// may not. The template writes the token of the beginning itself, where its model wants one.
  package func pieces(
    _ messages: [ChatMessage], addGenerationPrompt: Bool = true, options: ChatOptions = ChatOptions()
  ) throws(ChatTemplateError) -> [TextPiece] {
    try text(messages, addGenerationPrompt: addGenerationPrompt, options: options).pieces
  }

  private func text(
    _ messages: [ChatMessage], addGenerationPrompt: Bool, options: ChatOptions
  ) throws(ChatTemplateError) -> TemplateText {
    var characters = 0
    let values = messages.map { message in
      let content = TemplateText(message.content, fromMessage: true)
      characters += content.count
      // Templates build markers of these: '<|' + message.role + '|>'.
      let role = TemplateText(message.role, fromMessage: !Self.roles.contains(message.role))
      return TemplateValue.dictionary(
        TemplateDictionary(
          entries: [(.text("role"), .text(role)), (.text("content"), .text(content))], depth: 1))
    }
    // As transformers calls a template, where there are no tools.
    var variables: [String: TemplateValue] = [
      "messages": .list(TemplateList(items: values, depth: 2)), "tools": .none, "documents": .none,
      "add_generation_prompt": .bool(addGenerationPrompt),
    ]
    for (name, token) in tokens { variables[name] = .text(token) }
    // Qwen and SmolLM have the one name, Granite and DeepSeek the other.
    if let thinking = options.thinking {
      for name in ["enable_thinking", "thinking"] { variables[name] = .bool(thinking) }
    }
    // Llama's name and form.
    if let day = options.chatDate { variables["date_string"] = day.formatted("%d %b %Y").map { .text($0) } }
    let run = TemplateRun(
      variables: variables, day: options.chatDate ?? .standard, characters: characters, messages: messages.count)
    return try run.render(program)
  }

  private static let roles: Set<String> = ["system", "user", "assistant", "tool", "developer"]

  /// What follows the last message of a chat without a prompt for the next.
  private func behindAnswer(_ messages: [ChatMessage]) throws(ChatTemplateError) -> String? {
    let pieces = try pieces(messages, addGenerationPrompt: false)
    guard let answer = pieces.lastIndex(where: { !$0.recognizeSpecial }), answer == pieces.count - 2 else { return nil }
    return pieces[answer + 1].text
  }

  /// By the markers in its text.
  private static func name(of text: String) -> String {
    let marks = [
      ("<|start_header_id|>", "Llama 3"), ("<|header_start|>", "Llama 4"), ("<<SYS>>", "Llama 2"),
      ("<start_of_turn>", "Gemma"), ("<|start_of_role|>", "Granite"), ("<|im_start|>", "ChatML"),
      ("<\u{FF5C}User\u{FF5C}>", "DeepSeek"), ("<|START_OF_TURN_TOKEN|>", "Command R"), ("[INST]", "Mistral"),
      ("<|end|>", "Phi"), ("<|user|>", "Zephyr"), ("### Instruction", "Alpaca"), ("USER:", "Vicuna"),
    ]
    return marks.first { text.contains($0.0) }?.1 ?? "custom"
  }
}

extension ChatMessage {
  package static func system(_ content: String) -> ChatMessage { ChatMessage(role: "system", content: content) }
  package static func user(_ content: String) -> ChatMessage { ChatMessage(role: "user", content: content) }
  package static func assistant(_ content: String) -> ChatMessage { ChatMessage(role: "assistant", content: content) }
}
