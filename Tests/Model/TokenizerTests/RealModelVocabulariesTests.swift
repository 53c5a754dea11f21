import Glibc
import TestSupport
import Testing

@testable import Tokenizer

/// Where etc/lib/make-real-tokenizers left the tokenizers of families; `etc/test` sets it.
private let directory: String? = unsafe getenv("T2D_TEST_TOKENIZERS").map { unsafe String(cString: $0) }
private let isLong = unsafe getenv("T2D_TEST_ALL") != nil
/// Gemma 3 270M; `etc/test --all` sets it.
private let gemma: String? = unsafe getenv("T2D_TEST_GEMMA").map { unsafe String(cString: $0) }

@Suite(.enabled(if: directory != nil, "T2D_TEST_TOKENIZERS names no directory; etc/test sets it"))
struct RealModelVocabulariesTests {
  private static let small = ["llama3", "qwen2", "mistral", "mistral-sentencepiece"]
  static let all = small + ["llama2", "gemma3"]
  /// The others are fetched by `etc/test --all` only: 310 MB.
  private static let kinds = isLong ? all : small

  private func file(_ kind: String, _ name: String) throws -> [UInt8] {
    try fileBytes("\(directory ?? "")/\(kind)/\(name)")
  }

  private func load(_ kind: String) throws -> Tokenizer {
    try .huggingFace(
      tokenizerJSON: file(kind, "tokenizer.json"), configJSON: file(kind, "tokenizer_config.json"))
  }

  private func cases(_ kind: String) throws -> [(text: String, ids: [Int32])] {
    let cases = try tokenizerCases("Tests/Fixtures/tokenizers/\(kind).cases.json")
    #expect(cases.count > 200)
    return cases
  }

  @Test(arguments: kinds)
  func realVocabulariesGiveTheReferenceIDs(kind: String) throws {
    let tokenizer = try load(kind)
    for item in try cases(kind) {
      #expect(tokenizer.encode(item.text, recognizeSpecial: true) == item.ids, "\(item.text)")
    }
  }

  /// What a template writes becomes the tokens that transformers makes of it, and a marker that a user writes none.
  @Test(arguments: kinds.filter { $0 != "mistral-sentencepiece" })
  func conversationsGiveTheReferenceIDs(kind: String) throws {
    let tokenizer = try load(kind)
    let vocabularies = [
      "llama2": "llama2", "llama3": "llama3", "qwen": "qwen2", "mistral-v": "mistral", "gemma": "gemma3",
    ]
    var compared = 0
    for item in ChatCasesTests.cases where vocabularies.contains(where: { item.family.hasPrefix($0) && $1 == kind }) {
      guard item.rendered != nil else { continue }
      let place = "\(item.template): \(item.conversation)"
      let text = try #require(
        try TemplateCases.text(of: item.template) ?? TemplatesAlike.all[item.template], "there is no \(item.template)")
      let tokens = TemplateCases.tokens(of: item.family)
      let template = try made(text, bos: tokens["bos_token"], eos: tokens["eos_token"])
      let pieces = try template.pieces(item.messages, addGenerationPrompt: item.isPrompt, options: item.options)
      let ids = tokenizer.encode(.chat(pieces))
      if let expected = item.ids {
        #expect(ids == expected, "\(place)")
        compared += 1
      } else {
        let written = item.messages.map { tokenizer.encode($0.content, recognizeSpecial: true) }
        #expect(written.contains { $0.contains { tokenizer.isControl($0) } }, "\(place) has no marker")
        let own = pieces.filter(\.recognizeSpecial).map { tokenizer.encode($0.text, recognizeSpecial: true) }
        #expect(
          ids.count { tokenizer.isControl($0) } == own.joined().count { tokenizer.isControl($0) }, "\(place): \(ids)")
      }
    }
    #expect(compared > 10)
  }

  /// By scores and not by merges, and with what a GGUF file has for control and user-defined tokens.
  @Test(
    .enabled(if: isLong),
    arguments: [("llama2", directory.map { $0 + "/llama2/ggml-vocab-llama-spm.gguf" }), ("gemma3", gemma)])
  func realScoresGiveTheReferenceIDs(kind: String, path: String?) throws {
    let file = try #require(path)
    let lists = try #require(try ggufTokenizer(file))
    var made: Tokenizer?
    let loading = try processorTime { made = try .gguf(lists) }
    let tokenizer = try #require(made)
    for item in try cases(kind) {
      #expect(tokenizer.encode(item.text, recognizeSpecial: true) == item.ids, "\(item.text)")
    }
    #expect(loading < .seconds(1))
  }

  /// The vocabularies and cases that llama.cpp tests itself with. Left out are texts that its own rules make otherwise: it
  /// composes nothing (Qwen), and folds no long s.
  @Test(.enabled(if: isLong), arguments: ["llama-bpe", "qwen2", "llama-spm", "phi-3", "gpt-2"])
  func vocabulariesOfLlamaCppGiveItsIDs(name: String) throws {
    let path = "\(directory ?? "")/llama2/ggml-vocab-\(name).gguf"
    let lists = try #require(try ggufTokenizer(path))
    let tokenizer = try Tokenizer.gguf(lists)
    let texts = try String(decoding: fileBytes(path + ".inp"), as: UTF8.self).replacing(
      "\n__ggml_vocab_test__\n", with: "\u{1}"
    )
    .split(separator: "\u{1}", omittingEmptySubsequences: false).map(String.init)
    let lines = try String(decoding: fileBytes(path + ".out"), as: UTF8.self).split(
      separator: "\n", omittingEmptySubsequences: false)
    #expect(texts.count > 40 && lines.count >= texts.count)
    for (text, line) in zip(texts, lines) {
      let expected = line.split(separator: " ").compactMap { Int32($0) }
      #expect(tokenizer.encode(text) == expected, "\(text.debugDescription)")
    }
  }

  @Test(arguments: kinds)
  func aMegabyteOfTextIsEncodedInWellUnderASecond(kind: String) throws {
    var made: Tokenizer?
    let loading = try processorTime { made = try load(kind) }
    let tokenizer = try #require(made)
    let proseUnit = try cases(kind).map(\.text).joined(separator: " ")
    let texts = [
      ("prose", proseUnit), ("letters", "abcdefghijklmnopqrstuvwxyz"), ("one letter", "a"), ("blanks", " "),
      ("line ends", "\n"), ("marks", "<"), ("han", "漢字"), ("marks to compose", "e\u{301}\u{327}"),
    ]
    for (name, unit) in texts {
      let text = String(repeating: unit, count: 1_000_000 / unit.utf8.count)
      var ids: [Int32] = []
      let time = processorTime { ids = tokenizer.encode(text) }
      #expect(!ids.isEmpty)
      #expect(time < .seconds(1), "\(name) of \(kind): \(time)")
    }
    #expect(loading < .seconds(1), "\(kind): \(loading)")
  }
}

extension Tokenizer {
  fileprivate func isControl(_ id: Int32) -> Bool { parts.vocabulary.kinds[Int(id)].isControl }
}
