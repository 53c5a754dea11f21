package import ModelFormats
package import Tokenizer

/// How a model's texts become tokens: its tokenizer and its chat template.
package struct ModelText: Sendable {
  /// Nil for a model without: it takes token ids only.
  package let tokenizer: Tokenizer?
  /// The model's template, or the reason why there is none to use.
  package let chatTemplate: Result<ChatTemplate, ChatTemplateError>

  /// - Parameter path: of the model, for messages.
  package init(_ description: TokenizerDescription?, path: String) throws(EngineError) {
    let tokenizer = try Self.tokenizer(description, path: path)
    self.tokenizer = tokenizer
    var tokens: [String: String] = [:]
    tokens["bos_token"] = tokenizer?.bosText
    tokens["eos_token"] = tokenizer?.eosText
    do throws(ChatTemplateError) {
      chatTemplate = .success(try ChatTemplate(description?.chatTemplate, tokens: tokens))
    } catch {
      chatTemplate = .failure(error)
    }
  }

  private static func tokenizer(
    _ description: TokenizerDescription?, path: String
  ) throws(EngineError) -> Tokenizer? {
    guard let description else { return nil }
    do throws(TokenizerError) {
      switch description.kind {
      case .gguf(let file): return try Tokenizer.gguf(file)
      case .ggufOther(let model): throw TokenizerError.unsupportedModel(found: model)
      case .huggingFace(let tokenizerJSON, let configJSON):
        return try Tokenizer.huggingFace(tokenizerJSON: tokenizerJSON, configJSON: configJSON)
      }
    } catch {
      throw .tokenizer(path: path, error)
    }
  }
}
