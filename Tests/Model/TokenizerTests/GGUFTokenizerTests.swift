import ModelFormats
import TestSupport
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
      try .gguf(GGUFTokenizer(model: "bert", tokens: good.tokens, types: good.types))
    }
    #expect(bert == .unsupportedModel(found: "bert") && "\(bert!)".contains("'bert'"))
    for pre in ["falcon", "gpt-4o", "default", ""] {
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
      error { () throws(TokenizerError) in try .gguf(GGUFTokenizer(pre: "gpt-2", tokens: [], types: [])) }
        == .emptyVocabulary)
  }

  @Test func tooManyTokensAreAnErrorBeforeAnythingIsBuilt() {
    let count = Vocabulary.maximumTokens + 1
    #expect(
      error { () throws(TokenizerError) in
        try .gguf(
          GGUFTokenizer(
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

  /// Many files name the end of a text only, which no answer in a conversation reaches.
  @Test func tokensWhoseTextIsAnEndAreEnds() throws {
    let ends = ["<|eot_id|>", "<|im_end|>", "<end_of_turn>", "<|end|>", "<|eom_id|>"]
    #expect(try Set(SyntheticVocabulary(special: ends).tokenizer().endOfTurn) == Set(256..<261))
    #expect(try SyntheticVocabulary(userDefined: ["<|im_end|>", "<|im_start|>"]).tokenizer().endOfTurn == [256])
    // What text can become by merging is no mark.
    var merging = SyntheticVocabulary()
    merging.add("<EOT>")
    #expect(try merging.tokenizer().endOfTurn.isEmpty)
    for (file, expected) in [
      ("llama3.f32", ["<|eot_id|>", "<|eom_id|>"]), ("qwen2.f32", ["<|im_end|>"]), ("gemma3.f32", ["<end_of_turn>"]),
    ] {
      let tokenizer = try Tokenizer.gguf(try #require(try ggufTokenizer("Tests/Fixtures/gguf/\(file).gguf")))
      let ids = expected.compactMap { tokenizer.id(ofToken: $0) }
      #expect(ids.count == expected.count && Set(ids).isSubset(of: tokenizer.endOfTurn), "\(file)")
    }
  }

  // MARK: Added tokens

  @Test func longAddedTokensAreErrors() {
    let long = String(repeating: "a", count: Vocabulary.maximumAddedLength)
    #expect(error { () throws(TokenizerError) in try SyntheticVocabulary(special: [long]).tokenizer() } == nil)
    for vocabulary in [SyntheticVocabulary(special: [long + "b"]), SyntheticVocabulary(userDefined: [long + "b"])] {
      #expect(
        error { () throws(TokenizerError) in try vocabulary.tokenizer() }
          == .tooLong(
            index: 256, bytes: long.utf8.count + 1, allowed: Vocabulary.maximumAddedLength,
            why: "for what is found before a text is cut into words"))
    }
    let count = Vocabulary.maximumAddedBytes / Vocabulary.maximumAddedLength
    let many = (0...count).map { "\($0)" + long.dropFirst("\($0)".count) }
    #expect(
      error { () throws(TokenizerError) in try SyntheticVocabulary(special: many).tokenizer() }
        == .tooMany(
          what: "bytes of added tokens", found: Vocabulary.maximumAddedBytes + Vocabulary.maximumAddedLength,
          allowed: Vocabulary.maximumAddedBytes))
  }

  /// A text that holds the beginning of a long token everywhere.
  @Test func aTextOfBeginningsIsReadInTime() throws {
    let long = String(repeating: "a", count: Vocabulary.maximumAddedLength - 1) + "b"
    let tokenizer = try SyntheticVocabulary(special: [long]).tokenizer()
    let text = String(repeating: "a", count: 20_000)
    var count = 0
    let time = processorTime { count = tokenizer.encode(text + long, recognizeSpecial: true).count }
    #expect(count == 20_001 && time < .seconds(10), "\(time)")
  }

  /// A chat of many short messages has as many stretches as pieces.
  @Test func aChatOfManyMessagesIsReadInTime() throws {
    let tokenizer = try scored(Self.heads + [("<x>", 0, 3)])
    var pieces: [TextPiece] = []
    for _ in 0..<20_000 {
      pieces += [TextPiece("<x>", recognizeSpecial: true), TextPiece("<x>b", recognizeSpecial: false)]
    }
    var ids: [Int32] = []
    let time = processorTime { ids = tokenizer.encode(pieces) }
    #expect(ids.count { $0 == 9 } == 20_000 && ids.count { $0 == 7 } == 20_000)
    #expect(time < .seconds(5), "\(time)")
  }

  // MARK: Scores

  private func scored(
    _ tokens: [(text: String, score: Double, type: Int32)], addSpacePrefix: Bool? = nil, addBOS: Bool? = nil
  ) throws(TokenizerError) -> Tokenizer {
    try .gguf(
      GGUFTokenizer(
        model: "llama", tokens: tokens.map(\.text), types: tokens.map(\.type), scores: tokens.map(\.score), bos: 1,
        addBOS: addBOS, addSpacePrefix: addSpacePrefix))
  }

  private static let heads: [(text: String, score: Double, type: Int32)] = [
    ("<unk>", 0, 2), ("<s>", 0, 3), ("<0x0A>", 0, 6), ("<0xC3>", 0, 6), ("<0xA9>", 0, 6),
    ("\u{2581}", -9, 1), ("a", -9, 1), ("b", -9, 1), ("c", -9, 1),
  ]

  @Test func theHighestScoreIsMergedFirstAndTheLeftmostOfEqualOnes() throws {
    let tokenizer = try scored(
      Self.heads + [("bc", -1, 1), ("ab", -2, 1), ("aa", -1, 1), ("abc", -5, 1), ("\u{2581}a", -4, 1)],
      addSpacePrefix: false)
    func tokens(_ text: String) -> [String] { tokenizer.encode(text).map { tokenizer.decode([$0]) } }
    #expect(tokens("abc") == ["abc"])  // bc before ab, then a and bc
    #expect(tokens("aaa") == ["aa", "a"])
    #expect(tokens("aab") == ["aa", "b"])
    #expect(tokens("a abc") == ["a", " a", "bc"])
    #expect(tokenizer.encode("\n") == [2])
    #expect(tokenizer.encode("é") == [3, 4])
    #expect(tokenizer.encode("xyz") == [0])  // what is no byte either is unknown, once
  }

  @Test func missingKeysOfSentencePieceMeanABlankInFrontAndAFirstToken() throws {
    let tokenizer = try scored(Self.heads)
    #expect(tokenizer.beginning == [1])
    #expect(tokenizer.encode("a") == [5, 6] && tokenizer.encode(" a") == [5, 5, 6])
    #expect(tokenizer.decode([5, 6]) == "a" && tokenizer.decode([5, 5, 6]) == " a")
    let without = try scored(Self.heads, addSpacePrefix: false, addBOS: false)
    #expect(without.beginning.isEmpty && without.encode("a") == [6] && without.decode([5, 6]) == " a")
  }

  @Test func llama3ImpliesAFirstTokenAndOtherByteLevelKindsDoNot() throws {
    var vocabulary = SyntheticVocabulary(special: ["<s>"])
    vocabulary.add("abc")
    #expect(try vocabulary.tokenizer(pre: "llama-bpe", bos: 256).beginning == [256])
    #expect(try vocabulary.tokenizer(pre: "llama-bpe").beginning.isEmpty)  // there is none to put
    #expect(try vocabulary.tokenizer(pre: "qwen2", bos: 256).beginning.isEmpty)
    // And that a word which is a token is that token, though no merge makes it.
    #expect(try vocabulary.tokenizer(pre: "llama-bpe").encode("abc") == [257])
    #expect(try vocabulary.tokenizer(pre: "smaug-bpe").encode("abc") == [97, 98, 99])
  }

  @Test func aWordIsNeverAControlTokenAsAWhole() throws {
    let tokenizer = try SyntheticVocabulary(special: ["abc"]).tokenizer(pre: "llama-bpe")
    #expect(tokenizer.encode("abc") == [97, 98, 99])
    #expect(tokenizer.encode("abc", recognizeSpecial: true) == [256])
    // Nor by a merge.
    var merging = SyntheticVocabulary(merges: ["a b"])
    merging.types[256] = 3
    #expect(try merging.tokenizer().encode("ab") == [97, 98])
  }

  @Test func marksOfPhi3TakeTheBlanksBehindThem() throws {
    let tokens = Self.heads + [("<|user|>", 0, 3), ("<|endoftext|>", 0, 3)]
    var file = GGUFTokenizer(
      model: "llama", tokens: tokens.map(\.text), types: tokens.map(\.type), scores: tokens.map(\.score))
    #expect(try Tokenizer.gguf(file).encode("<|user|>\na", recognizeSpecial: true) == [9, 5, 2, 6])
    file.marksTakeBlanks = true
    #expect(try Tokenizer.gguf(file).encode("<|user|>\n a", recognizeSpecial: true) == [9, 5, 6])
    #expect(try Tokenizer.gguf(file).encode("<|endoftext|>\na", recognizeSpecial: true) == [10, 5, 2, 6])
    #expect(try #require(try ggufTokenizer("Tests/Fixtures/gguf/phi3.f32.gguf")).marksTakeBlanks)
    #expect(try !#require(try ggufTokenizer("Tests/Fixtures/gguf/llama2.f32.gguf")).marksTakeBlanks)
  }

  @Test func hostileScoresAreErrors() {
    func problem(_ tokens: [(text: String, score: Double, type: Int32)]) -> TokenizerError? {
      error { () throws(TokenizerError) in try scored(tokens) }
    }
    #expect(problem(Self.heads + [("ab", .infinity, 1), ("bc", -.infinity, 1), ("ac", -1e300, 1)]) == nil)
    if case .score(9, _)? = problem(Self.heads + [("ab", .nan, 1)]) {} else { Issue.record("NaN is no score") }
    let long = String(repeating: "a", count: Vocabulary.maximumScoredLength + 1)
    #expect(
      problem(Self.heads + [(long, -1, 1)])
        == .tooLong(
          index: 9, bytes: long.utf8.count, allowed: Vocabulary.maximumScoredLength,
          why: "where tokens are merged by their scores"))
    #expect(
      error { () throws(TokenizerError) in
        try .gguf(GGUFTokenizer(model: "llama", tokens: ["a", "b"], types: [1, 1], scores: [0]))
      } == .scoreCount(scores: 1, tokens: 2))
  }

  /// All prefixes of one letter: each split of each token is a merge.
  @Test func tokensThatAllSplitAreReadInTime() throws {
    let letters = (1...600).map { (String(repeating: "a", count: $0), -Double($0), Int32(1)) }
    let text = String(repeating: "a", count: 5000)
    let time = try processorTime {
      let tokenizer = try scored(Self.heads.filter { $0.text != "a" } + letters, addSpacePrefix: false)
      #expect(tokenizer.decode(tokenizer.encode(text)) == text)
    }
    #expect(time < .seconds(20))
  }
}
