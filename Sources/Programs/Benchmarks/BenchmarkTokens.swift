import Engines
import Transformer

/// Made-up token ids of a repeatable kind: what is measured depends on lengths, not on what the tokens mean.
struct BenchmarkTokens {
  private var state: UInt64
  private let vocabulary: Int

  init(seed: UInt64 = 1, vocabulary: Int) {
    state = seed
    self.vocabulary = vocabulary
  }

  mutating func next() -> Int32 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    // Small ids are special tokens in most vocabularies.
    let first = min(100, vocabulary - 1)
    return Int32(first + Int((state >> 33) % UInt64(vocabulary - first)))
  }

  mutating func sequence(_ count: Int) -> [Int32] { (0..<count).map { _ in next() } }

  /// Tokens of the first ten rows of ARC-Easy's training set under SmolLM2's tokenizer: "Question: ...\nAnswer:" and each
  /// choice with its leading space.
  private static let shotLengths: [(prompt: Int, choices: [Int])] = [
    (18, [6, 6, 6, 6]), (31, [2, 1, 1, 1]), (18, [6, 6, 7, 8]), (17, [2, 1, 2, 2]), (18, [2, 2, 3, 4]),
    (33, [5, 5, 5, 6]), (15, [3, 3, 3, 3]), (24, [1, 1, 1, 2]), (18, [1, 1, 1, 1]), (22, [3, 6, 3, 4]),
  ]

  /// Ten questions with all their choices, as long as ARC-Easy's, and like them with two tokens in common.
  mutating func shots() -> [ScoringItem] {
    let common = sequence(2)
    return Self.shotLengths.map { length in
      ScoringItem(
        prompt: common + sequence(length.prompt - 2), continuations: length.choices.map { sequence($0) })
    }
  }
}

/// The model of a benchmark, with its factorization beside nothing: computed for the run, kept nowhere.
func loadModel(_ context: borrowing BenchmarkContext) throws -> LanguageModel {
  context.say("  loading \(context.options.model)")
  return try LanguageModel.load(path: context.options.model, factorizationDirectory: nil, pool: context.pool)
}
