import Engines
import Adaptation
import Evaluation
import LinearAlgebra
import ModelSamples
import SystemSupport
import Testing
import Transformer

/// Rows whose choices stand in a gap: what follows it is scored behind each of them.
struct GapRowTests {
  @Test func whatFollowsTheGapIsScoredBehindEachChoice() throws {
    try withTemporaryDirectory { directory in
      let synthetic = try SyntheticModel(in: directory)
      let model = try LanguageModel.load(
        path: synthetic.path, factorizationDirectory: nil, pool: ComputePool(threads: 1))
      let row = #"{"sentence":"The cup is in the _ by now.","option1":"box","option2":"large bag","answer":"2"}"#
      let path = directory + "/gap.jsonl"
      try FileSystem.writeAtomically(path, Array(row.utf8))
      let task = try TaskFile.load(path: path)
      let encoded = try #require(try TaskEncoder(task, for: model).encode(task.shots).first)
      let tokenizer = try #require(model.tokenizer)
      #expect(encoded.leads.count == 2 && encoded.leads.allSatisfy { $0 > 0 })
      let scores = try model.score([encoded.item], under: .base, priority: .job)[0]
      for (index, option) in ["box", "large bag"].enumerated() {
        let before = tokenizer.encode("The cup is in the \(option)")
        let whole = tokenizer.encode("The cup is in the \(option) by now.")
        try #require(whole.starts(with: before))
        let alone = ScoringItem(prompt: before, continuations: [Array(whole.dropFirst(before.count))])
        #expect(abs(scores[index].sum - (try model.score([alone], under: .base, priority: .job)[0][0].sum)) < 1e-4)
        #expect(scores[index].logprobs.count - scores[index].lead == alone.continuations[0].count)
      }
    }
  }
}
