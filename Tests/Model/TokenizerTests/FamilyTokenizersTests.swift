import ModelFormats
import StrictJSON
import TestSupport
import Testing

@testable import Tokenizer

/// The tokenizers of the tiny models, against what Hugging Face's tokenizers gives for some two hundred texts each.
@Suite struct FamilyTokenizersTests {
  private static let families = repository + "/Tests/Fixtures/families/"
  static let names = [
    "gemma3", "gemma3-linear", "gemma3-scaled", "llama-bias", "llama2", "llama3", "llama32-bf16", "mistral",
    "mistral-nemo", "mistral-window", "phi3", "qwen2", "qwen2-untied", "qwen3", "qwen3-untied", "smollm3",
  ]

  static func tokenizer(_ name: String) throws -> Tokenizer {
    try .huggingFace(
      tokenizerJSON: fileBytes(families + name + "/tokenizer.json"),
      configJSON: fileBytes(families + name + "/tokenizer_config.json"))
  }

  private static func cases(_ name: String) throws -> [(text: String, ids: [Int32])] {
    try tokenizerCases(families + name + "/tokenizer_cases.json")
  }

  @Test(arguments: names)
  func theFileOfEachFamilyGivesTheReferenceIDs(name: String) throws {
    let tokenizer = try Self.tokenizer(name)
    let cases = try Self.cases(name)
    #expect(cases.count > 200)
    for item in cases { #expect(tokenizer.encode(item.text, recognizeSpecial: true) == item.ids, "\(item.text)") }
  }

  @Test(arguments: names)
  func textComesInPiecesAsItIsDecodedAtOnce(name: String) throws {
    let tokenizer = try Self.tokenizer(name)
    for item in try Self.cases(name) {
      for skipSpecial in [false, true] {
        var decoder = StreamingDecoder(tokenizer, skipSpecial: skipSpecial)
        let streamed = item.ids.map { decoder.push($0) }.joined() + decoder.finish()
        #expect(Array(streamed.utf8) == Array(tokenizer.decode(item.ids, skipSpecial: skipSpecial).utf8))
      }
    }
  }

  @Test(arguments: names)
  func whatAUserWritesNeverBecomesAControlToken(name: String) throws {
    let tokenizer = try Self.tokenizer(name)
    let kinds = tokenizer.parts.vocabulary.kinds
    let control = kinds.indices.filter { kinds[$0].isControl }.map { tokenizer.parts.vocabulary.textOfToken($0) }
    #expect(control.count > 2)
    var random = SplitMix(seed: 8)
    var texts = try Self.cases(name).map(\.text)
    for _ in 0..<200 {
      texts.append(
        (0..<4).map { _ in String(decoding: control[random.below(control.count)], as: UTF8.self) }
          .joined(separator: ["", " ", "\u{2581}", "a"][random.below(4)]))
    }
    for text in texts {
      let pieces = [TextPiece("\n", recognizeSpecial: true), TextPiece(text, recognizeSpecial: false)]
      for ids in [tokenizer.encode(text), tokenizer.encode(pieces), tokenizer.encode(pieces.reversed())] {
        // A text that the vocabulary cannot write is unknown; only SentencePiece without bytes has such.
        #expect(ids.allSatisfy { !kinds[Int($0)].isControl }, "\(text)")
      }
    }
  }

  /// Byte-level tokenizers keep all bytes; SentencePiece's keep what has no "▁", and those that put a "▁" in front only where
  /// there is no blank lose one that is there.
  @Test(arguments: names)
  func decodingGivesTheTextBack(name: String) throws {
    let tokenizer = try Self.tokenizer(name)
    var random = SplitMix(seed: 4)
    let pools: [ClosedRange<UInt32>] = [
      0x20...0x7E, 0x0...0x1F, 0x80...0x2FF, 0x370...0x5FF, 0x900...0x97F, 0x2000...0x206F, 0x2580...0x25FF,
      0x4E00...0x4EFF, 0xAC00...0xACFF, 0x1F300...0x1F6FF, 0x20000...0x2001F, 0x10FFF0...0x10FFFF,
    ]
    for _ in 0..<400 {
      var text = String.UnicodeScalarView()
      for _ in 0..<random.below(12) {
        let pool = pools[random.below(pools.count)]
        guard let scalar = Unicode.Scalar(pool.lowerBound + UInt32(random.below(pool.count))) else { continue }
        text.append(tokenizer.preTokenizer == nil && scalar == "\u{2581}" ? " " : scalar)
      }
      if case .stretches(_?) = tokenizer.parts.cut, text.first == " " { text.insert("x", at: text.startIndex) }
      var expected = Array(String(text).utf8)
      if tokenizer.parts.normalizer.composes { expected = canonicallyComposed(expected[...]) ?? expected }
      #expect(tokenizer.decodeBytes(tokenizer.encode(String(text))) == expected, "\(String(text))")
    }
  }

  // MARK: GGUF

  /// The twin of a directory, and texts of which its ids are others for a reason that ``theTwinOfMistralPutsABlankBehindEachToken()`` says.
  @Test(arguments: [
    ("gemma3", "gemma3.f32"), ("gemma3-linear", "gemma3-linear.f32"), ("llama-bias", "llama-bias.f32"),
    ("llama2", "llama2.f32"), ("llama3", "llama3.f32"), ("llama32-bf16", "llama32-bf16.bf16"), ("phi3", "phi3.f32"),
    ("qwen2", "qwen2.f32"), ("qwen3", "qwen3.bf16"), ("qwen3-untied", "qwen3-untied.f32"), ("smollm3", "smollm3.f32"),
  ])
  func theTwinInGGUFGivesTheReferenceIDs(name: String, file: String) throws {
    let tokenizer = try Self.twin(file)
    for item in try Self.cases(name) {
      #expect(tokenizer.encode(item.text, recognizeSpecial: true) == item.ids, "\(item.text)")
    }
    let directory = try Self.tokenizer(name)
    #expect(tokenizer.beginning == directory.beginning && tokenizer.eos == directory.eos)
  }

  static func twin(_ file: String) throws -> Tokenizer {
    let header = try ggufTokenizer("Tests/Fixtures/gguf/\(file).gguf")
    return try .gguf(#require(header))
  }

  /// GGUF knows only the rule that puts a "▁" in front of each stretch, also before a blank; Mistral's tokenizer.json puts it
  /// in front of a text that begins with no blank. Other texts have equal ids, and these have those that the file gives with
  /// that rule in place of its own.
  @Test(arguments: [
    ("mistral", "mistral.f32"), ("mistral-nemo", "mistral-nemo.f32"), ("mistral", "mistral-split-00001-of-00003"),
  ])
  func theTwinOfMistralPutsABlankBehindEachToken(name: String, file: String) throws {
    let tokenizer = try Self.twin(file)
    guard var object = try parseJSON(fileBytes(Self.families + name + "/tokenizer.json")).objectValue else {
      Issue.record("no object")
      return
    }
    object["pre_tokenizer"] = .null
    object["normalizer"] = [
      "type": "Sequence",
      "normalizers": [
        ["type": "Prepend", "prepend": "\u{2581}"],
        ["type": "Replace", "pattern": ["String": " "], "content": "\u{2581}"],
      ],
    ]
    let legacy = try Tokenizer.huggingFace(tokenizerJSON: JSONValue.object(object).serialized())
    var others = 0
    for item in try Self.cases(name) {
      let ids = tokenizer.encode(item.text, recognizeSpecial: true)
      #expect(ids == legacy.encode(item.text, recognizeSpecial: true), "\(item.text)")
      if ids != item.ids {
        others += 1
        let holdsToken = item.ids.contains { $0 < 10 && tokenizer.parts.vocabulary.kinds[Int($0)].isControl }
        #expect(item.text.hasPrefix(" ") || item.text.hasPrefix("\u{2581}") || holdsToken, "\(item.text)")
      }
    }
    #expect(others > 0)
  }

  @Test func theTwinOfMistralHasOneBlankBehindAMarkOfAChat() throws {
    let pieces = [TextPiece("<s>[INST]", recognizeSpecial: true), TextPiece(" the", recognizeSpecial: false)]
    let expected = try Self.tokenizer("mistral").encode(pieces)
    #expect(try Self.twin("mistral.f32").encode(pieces) == expected)
    // As a text it is what llama.cpp makes of it.
    #expect(try Self.twin("mistral.f32").encode("<s>[INST] the", recognizeSpecial: true).count == expected.count + 1)
  }

  // MARK: The first token, and what follows

  @Test(arguments: names)
  func aPromptBeginsWithTheFirstTokenOnce(name: String) throws {
    let tokenizer = try Self.tokenizer(name)
    let hasFirst = !["qwen2", "qwen2-untied", "qwen3", "qwen3-untied", "smollm3"].contains(name)
    #expect(tokenizer.beginning.count == (hasFirst ? 1 : 0))
    #expect(tokenizer.encode(PromptText.text("the")) == tokenizer.beginning + tokenizer.encode("the"))
    #expect(tokenizer.encode(PromptText.text("")) == tokenizer.beginning)
    guard hasFirst else { return #expect(tokenizer.bos == nil) }
    let first = try #require(tokenizer.bosText)
    let written = PromptText.text(first + "the", recognizeSpecial: true)
    #expect(tokenizer.encode(written).filter { $0 == tokenizer.bos }.count == 1)
    // A user who writes its text has not written it.
    #expect(tokenizer.encode(PromptText.text(first + "the")).filter { $0 == tokenizer.bos }.count == 1)
    let chat = PromptText.chat([TextPiece(first, recognizeSpecial: true), TextPiece("the", recognizeSpecial: false)])
    #expect(tokenizer.encode(chat).filter { $0 == tokenizer.bos }.count == 1)
    #expect(!tokenizer.encode(.chat([TextPiece("the", recognizeSpecial: false)])).contains(tokenizer.bos ?? -1))
  }

  @Test(arguments: names)
  func aContinuationGoesOnWhereThePromptEnds(name: String) throws {
    let tokenizer = try Self.tokenizer(name)
    for (prompt, text) in [
      ("Question: the light\nAnswer:", " water"), ("a", " b"), ("the", "se"), ("", "the"), ("the ", "light"), ("x", ""),
    ] {
      let before = tokenizer.encode(PromptText.text(prompt))
      let added = tokenizer.continuation(text, of: .text(prompt))
      #expect(!added.contains(tokenizer.bos ?? -1))
      let whole = tokenizer.encode(PromptText.text(prompt + text))
      if whole.starts(with: before) { #expect(before + added == whole, "\(prompt)|\(text)") }
      // However it is cut, it is the text that goes on: no blank comes between.
      #expect(tokenizer.decode(before + added, skipSpecial: true) == prompt + text, "\(prompt)|\(text)")
    }
    #expect(tokenizer.decode(tokenizer.encode("x") + tokenizer.continuation("the")) == "xthe")
    #expect(tokenizer.decode(tokenizer.encode("x") + tokenizer.continuation(" the")) == "x the")
  }

  @Test func anAnswerOfAChatEndsItsTurn() throws {
    for (name, end) in [
      ("llama3", "<|eot_id|>"), ("gemma3", "<end_of_turn>"), ("qwen3", "<|im_end|>"), ("smollm3", "<|im_end|>"),
      ("mistral", "</s>"), ("llama2", "</s>"),
    ] {
      let tokenizer = try Self.tokenizer(name)
      let id = try #require(tokenizer.id(ofToken: end))
      #expect(tokenizer.turnEnd == id, "\(name)")
      #expect(tokenizer.endOfTurn.contains(id), "\(name)")
    }
    #expect(try Self.twin("gemma3.f32").turnEnd == 5)
  }
}
