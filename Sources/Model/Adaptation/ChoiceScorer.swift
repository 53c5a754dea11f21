package import Engines
package import Evaluation
package import LinearAlgebra
package import Multipliers
package import Search

/// Scores candidates on rows with choices: all choices of a chunk of rows go through a candidate's weights together.
package struct ChoiceScorer: CandidateScorer {
  let model: any Engine
  private let mixtures: any MixtureScorer
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

  /// - Parameter many: whether populations will be compared, or few mixtures as by a gradient.
  package init(
    model: any Engine, mixer: Mixer, many: Bool, rows: [EncodedRow], metric: Metric,
    priority: ComputePool.Priority = .job, shouldStop: @escaping @Sendable () -> Bool
  ) throws(EngineError) {
    self.model = model
    mixtures = try model.mixtureScorer(mixer, many: many, priority: priority, shouldStop: shouldStop)
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
    let work = work.map { piece in MixtureWork(piece.candidate, piece.shots.map { rows[$0].item }) }
    do throws(EngineError) {
      return try mixtures.score(work, priority: priority, shouldStop: shouldStop)
    } catch {
      throw ScorerError(error)
    }
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
