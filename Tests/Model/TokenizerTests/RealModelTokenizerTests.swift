import Glibc
import ModelFormats
import Settings
import Testing

@testable import Tokenizer

private let modelPath: String? = unsafe getenv("T2D_TEST_MODEL").map { unsafe String(cString: $0) }

/// The whole way from the GGUF file to ids, on the real model; `etc/test` sets T2D_TEST_MODEL.
@Suite(.enabled(if: modelPath != nil, "T2D_TEST_MODEL names no model; etc/test sets it"))
struct RealModelTokenizerTests {
  private func description() throws -> TokenizerDescription {
    let model = try openModel(at: modelPath ?? "")
    return try #require(model.tokenizerDescription)
  }

  @Test func theModelsOwnMetadataGivesTheReferenceIDs() throws {
    let description = try description()
    guard case .gguf(let file) = description.kind else {
      Issue.record("the model has another tokenizer than SmolLM2's")
      return
    }
    let tokenizer = try Tokenizer.gguf(file)
    for item in SmolLM2Fixture.cases + SmolLM2Fixture.texts { #expect(tokenizer.encode(item.text) == item.ids) }
    let template = try ChatTemplate(description.chatTemplate)
    for chat in SmolLM2Fixture.chats {
      #expect(try template.render([.user(chat.user)]) == chat.rendered)
      #expect(try tokenizer.encode(template.pieces([.user(chat.user)])) == chat.ids)
    }
    #expect(tokenizer.endOfTurn == [2, 0] && tokenizer.beginning.isEmpty)
  }

  @Test func theFixtureIsTheModelsVocabulary() throws {
    let description = try description()
    guard case .gguf(let file) = description.kind else {
      Issue.record("the model has another tokenizer than SmolLM2's")
      return
    }
    #expect(file.tokens == SmolLM2Fixture.tokens && file.types == SmolLM2Fixture.types)
    #expect(file.merges == SmolLM2Fixture.merges)
    #expect(description.chatTemplate == SmolLM2Fixture.chatTemplate)
  }
}
