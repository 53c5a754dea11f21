import Adaptation
import Evaluation
import LinearAlgebra
import Settings
import SystemSupport
import TestSupport
import Testing
import Transformer
import WorkerProtocol

/// A model whose texts begin with a token of their own (the tiny Llama 2), wherever a text becomes tokens.
@Suite struct FirstTokenTests {
  private static let path = repository + "/Tests/Fixtures/families/llama2"
  private static let first: Int32 = 1

  @Test func aScoredPromptBeginsWithItOnceAndAContinuationHasNone() throws {
    try withTemporaryDirectory { directory in
      let worker = try TestWorker(threads: 1)
      let reference = ModelReference(path: Self.path, digest: "", cacheDirectory: directory)
      func score(_ prompt: TextOrTokens, _ continuation: TextOrTokens, special: Bool = false) throws -> ScoreAnswer {
        let call = ScoreCall(model: reference, prompt: prompt, continuation: continuation, special: special)
        return try ScoreAnswer(decoding: try worker.answer(.score(call)).get())
      }
      let plain = try score(.text("the light"), .text(" water"))
      #expect(plain.promptIDs.first == Self.first && plain.promptIDs.count { $0 == Self.first } == 1)
      #expect(!plain.continuationIDs.contains(Self.first))
      // Both are the tokens of the joined text: no second blank stands between.
      let joined = try score(.text("the light water"), .text("x"))
      #expect(plain.promptIDs + plain.continuationIDs == joined.promptIDs)
      #expect(try score(.tokens(plain.promptIDs), .text(" water")).continuationIDs == plain.continuationIDs)
      #expect(try score(.tokens(plain.promptIDs), .text(" water")).logprobs == plain.logprobs)
      let written = try score(.text("<s>the light"), .text(" water"), special: true)
      #expect(written.promptIDs.count { $0 == Self.first } == 1)
    }
  }

  @Test func theRowsOfATaskBeginWithItOnce() throws {
    try withTemporaryDirectory { directory in
      let model = try LanguageModel.load(
        path: Self.path, factorizationDirectory: nil, pool: ComputePool(threads: 1))
      let tokenizer = try #require(model.tokenizer)
      let row = #"{"question":"What do plants need?","choices":["light and water","a house"],"answer":0}"#
      let path = directory + "/plants.jsonl"
      try FileSystem.writeAtomically(path, Array(row.utf8))
      let task = try TaskFile.load(path: path)
      let encoded = try #require(try TaskEncoder(task, for: model).encode(task.shots).first)
      #expect(encoded.prompt.first == Self.first && encoded.continuations.count == 2)
      for continuation in encoded.continuations {
        #expect(!continuation.isEmpty && !continuation.contains(Self.first))
        let text = tokenizer.decode(encoded.prompt + continuation, skipSpecial: true)
        #expect(
          tokenizer.encode(.text(text)) == encoded.prompt + continuation)
      }
    }
  }
}
