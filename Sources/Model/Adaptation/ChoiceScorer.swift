package import Evaluation
package import LinearAlgebra
package import Multipliers
package import Search
package import Transformer

/// Scores candidates on rows with choices: each candidate's weights are mixed layer by layer, and all choices of a chunk of
/// rows go through them together. A search that scores few candidates needs no basis to mix from: it costs as much as some
/// hundred rows, and its matrices would lie beside the activations of the gradient; the factored form does for it.
package struct ChoiceScorer: CandidateScorer {
  let model: LanguageModel
  private let basis: ExpertBasis?
  let mixer: Mixer
  let rows: [EncodedRow]
  private let metric: Metric
  let priority: ComputePool.Priority
  let shouldStop: @Sendable () -> Bool

  package let likelihoodRule = LikelihoodRule.everyShot
  package var shotCount: Int { rows.count }

  /// Rows of a chunk's forward pass, about. Mixing a layer costs as much as some 50 rows, so smaller chunks pay more for
  /// mixing than pruning saves.
  private static let chunkCost = 256

  package init(
    model: LanguageModel, basis: ExpertBasis?, mixer: Mixer, rows: [EncodedRow], metric: Metric,
    priority: ComputePool.Priority = .job, shouldStop: @escaping @Sendable () -> Bool
  ) {
    self.model = model
    self.basis = basis
    self.mixer = mixer
    self.rows = rows
    self.metric = metric
    self.priority = priority
    self.shouldStop = shouldStop
  }

  package func chunks(of shots: [Int]) -> [[Int]] {
    evenChunks(of: shots, costs: shots.map { rows[$0].cost }, target: Self.chunkCost)
  }

  package func admits(_ candidate: MixtureCoefficients) -> Bool {
    (try? mixer.blend(candidate)) != nil
  }

  package func score(_ work: [ScoringWork]) throws(ScorerError) -> [[ShotScore]] {
    let scores = try choices(work)
    return zip(work, scores).map { piece, scores in
      zip(piece.shots, scores).map { shot, score in shotScore(rows[shot].row, score) }
    }
  }

  /// Log-probabilities of every token of every choice, (work, shots, choices).
  package func choices(_ work: [ScoringWork]) throws(ScorerError) -> [[[ContinuationScore]]] {
    guard let basis else { return try factoredChoices(work) }
    var candidates: [Candidate] = []
    for piece in work {
      do {
        candidates.append(Candidate(try mixer.blend(piece.candidate), piece.shots.map { rows[$0].item }))
      } catch {
        throw .failed("\(error)")
      }
    }
    do throws(TransformerError) {
      return try model.scoreCandidates(basis: basis, candidates, priority: priority, shouldStop: shouldStop)
    } catch {
      if case .stopped = error { throw .cancelled }
      throw .failed(error.description)
    }
  }

  /// Piece by piece, since what is computed together decides the last bits.
  private func factoredChoices(_ work: [ScoringWork]) throws(ScorerError) -> [[[ContinuationScore]]] {
    var results: [[[ContinuationScore]]] = []
    for piece in work {
      guard !shouldStop() else { throw .cancelled }
      let items = piece.shots.map { rows[$0].item }
      do {
        let view = WeightView.factored(try mixer.multipliers(piece.candidate))
        results.append(try model.score(items, under: view, priority: priority))
      } catch let error as TransformerError {
        guard case .overflow = error else { throw .failed(error.description) }
        results.append(
          items.map { $0.continuations.map { ContinuationScore(logprobs: $0.map { _ in -.infinity }) } })
      } catch {
        throw .failed("\(error)")
      }
    }
    return results
  }

  func shotScore(_ row: TaskRow, _ choices: [ContinuationScore]) -> ShotScore {
    guard case .choice(_, let texts, let gold) = row.content else {
      preconditionFailure("row '\(row.id)' has no choices")
    }
    let score = ChoiceScore(sums: choices.map(\.sum), choices: texts, gold: gold)
    let isRight = metric == .accNorm ? score.isCorrectNorm : score.isCorrect
    return ShotScore(right: isRight ? 1 : 0, logLikelihood: choices[gold].mean)
  }
}

/// Cuts a list into consecutive pieces of about equal cost, each of about `target`; at least one.
package func evenChunks(of shots: [Int], costs: [Int], target: Int) -> [[Int]] {
  precondition(shots.count == costs.count, "\(shots.count) shots, \(costs.count) costs")
  guard !shots.isEmpty else { return [] }
  let total = costs.reduce(0, +)
  let count = min(shots.count, max(1, (total + target / 2) / max(1, target)))
  var chunks: [[Int]] = []
  var chunk: [Int] = []
  var done = 0
  for (index, shot) in shots.enumerated() {
    chunk.append(shot)
    done += costs[index]
    let left = count - chunks.count
    // At the next border of equal shares, or where every remaining chunk needs one of the remaining shots.
    let isFull = done * count >= total * (chunks.count + 1) || shots.count - index - 1 < left
    if isFull, left > 1, shots.count - index - 1 >= left - 1 {
      chunks.append(chunk)
      chunk = []
    }
  }
  if !chunk.isEmpty { chunks.append(chunk) }
  return chunks
}
