/// A prompt and the continuations whose likelihood is wanted. The prompt is computed once for all of them.
package struct ScoringItem: Sendable, Equatable {
  package var prompt: [Int32]
  package var continuations: [[Int32]]
  /// How many tokens at the beginning of each continuation only lead to what is wanted; empty: none.
  package var leads: [Int]

  package init(prompt: [Int32], continuations: [[Int32]], leads: [Int] = []) {
    self.prompt = prompt
    self.continuations = continuations
    self.leads = leads
  }

  /// Rows that it takes where nothing is shared with other items: the last token of a continuation has no successor
  /// and needs no row.
  package var rowCount: Int { prompt.count + continuations.reduce(0) { $0 + $1.count - 1 } }

  /// The scores of its continuations under weights that leave the range of float.
  package var outOfRange: [ContinuationScore] {
    continuations.map { ContinuationScore(logprobs: $0.map { _ in -.infinity }) }
  }

  /// Throws where it cannot be scored; `index` is its number in messages.
  package func check(index: Int, vocabulary: Int, context: Int) throws(EngineError) {
    guard !prompt.isEmpty else { throw .emptyPrompt(item: index) }
    try checkTokens(prompt, index: index, vocabulary: vocabulary)
    for (number, continuation) in continuations.enumerated() {
      let lead = leads.isEmpty ? 0 : leads[number]
      guard continuation.count > lead else { throw .emptyContinuation(item: index, continuation: number) }
      try checkTokens(continuation, index: index, vocabulary: vocabulary)
    }
    // The last token has no row of its own: an answer that filled the context is one token longer.
    let rows = prompt.count + max(0, (continuations.map(\.count).max() ?? 0) - 1)
    guard rows <= context else { throw .tooLong(item: index, tokens: rows, context: context) }
  }
}

/// Throws for an id outside the vocabulary.
private func checkTokens(_ tokens: [Int32], index: Int, vocabulary: Int) throws(EngineError) {
  for id in tokens where id < 0 || Int(id) >= vocabulary {
    throw .unknownToken(item: index, id: id, vocabulary: vocabulary)
  }
}

/// ln p of each token of a continuation, given all before it.
package struct ContinuationScore: Sendable, Equatable {
  package var logprobs: [Float]
  /// How many of them do not count, since the likelihood of what comes behind them is wanted.
  package var lead: Int

  package init(logprobs: [Float], lead: Int = 0) {
    self.logprobs = logprobs
    self.lead = lead
  }

  package var sum: Double { logprobs.dropFirst(lead).reduce(0) { $0 + Double($1) } }

  /// A token's share of the sum.
  package var mean: Double { sum / Double(logprobs.count - lead) }

  /// The derivatives of a loss by the log-probabilities, of which each that counts has this one.
  package func derivatives(_ each: Float) -> [Float] {
    logprobs.indices.map { $0 < lead ? 0 : each }
  }
}
