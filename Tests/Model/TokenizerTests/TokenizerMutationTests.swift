import ModelFormats
import TestSupport
import StrictJSON
import Testing

@testable import Tokenizer

/// Tokenizers that were good once and are hostile now. One that is read must encode and decode whatever comes.
@Suite struct TokenizerMutationTests {
  private static func use(_ tokenizer: Tokenizer) {
    let ids = tokenizer.encode("ab  c'll 12\u{e9}\n<s>", recognizeSpecial: true)
    _ = tokenizer.decode(ids + [-1, .max])
  }

  private static let byteLevel: JSONValue = [
    "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
  ]
  private static let file: JSONValue = [
    "version": "1.0", "truncation": nil, "padding": nil,
    "added_tokens": [
      [
        "id": 6, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        "special": true,
      ]
    ],
    "normalizer": nil,
    "pre_tokenizer": [
      "type": "Sequence", "pretokenizers": [["type": "Digits", "individual_digits": true], Self.byteLevel],
    ],
    "post_processor": nil, "decoder": Self.byteLevel,
    "model": [
      "type": "BPE", "dropout": nil, "unk_token": "a", "continuing_subword_prefix": nil,
      "end_of_word_suffix": nil, "fuse_unk": false, "byte_fallback": false,
      "vocab": ["a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4, "\u{120}": 5], "merges": ["a b", ["ab", "c"]],
    ],
  ]

  @Test func aMutatedTokenizerJSONIsReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      let problem = withstand([Self.file.serialized()]) { Self.use(try .huggingFace(tokenizerJSON: $0)) }
      #expect(problem == nil, "\(problem ?? "")")
      let config: JSONValue = [
        "bos_token": ["content": "<s>"], "eos_token": "<s>", "add_bos_token": true, "model_max_length": 1e30,
      ]
      let other = withstand([config.serialized()], count: 2000) {
        Self.use(try .huggingFace(tokenizerJSON: Self.file.serialized(), configJSON: $0))
      }
      #expect(other == nil, "\(other ?? "")")
    }
  }

  /// As GGUF gives them: lists that need not fit each other.
  @Test func mutatedListsOfTokensAreReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      let lists: JSONValue = [
        "tokens": ["a", "b", "c", "ab", "abc", "\u{120}", "<s>"], "types": [1, 1, 1, 1, 1, 1, 3],
        "merges": ["a b", "ab c"], "bos": 6, "eos": 6,
      ]
      let problem = withstand([lists.serialized()]) { bytes in
        let lists = try parseJSON(bytes)
        func texts(_ key: String) -> [String] { lists[key]?.arrayValue?.compactMap(\.stringValue) ?? [] }
        Self.use(
          try .gguf(
            GGUFTokenizer(
              pre: "smollm", tokens: texts("tokens"),
              types: lists["types"]?.arrayValue?.compactMap { $0.intValue.map { Int32(truncatingIfNeeded: $0) } } ?? [],
              merges: texts("merges"), bos: lists["bos"]?.intValue, eos: lists["eos"]?.intValue)))
      }
      #expect(problem == nil, "\(problem ?? "")")
    }
  }

  /// The files of the families, and lists with scores.
  @Test(arguments: ["llama3", "qwen3", "llama2", "mistral", "gemma3"])
  func aMutatedFileOfAFamilyIsReadOrRefused(name: String) async {
    await #expect(processExitsWith: .success) { [name] in
      let file = try fileBytes("Tests/Fixtures/families/\(name)/tokenizer.json")
      let problem = withstand([file], count: 300) { Self.use(try .huggingFace(tokenizerJSON: $0)) }
      #expect(problem == nil, "\(problem ?? "")")
    }
  }

  @Test func mutatedScoresAreReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      let lists: JSONValue = [
        "tokens": ["<unk>", "<s>", "<0x0A>", "\u{2581}", "a", "b", "ab", "\u{2581}a", "aab", "\u{e9}"],
        "types": [2, 3, 6, 1, 1, 1, 1, 4, 1, 5], "scores": [0, 0, 0, -1, -2.5, -3, -4, -5, -5, 1e300], "bos": 1,
        "unknown": 0,
      ]
      let problem = withstand([lists.serialized()]) { bytes in
        let lists = try parseJSON(bytes)
        Self.use(
          try .gguf(
            GGUFTokenizer(
              model: "llama", tokens: lists["tokens"]?.arrayValue?.compactMap(\.stringValue) ?? [],
              types: lists["types"]?.arrayValue?.compactMap { $0.intValue.map { Int32(truncatingIfNeeded: $0) } } ?? [],
              scores: lists["scores"]?.arrayValue?.compactMap(\.doubleValue) ?? [], bos: lists["bos"]?.intValue,
              unknown: lists["unknown"]?.intValue)))
      }
      #expect(problem == nil, "\(problem ?? "")")
    }
  }
}
