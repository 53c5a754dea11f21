import ModelFormats
import StrictJSON
import Testing

@testable import Tokenizer

@Suite struct HuggingFaceTokenizerTests {
  private static let byteLevel: JSONValue = [
    "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
  ]

  private func file(tokens: [String], merges: JSONValue, special: Int = 0) -> JSONObject {
    var vocabulary = JSONObject()
    for (id, token) in tokens.enumerated() { vocabulary[token] = JSONValue(id) }
    let added = tokens.prefix(special).enumerated().map { id, token -> JSONValue in
      [
        "id": JSONValue(id), "content": JSONValue(token), "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true,
      ]
    }
    return [
      "version": "1.0", "truncation": nil, "padding": nil, "added_tokens": .array(added), "normalizer": nil,
      "pre_tokenizer": [
        "type": "Sequence", "pretokenizers": [Self.byteLevel, ["type": "Digits", "individual_digits": true]],
      ],
      "post_processor": nil, "decoder": Self.byteLevel,
      "model": [
        "type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
        "fuse_unk": false, "byte_fallback": false, "vocab": .object(vocabulary), "merges": merges,
      ],
    ]
  }

  private func small() -> JSONObject {
    let vocabulary = SyntheticVocabulary(merges: ["a b", "ab c"])
    return file(tokens: vocabulary.tokens, merges: ["a b", ["ab", "c"]])
  }

  private func changed(_ key: String, to value: JSONValue, in part: String? = nil) -> JSONObject {
    var object = small()
    if let part {
      var inner = object[part]?.objectValue ?? [:]
      inner[key] = value
      object[part] = .object(inner)
    } else {
      object[key] = value
    }
    return object
  }

  private func problem(_ object: JSONObject) -> String {
    do throws(TokenizerError) {
      _ = try Tokenizer.huggingFace(tokenizerJSON: JSONValue.object(object).serialized())
      return "read"
    } catch {
      return "\(error)"
    }
  }

  /// T5's, BERT's and the like have other steps around it too, of which none says what they are.
  @Test func anotherKindIsNamedByItsModel() {
    let kinds: [(kind: String, normalizer: JSONValue, decoder: JSONValue)] = [
      (
        "Unigram", ["type": "Precompiled", "precompiled_charsmap": "AAAA"],
        ["type": "Metaspace", "replacement": "\u{2581}"]
      ),
      ("WordPiece", ["type": "BertNormalizer", "lowercase": true], ["type": "WordPiece", "prefix": "##"]),
      ("WordLevel", .null, .null),
    ]
    for (kind, normalizer, decoder) in kinds {
      var file = small()
      file["normalizer"] = normalizer
      file["decoder"] = decoder
      file["model"] = ["type": .string(kind), "unk_id": 2, "vocab": [["<pad>", 0.0]]]
      #expect(problem(file).contains("the tokenizer model '\(kind)' is not supported yet; BPE is"), "\(problem(file))")
    }
  }

  @Test func theFileGivesTheSameIDsAsTheGGUF() throws {
    let count = 3000  // a tenth of the merges is enough to compare, and quick in a debug build
    let merges = Array(SmolLM2Fixture.merges.prefix(count))
    let tokens = SmolLM2Fixture.head + merges.map { $0.replacing(" ", with: "") }
    let object = file(tokens: tokens, merges: JSONValue(merges), special: 17)
    let config: JSONValue = ["bos_token": "<|im_start|>", "eos_token": ["content": "<|im_end|>"], "chat_template": "x"]
    let fromJSON = try Tokenizer.huggingFace(
      tokenizerJSON: JSONValue.object(object).serialized(), configJSON: config.serialized())
    let fromGGUF = try Tokenizer.gguf(
      GGUFTokenizer(
        pre: "smollm", tokens: tokens, types: Array(SmolLM2Fixture.types.prefix(tokens.count)), merges: merges, bos: 1,
        eos: 2))
    #expect(fromJSON.preTokenizer == .gpt2ThenDigits && fromJSON.bos == 1 && fromJSON.eos == 2)
    for item in SmolLM2Fixture.cases { #expect(fromJSON.encode(item.text) == fromGGUF.encode(item.text)) }
    #expect(fromJSON.encode("<|im_end|>", recognizeSpecial: true) == [2])
  }

  @Test func mergesMayBePairs() throws {
    let tokenizer = try Tokenizer.huggingFace(tokenizerJSON: JSONValue.object(small()).serialized())
    #expect(tokenizer.encode("abcab") == [257, 256])
  }

  @Test func theStepsOfThePreTokenizerKeepTheirOrder() throws {
    let object = changed(
      "pre_tokenizer",
      to: ["type": "Sequence", "pretokenizers": [["type": "Digits", "individual_digits": true], Self.byteLevel]])
    #expect(
      try Tokenizer.huggingFace(tokenizerJSON: JSONValue.object(object).serialized()).preTokenizer == .digitsThenGPT2)
    let alone = changed("pre_tokenizer", to: Self.byteLevel)
    #expect(try Tokenizer.huggingFace(tokenizerJSON: JSONValue.object(alone).serialized()).preTokenizer == .gpt2)
  }

  @Test func whatIsNotSupportedIsNamed() {
    #expect(problem(small()) == "read")
    #expect(problem(changed("type", to: "Unigram", in: "model")).contains("'Unigram'"))
    #expect(problem(changed("normalizer", to: ["type": "NFKC"])).contains("normalizer is NFKC"))
    #expect(
      problem(
        changed("pre_tokenizer", to: ["type": "Sequence", "pretokenizers": [["type": "Split"], ["type": "Split"]]])
      )
      .contains("Split then Split"))
    #expect(problem(changed("pre_tokenizer", to: ["type": "Metaspace"])).contains("ByteLevel behind blanks"))
    #expect(problem(changed("pre_tokenizer", to: ["type": "Whitespace"])).contains("Whitespace"))
    #expect(problem(changed("decoder", to: ["type": "Metaspace"])).contains("decoder is Metaspace"))
    #expect(problem(changed("post_processor", to: ["type": "TemplateProcessing"])).contains("TemplateProcessing"))
    #expect(problem(changed("post_processor", to: ["type": "BertProcessing"])).contains("BertProcessing"))
    #expect(problem(changed("byte_fallback", to: true, in: "model")).contains("model.byte_fallback"))
    #expect(problem(changed("dropout", to: 0.1, in: "model")).contains("model.dropout"))
  }

  @Test func stepsThatChangeNothingChangeNothing() throws {
    let template: JSONValue = [
      "type": "TemplateProcessing", "single": [["Sequence": ["id": "A", "type_id": 0]]],
      "pair": [["Sequence": ["id": "A", "type_id": 0]], ["SpecialToken": ["id": "</s>", "type_id": 0]]],
      "special_tokens": [:],
    ]
    let strip: JSONValue = ["type": "Strip", "content": " ", "start": 0, "stop": 0]
    let forms: [(String, JSONValue)] = [
      ("normalizer", ["type": "Sequence", "normalizers": []]), ("post_processor", template),
      ("post_processor", ["type": "Sequence", "processors": [Self.byteLevel, template]]),
      ("decoder", ["type": "Sequence", "decoders": [Self.byteLevel]]),
      ("decoder", ["type": "Sequence", "decoders": [["type": "Fuse"], Self.byteLevel, strip]]),
      (
        "pre_tokenizer",
        [
          "type": "Sequence",
          "pretokenizers": [
            ["type": "Sequence", "pretokenizers": [Self.byteLevel]],
            ["type": "Sequence", "pretokenizers": [["type": "Digits", "individual_digits": true]]],
          ],
        ]
      ),
    ]
    let plain = try Tokenizer.huggingFace(tokenizerJSON: JSONValue.object(small()).serialized())
    for (part, form) in forms {
      let tokenizer = try Tokenizer.huggingFace(tokenizerJSON: JSONValue.object(changed(part, to: form)).serialized())
      #expect(tokenizer.encode("abc 12 ab") == plain.encode("abc 12 ab"), "\(part)")
      #expect(tokenizer.preTokenizer == plain.preTokenizer, "\(part)")
    }
  }

  @Test func stepsThatDoSomethingAreNamed() {
    func post(_ single: JSONValue) -> String {
      problem(changed("post_processor", to: ["type": "TemplateProcessing", "single": single, "pair": []]))
    }
    let text: JSONValue = ["Sequence": ["id": "A", "type_id": 0]]
    let mark: JSONValue = ["SpecialToken": ["id": "<s>", "type_id": 0]]
    #expect(post([mark, text]).contains("TemplateProcessing with '<s>' and without its ids"))
    for single: JSONValue in [[text, mark], [mark, text, mark]] {
      #expect(post(single).contains("TemplateProcessing, which adds '<s>'"))
    }
    for single: JSONValue in [[], [text, text], [["Sequence": ["id": "B", "type_id": 1]]]] {
      #expect(post(single).contains("post_processor is TemplateProcessing"), "\(single.jsonText)")
    }
    #expect(post("$A").contains("\"single\" must be an array"))
    #expect(
      problem(changed("decoder", to: ["type": "Sequence", "decoders": []])).contains("a sequence without a step"))
    let strip: JSONValue = ["type": "Strip", "content": " ", "start": 1, "stop": 0]
    #expect(
      problem(changed("decoder", to: ["type": "Sequence", "decoders": [Self.byteLevel, strip]])).contains(
        "decoder is ByteLevel then Strip"))
    #expect(problem(changed("normalizer", to: ["type": "Sequence"])).contains("normalizers"))
  }

  @Test func anUnknownExpressionIsQuoted() {
    func split(_ pattern: JSONValue, _ behavior: JSONValue = "Isolated") -> String {
      problem(
        changed(
          "pre_tokenizer",
          to: [
            "type": "Sequence",
            "pretokenizers": [
              ["type": "Split", "pattern": pattern, "behavior": behavior, "invert": false],
              ["type": "ByteLevel", "add_prefix_space": false, "use_regex": false],
            ],
          ]))
    }
    #expect(split(["Regex": #"\p{L}+|\S"#]).contains(#"an expression that is not known: '\p{L}+|\S'"#))
    #expect(split(["Regex": #"\s+"#]).contains("Llama 3, Qwen2, Mistral (Tekken) and GPT-2"))
    #expect(split(["String": " "]).contains(#"{"String":" "}"#))
    #expect(split(["Regex": "x"], "Removed").contains("behavior 'Removed'"))
  }

  @Test func aTemplateSaysWithWhatATextBegins() throws {
    var object = small()
    object["added_tokens"] = [["id": 258, "content": "<s>", "special": true]]
    object["post_processor"] = [
      "type": "Sequence",
      "processors": [
        Self.byteLevel,
        [
          "type": "TemplateProcessing",
          "single": [["SpecialToken": ["id": "<s>", "type_id": 0]], ["Sequence": ["id": "A", "type_id": 0]]],
          "pair": [], "special_tokens": ["<s>": ["id": "<s>", "ids": [258], "tokens": ["<s>"]]],
        ],
      ],
    ]
    let tokenizer = try Tokenizer.huggingFace(tokenizerJSON: JSONValue.object(object).serialized())
    #expect(tokenizer.beginning == [258] && tokenizer.bos == 258)
    // What tokenizer_config.json says of it does not count.
    let config: JSONValue = ["add_bos_token": true]
    let plain = try Tokenizer.huggingFace(
      tokenizerJSON: JSONValue.object(small()).serialized(), configJSON: config.serialized())
    #expect(plain.beginning.isEmpty)
    object["added_tokens"] = []
    #expect(problem(object).contains("bos is token 258, the vocabulary has 258 tokens"))
  }

  @Test func aGapInTheIDsIsNamed() {
    let added: (Int) -> JSONValue = { [["id": JSONValue($0), "content": "<pad>", "special": true]] }
    let count = SyntheticVocabulary(merges: ["a b", "ab c"]).tokens.count
    #expect(problem(changed("added_tokens", to: added(count))) == "read")
    #expect(
      problem(changed("added_tokens", to: added(count + 1))).contains(
        "no token has the id \(count), and '<pad>' has \(count + 1)"))
    #expect(
      problem(changed("added_tokens", to: added(1 << 30))).contains(
        "no token has the ids \(count) to \((1 << 30) - 1), and '<pad>' has \(1 << 30)"))
  }

  @Test func unknownMembersAreErrors() {
    #expect(problem(changed("normaliser", to: "x")).contains("normaliser"))
    #expect(problem(changed("cache", to: 1, in: "model")).contains("cache"))
  }

  @Test func hostileFilesAreErrors() {
    #expect(problem(changed("vocab", to: ["a": 1, "b": 2, "c": 3], in: "model")).contains("no token has the id 0"))
    #expect(problem(changed("vocab", to: ["a": 0, "b": 1], in: "model")).contains("needs the token 'ab'"))
    #expect(problem(changed("vocab", to: ["a": 5], in: "model")).contains("no token has the ids 0 to 4"))
    #expect(problem(changed("vocab", to: ["a": -1], in: "model")).contains("token -1"))
    #expect(problem(changed("vocab", to: ["a": "0"], in: "model")).contains("expected an integer"))
    #expect(problem(changed("vocab", to: ["a": 0, "b": 0], in: "model")).contains("both"))
    #expect(problem(changed("vocab", to: [:], in: "model")).contains("no tokens"))
    #expect(problem(changed("merges", to: [["a"]], in: "model")).contains("merge 0"))
    #expect(problem(changed("unk_token", to: "none", in: "model")).contains("model.unk_token"))
    #expect(problem(changed("model", to: [])).contains("model"))
    for text in ["", "{", "[]", "null", "{}", "{\"model\":{}}"] {
      #expect(throws: TokenizerError.self, "\(text)") { try Tokenizer.huggingFace(tokenizerJSON: Array(text.utf8)) }
    }
  }
}
