/// One turn of a conversation.
package struct ChatMessage: Sendable, Equatable {
  package var role: String
  package var content: String

  package init(role: String, content: String) {
    self.role = role
    self.content = content
  }

  package static func system(_ content: String) -> ChatMessage { ChatMessage(role: "system", content: content) }
  package static func user(_ content: String) -> ChatMessage { ChatMessage(role: "user", content: content) }
  package static func assistant(_ content: String) -> ChatMessage { ChatMessage(role: "assistant", content: content) }
}

/// How a conversation becomes one prompt, recognised from the model's own template text.
///
/// The template (Jinja) is not executed: `recognize` parses it and accepts it only where it says, tag by tag, what a case
/// here does. Further families each become a case.
package enum ChatTemplate: Sendable, Equatable {
  /// `<|im_start|>role\ncontent<|im_end|>\n` for each message. `defaultSystem` is put in front where the first message is not a
  /// system message; it comes from the template's text, nil where that has none.
  case chatML(defaultSystem: String?)

  /// The name that results and `model show` give.
  package var name: String {
    switch self {
    case .chatML: "chatml"
    }
  }

  /// The prompt as one text. To encode it, use `pieces`: there a user's text cannot become a control token.
  package func render(_ messages: [ChatMessage], addGenerationPrompt: Bool = true) -> String {
    pieces(messages, addGenerationPrompt: addGenerationPrompt).map(\.text).joined()
  }

  /// The prompt in stretches: the template's own markers may hold control tokens, roles and contents may not.
  package func pieces(_ messages: [ChatMessage], addGenerationPrompt: Bool = true) -> [TextPiece] {
    switch self {
    case .chatML(let defaultSystem):
      var messages = messages
      if let defaultSystem, let first = messages.first, first.role != "system" {
        messages.insert(.system(defaultSystem), at: 0)
      }
      var pieces: [TextPiece] = []
      for message in messages {
        pieces.append(TextPiece("<|im_start|>", recognizeSpecial: true))
        pieces.append(TextPiece(message.role + "\n" + message.content, recognizeSpecial: false))
        pieces.append(TextPiece("<|im_end|>\n", recognizeSpecial: true))
      }
      if addGenerationPrompt { pieces.append(TextPiece("<|im_start|>assistant\n", recognizeSpecial: true)) }
      return pieces
    }
  }
}
