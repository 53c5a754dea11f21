package import Evaluation
package import LinearAlgebra
package import Multipliers
package import Transformer

/// What a model answered to a row.
struct GeneratedAnswer {
  /// Without the tokens that ended it.
  var text: String
  /// Mean log-probability of its own tokens; nil where it was not wanted.
  var logLikelihood: Double?
}

/// Greedy answers to rows.
func generateAnswers(
  _ rows: [EncodedRow], of task: TaskDefinition, by model: LanguageModel, under view: WeightView, likelihoods: Bool,
  priority: ComputePool.Priority
) throws(TransformerError) -> [GeneratedAnswer] {
  guard !rows.isEmpty else { return [] }
  throw .invalidSampling("answers cannot be generated yet, only choices scored")
}

/// Scores candidates on rows that are generated: greedy, a chunk of rows in one batch under the candidate's multipliers.
package struct GenerationScorer: CandidateScorer {
  private let model: LanguageModel
  private let mixer: Mixer
  private let task: TaskDefinition
  private let rows: [EncodedRow]
  private let scorer: TaskScorer
  private let priority: ComputePool.Priority
  private let shouldStop: @Sendable () -> Bool

  package let likelihoodRule = LikelihoodRule.rightShots
  package var shotCount: Int { rows.count }

  /// Rows that are decoded side by side: a step reads all weights once for all of them, so few rows waste most of it.
  private static let chunkRows = 16

  /// Throws where the task's answers cannot be extracted.
  package init(
    model: LanguageModel, mixer: Mixer, task: TaskDefinition, rows: [EncodedRow],
    priority: ComputePool.Priority = .job, shouldStop: @escaping @Sendable () -> Bool
  ) throws(EvaluationError) {
    self.model = model
    self.mixer = mixer
    self.task = task
    self.rows = rows
    scorer = try TaskScorer(task)
    self.priority = priority
    self.shouldStop = shouldStop
  }

  package func chunks(of shots: [Int]) -> [[Int]] {
    evenChunks(of: shots, costs: shots.map { _ in 1 }, target: Self.chunkRows)
  }

  package func admits(_ candidate: MixtureCoefficients) -> Bool { (try? mixer.multipliers(candidate)) != nil }

  /// One piece of work after the other, each a batch of its own: what is decoded together must not depend on which other
  /// candidates happen to be asked for.
  package func score(_ work: [ScoringWork]) throws(ScorerError) -> [[ShotScore]] {
    var scores: [[ShotScore]] = []
    for piece in work {
      guard !shouldStop() else { throw .cancelled }
      do {
        let view = WeightView.factored(try mixer.multipliers(piece.candidate))
        let answers = try generateAnswers(
          piece.shots.map { rows[$0] }, of: task, by: model, under: view, likelihoods: true, priority: priority)
        scores.append(try zip(piece.shots, answers).map { shot, answer in try score(rows[shot].row, answer) })
      } catch {
        throw .failed("\(error)")
      }
    }
    return scores
  }

  private func score(_ row: TaskRow, _ answer: GeneratedAnswer) throws(EvaluationError) -> ShotScore {
    let isRight = try scorer.score(row, output: answer.text).isCorrect(task.metric)
    return ShotScore(right: isRight ? 1 : 0, logLikelihood: isRight ? answer.logLikelihood : nil)
  }
}
