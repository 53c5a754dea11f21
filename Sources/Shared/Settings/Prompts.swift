package import Records
import StrictJSON

/// A text, or the token ids of one: all that a model without a tokenizer takes.
package enum TextOrTokens: RecordValue {
  case text(String)
  case tokens([Int32])

  package static var valueType: ValueType { .text }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let text = try? container.decode(String.self) {
      self = .text(text)
    } else {
      self = .tokens(try container.decode([Int32].self))
    }
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .text(let text): try container.encode(text)
    case .tokens(let ids): try container.encode(ids)
    }
  }
}

/// One message of a chat.
package struct ChatMessage: RecordValue {
  package var role: String
  package var content: String

  package init(role: String, content: String) {
    self.role = role
    self.content = content
  }

  package static var valueType: ValueType { .any }
}
