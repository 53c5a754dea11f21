import ModelFormats
import StrictJSON
import Testing

@testable import Tokenizer

/// The vocabulary and merges of SmolLM2 and what Hugging Face's tokenizer made of some texts; see Fixtures/README.md.
enum SmolLM2Fixture {
  static let merges: [String] = lines("smollm2_merges.txt")
  static let head: [String] = lines("smollm2_tokens_head.txt")
  static let chatTemplate = String(decoding: bytes("smollm2_chat_template.txt"), as: UTF8.self)

  static var tokens: [String] { head + merges.map { $0.replacing(" ", with: "") } }
  static var types: [Int32] { Array(repeating: 3, count: 17) + Array(repeating: 1, count: tokens.count - 17) }

  static let tokenizer: Tokenizer = {
    do {
      return try .gguf(GGUFTokenizer(pre: "smollm", tokens: tokens, types: types, merges: merges, bos: 1, eos: 2))
    } catch {
      fatalError("\(error)")
    }
  }()

  struct Case: Sendable {
    let text: String
    let ids: [Int32]
  }

  static let cases: [Case] = json("tokenizer_cases.json").arrayValue.map { $0.compactMap(testCase) } ?? []
  static let texts: [Case] = json("smollm2_texts.json")["texts"]?.arrayValue.map { $0.compactMap(testCase) } ?? []
  static let chats: [(user: String, rendered: String, ids: [Int32])] =
    json("smollm2_texts.json")["chats"]?.arrayValue?.compactMap { chat in
      guard let user = chat["user"]?.stringValue, let rendered = chat["rendered"]?.stringValue else { return nil }
      return (user, rendered, ids(chat["prompt_ids"]))
    } ?? []

  private static func testCase(_ value: JSONValue) -> Case? {
    value["text"]?.stringValue.map { Case(text: $0, ids: ids(value["ids"] ?? value["prompt_ids"])) }
  }

  private static func ids(_ value: JSONValue?) -> [Int32] {
    value?.arrayValue?.compactMap { $0.integerValue.flatMap { Int32(exactly: $0) } } ?? []
  }

  private static func json(_ name: String) -> JSONValue {
    do {
      return try parseJSON(bytes(name))
    } catch {
      fatalError("\(name): \(error)")
    }
  }

  private static func lines(_ name: String) -> [String] {
    String(decoding: bytes(name), as: UTF8.self).split(separator: "\n").map(String.init)
  }

  private static func bytes(_ name: String) -> [UInt8] {
    do { return try fileBytes("Tests/Model/TokenizerTests/Fixtures/" + name) } catch { fatalError("\(name): \(error)") }
  }
}
