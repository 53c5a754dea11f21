import Testing

@testable import Tokenizer

@Suite struct GGUFTokenizerTests {
  private func error(_ make: () throws(TokenizerError) -> Tokenizer) -> TokenizerError? {
    do throws(TokenizerError) {
      _ = try make()
      return nil
    } catch {
      return error
    }
  }

  @Test func otherModelsAndPreTokenizersAreNamed() {
    let good = SyntheticVocabulary()
    let bert = error { () throws(TokenizerError) in
      try .gguf(.init(model: "bert", tokens: good.tokens, types: good.types))
    }
    #expect(bert == .unsupportedModel(found: "bert") && "\(bert!)".contains("'bert'"))
    for pre in ["falcon", "tekken", "default", ""] {
      let found = "\(error { () throws(TokenizerError) in try good.tokenizer(pre: pre) }!)"
      #expect(found.hasPrefix("the pre-tokenizer '\(pre)' is not supported yet; supported: gpt-2, "))
    }
  }

  @Test func duplicateTokensAreAnError() {
    var bad = SyntheticVocabulary()
    bad.add("a")
    #expect(
      error { () throws(TokenizerError) in try bad.tokenizer() } == .duplicateToken(text: "a", first: 97, second: 256))
  }

  @Test func mergesNamingUnknownTokensAreAnError() {
    for (merge, missing) in [("ab c", "ab"), ("c ab", "ab"), ("a b", "ab"), ("a b c", "b c")] {
      var bad = SyntheticVocabulary()
      bad.merges = [merge]
      #expect(
        error { () throws(TokenizerError) in try bad.tokenizer() }
          == .unknownTokenInMerge(index: 0, text: merge, token: missing))
    }
  }

  @Test(arguments: ["", " ", "a", "a ", " b"])
  func mergesWithoutTwoPartsAreAnError(merge: String) {
    var bad = SyntheticVocabulary()
    bad.merges = [merge]
    #expect(error { () throws(TokenizerError) in try bad.tokenizer() } == .malformedMerge(index: 0, text: merge))
  }

  @Test func aMergeThatStandsTwiceIsAnError() {
    var bad = SyntheticVocabulary(merges: ["a b"])
    bad.merges.append("a b")
    #expect(error { () throws(TokenizerError) in try bad.tokenizer() } == .duplicateMerge(index: 1, text: "a b"))
  }

  @Test(arguments: [-1, 256, Int.max, Int.min])
  func idsOutsideTheVocabularyAreAnError(id: Int) {
    let good = SyntheticVocabulary()
    #expect(
      error { () throws(TokenizerError) in try good.tokenizer(eos: id) }
        == .idOutOfRange(name: "eos", found: id, vocabulary: 256))
    #expect(
      error { () throws(TokenizerError) in try good.tokenizer(bos: id) }
        == .idOutOfRange(name: "bos", found: id, vocabulary: 256))
  }

  @Test func typesMustBeKnownAndAsManyAsTokens() {
    var bad = SyntheticVocabulary()
    bad.types[7] = 9
    #expect(error { () throws(TokenizerError) in try bad.tokenizer() } == .tokenType(index: 7, found: 9))
    bad.types.removeLast()
    #expect(error { () throws(TokenizerError) in try bad.tokenizer() } == .typeCount(types: 255, tokens: 256))
  }

  @Test func anEmptyVocabularyOrTokenIsAnError() {
    var bad = SyntheticVocabulary()
    bad.add("")
    #expect(error { () throws(TokenizerError) in try bad.tokenizer() } == .emptyToken(index: 256))
    #expect(
      error { () throws(TokenizerError) in try .gguf(.init(pre: "gpt-2", tokens: [], types: [])) }
        == .emptyVocabulary)
  }

  @Test func tooManyTokensAreAnErrorBeforeAnythingIsBuilt() {
    let count = Vocabulary.maximumTokens + 1
    #expect(
      error { () throws(TokenizerError) in
        try .gguf(
          .init(
            pre: "gpt-2", tokens: Array(repeating: "a", count: count), types: Array(repeating: 1, count: count)))
      } == .tooMany(what: "tokens", found: count, allowed: Vocabulary.maximumTokens))
  }

  @Test func userDefinedTokensAreAlwaysRecognisedAndControlTokensOnRequest() throws {
    let tokenizer = try SyntheticVocabulary(special: ["<x>", "<x>y"], userDefined: ["<u>"]).tokenizer()
    #expect(tokenizer.encode("<u>") == [258])
    #expect(tokenizer.encode("<x>").count == 3)
    // The longest text wins.
    #expect(tokenizer.encode("a<x>yz<u><x>", recognizeSpecial: true) == [97, 257, 122, 258, 256])
  }
}
