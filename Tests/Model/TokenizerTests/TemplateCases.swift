import Settings
import StrictJSON
import SystemSupport
import TestSupport

@testable import Tokenizer

/// Reading the files of rendered conversations.
enum TemplateCases {
  /// Of `Tests/Fixtures/chat_cases.json`, and of what `etc/lib/make-chat-cases` makes.
  struct Case: Sendable {
    let family: String
    /// The file's name in `Tests/Fixtures/templates`, or where that is not there, of the same without its name.
    let template: String
    let conversation: String
    let messages: [ChatMessage]
    let isPrompt: Bool
    let options: ChatOptions
    /// Nil where the template refuses, in the words of `error`.
    let rendered: String?
    let error: String?
    /// Of the real vocabulary, where it was had and no text holds a marker.
    let ids: [Int32]?
  }

  static func read(_ path: String) throws -> [Case] {
    try parsed(path)["cases"]?.arrayValue?.map { value in
      let arguments = value["arguments"]
      return Case(
        family: value["family"]?.stringValue ?? "", template: value["template"]?.stringValue ?? "",
        conversation: value["conversation"]?.stringValue ?? "", messages: messages(value["messages"]),
        isPrompt: arguments?["add_generation_prompt"]?.boolValue ?? true,
        options: ChatOptions(
          chatDate: try arguments?["date_string"]?.stringValue.map { try day($0) },
          thinking: arguments?["enable_thinking"]?.boolValue),
        rendered: value["rendered"]?.stringValue, error: value["error"]?.stringValue,
        ids: value["ids"]?.arrayValue?.map { Int32($0.intValue ?? -1) })
    } ?? []
  }

  static func parsed(_ path: String) throws -> JSONValue {
    try parseJSON(try FileSystem.readAll(path, maximumBytes: 64 << 20))
  }

  static func messages(_ value: JSONValue?) -> [ChatMessage] {
    value?.arrayValue?.map {
      ChatMessage(role: $0["role"]?.stringValue ?? "", content: $0["content"]?.stringValue ?? "")
    } ?? []
  }

  private struct UnknownDay: Error { let text: String }

  /// Llama's form of a date.
  private static func day(_ text: String) throws -> CalendarDay {
    for day in [CalendarDay.standard, CalendarDay("2025-01-03")].compactMap(\.self)
    where day.formatted("%d %b %Y") == text { return day }
    throw UnknownDay(text: text)
  }

  /// The text of a template that may be kept in the tree.
  static func text(of file: String) throws -> String? {
    let directory = "\(repository)/Tests/Fixtures/templates"
    guard try FileSystem.entries(directory).compactMap(\.text).contains(file) else { return nil }
    return String(decoding: try FileSystem.readAll("\(directory)/\(file)", maximumBytes: 1 << 20), as: UTF8.self)
  }

  /// The special tokens of the models that the cases were rendered for.
  static func tokens(of family: String) -> [String: String] {
    switch family {
    case _ where family.hasPrefix("llama3"): ["bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"]
    case _ where family.hasPrefix("gemma"): ["bos_token": "<bos>", "eos_token": "<eos>"]
    case _ where family.hasPrefix("phi"): ["bos_token": "<s>", "eos_token": "<|endoftext|>"]
    case _ where family.hasPrefix("qwen"): ["eos_token": "<|im_end|>"]
    default: ["bos_token": "<s>", "eos_token": "</s>"]
    }
  }
}

/// One template with the model's tokens.
func made(_ text: String, bos: String? = "<s>", eos: String? = "</s>") throws(ChatTemplateError) -> ChatTemplate {
  var tokens: [String: String] = [:]
  tokens["bos_token"] = bos
  tokens["eos_token"] = eos
  return try ChatTemplate(text, tokens: tokens)
}
