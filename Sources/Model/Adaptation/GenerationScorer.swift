package import Engines
package import Evaluation
package import LinearAlgebra
package import Multipliers
package import Sandbox
package import Search

/// Answers to rows, decoded together under one set of weights.
/// - Parameter sampling: by the row's place among them.
package func generateAnswers(
  _ rows: [EncodedRow], of task: TaskDefinition, by model: any Engine, under view: WeightView,
  sampling: (Int) -> Sampling = { _ in .greedy }, priority: ComputePool.Priority, shouldStop: () -> Bool = { false }
) throws(EngineError) -> [Generation] {
  let requests = rows.enumerated().map { place, row in
    GenerationRequest(
      prompt: row.prompt, view: view, sampling: sampling(place), maximumTokens: task.settings.maximumTokens,
      stopIDs: model.facts.endIDs, stopStrings: task.stops(chat: row.isChat))
  }
  let answers = try model.generate(requests, priority: priority, onToken: { _ in !shouldStop() })
  if shouldStop() { throw .stopped }
  return answers
}

/// Scores candidates on rows that are generated: greedy, a chunk of rows in one batch under the candidate's multipliers.
package struct GenerationScorer: CandidateScorer {
  private let model: any Engine
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

  /// Throws where the task's answers cannot be extracted, or its programs not be run.
  package init(
    model: any Engine, mixer: Mixer, task: TaskDefinition, rows: [EncodedRow], sandbox: Sandbox?,
    priority: ComputePool.Priority = .job, shouldStop: @escaping @Sendable () -> Bool
  ) throws(EvaluationError) {
    self.model = model
    self.mixer = mixer
    self.task = task
    self.rows = rows
    scorer = try TaskScorer(task, sandbox: sandbox)
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
        scores.append(
          try score(piece.shots.map { rows[$0] }, under: .factored(try mixer.multipliers(piece.candidate))))
      } catch EngineError.stopped {
        throw .cancelled
      } catch EvaluationError.code(.stopped) {
        throw .cancelled
      } catch {
        throw .failed("\(error)")
      }
    }
    return scores
  }

  private func score(_ rows: [EncodedRow], under view: WeightView) throws -> [ShotScore] {
    let answers = try generateAnswers(
      rows, of: task, by: model, under: view, priority: priority, shouldStop: shouldStop)
    var right: [Int] = []
    for (index, answer) in answers.enumerated() {
      let item = try scorer.score(rows[index].row, output: answer.text, shouldStop: shouldStop)
      if item.isCorrect(task.metric) { right.append(index) }
    }
    // The likelihood of what the model itself said, token by token as it was chosen: no text is tokenised again.
    let spoken = right.filter { !answers[$0].tokens.isEmpty }
    let likelihoods = try model.score(
      spoken.map { ScoringItem(prompt: rows[$0].prompt, continuations: [answers[$0].tokens]) }, under: view,
      priority: priority, shouldStop: shouldStop)
    var scores = rows.indices.map { _ in ShotScore(right: 0, logLikelihood: nil) }
    for index in right { scores[index] = ShotScore(right: 1, logLikelihood: 0) }
    for (index, likelihood) in zip(spoken, likelihoods) {
      let mean = likelihood[0].mean
      scores[index] = ShotScore(right: 1, logLikelihood: mean)
    }
    return scores
  }
}
