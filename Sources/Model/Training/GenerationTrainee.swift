import Engines
package import Adaptation
package import Evaluation
import LinearAlgebra
package import Results
package import Sandbox
package import Settings

/// A language model that learns to answer: rows have no choices, and the task's own rules say whether a text is right.
///
/// Under `reinforce` (eq. 1 of arXiv:2501.06252) each row of a step is answered several times by sampling; an answer is
/// worth 1 or −1, and the loss is −(advantage) ln π(answer), the sum over the answer's tokens and the mean over answers.
/// π is what the answers are drawn from: at a temperature T other than 1 the tempered model, softmax(logits / T). ln π of
/// the model as it is would make the gradient that of another expectation, since E[r ∇ ln π] is ∇ E[r] only where the
/// answers are π's own. The divergence is between the tempered models too, of which one is the policy. What is drawn is a
/// function of the seed, the step, the row's place in it and the sample's number.
///
/// Under `next-token` the loss is −ln π of the row's solution behind the prompt, the end of the answer included, as a mean
/// over all tokens of the step, as language models are usually trained.
///
/// The divergence is exact over the vocabulary at each token of those answers or solutions, and summed or averaged as
/// ln π is. Which answers come is taken as given, as in the reference code: the share that the divergence has in that choice
/// has no gradient here.
package struct GenerationTrainee: TrainedModel {
  private let weights: any TrainedParameters
  private let task: TaskDefinition
  private let rows: [EncodedRow]
  private let solutions: [[Int32]]
  private let scorer: TaskScorer
  private let settings: TrainingSettings
  private let shouldStop: @Sendable () -> Bool

  /// Rows of a recorded pass and its way back at most, about: bounds the streams that every layer keeps of them.
  private var recordedTogether: Int { 2 * weights.model.passRows }

  /// - Parameters:
  ///   - solutions: what `next-token` teaches for each row; not read otherwise.
  ///   - sandbox: where the answers of rows of code are run.
  package init(
    _ weights: any TrainedParameters, task: TaskDefinition, rows: [EncodedRow], solutions: [[Int32]],
    settings: TrainingSettings, sandbox: Sandbox?, shouldStop: @escaping @Sendable () -> Bool
  ) throws(EvaluationError) {
    precondition(settings.objective != .crossEntropy, "cross-entropy is over choices, which these rows have not")
    self.weights = weights
    self.task = task
    self.rows = rows
    self.solutions = solutions
    scorer = try TaskScorer(task, sandbox: sandbox)
    self.settings = settings
    self.shouldStop = shouldStop
  }

  package var rowCount: Int { rows.count }
  package var parameterCount: Int { weights.start.count }
  package var groups: [Range<Int>] { weights.groups }
  package var rewardIsSampled: Bool { settings.objective == .reinforce }

  private var temperature: Float { settings.objective == .reinforce ? Float(settings.temperature) : 1 }
  private var isPenalized: Bool { settings.divergenceWeight > 0 }
  private var direction: DivergenceDirection? { isPenalized ? settings.divergenceDirection : nil }

  package func cost(of rows: [Int]) -> TrainingCost {
    let longest = rows.map { self.rows[$0].prompt.count }.max() ?? 0
    let limit = task.settings.maximumTokens
    let each = rows.map { row in
      let behind = settings.objective == .reinforce ? settings.samples * limit : solutions[row].count
      return self.rows[row].prompt.count + behind
    }
    let tokens = each.reduce(0, +)
    return TrainingCost(
      tokens: tokens,
      memoryBytes: weights.model.gradientBytes(
        rows: min(tokens, recordedTogether), longest: each.max() ?? 0)
        + weights.model.decodingBytes(positions: longest + limit, sequences: max(rows.count, settings.validationRows)))
  }

  package func gradient(
    of rows: [Int], step: Int, at parameters: [Float]
  ) throws(TrainingError) -> (gradient: [Float], Standing) {
    do {
      return switch settings.objective {
      case .reinforce: try sampled(rows, step: step, at: parameters)
      case .nextToken: try taught(rows, at: parameters)
      case .crossEntropy: preconditionFailure("refused when it was made")
      }
    } catch {
      guard case .model(let error) = error, error.isOverflow else { throw TrainingError(error) }
      return ([Float](repeating: .nan, count: parameterCount), .none(rows.count))
    }
  }

  package func standing(of rows: [Int], at parameters: [Float]) throws(TrainingError) -> Standing {
    do {
      let answers = try answer(rows, at: parameters) { _ in .greedy }
      let rewards = try zip(rows, answers).map { (row, answer) throws(Failure) in try reward(row, answer) }
      var standing = Standing(rewards: rewards, rows: rows.count)
      switch settings.objective {
      case .reinforce, .crossEntropy:
        guard isPenalized else { break }
        let items = zip(rows, answers).map { item($0, [$1.tokens]) }
        standing.divergence = try measure(items, at: parameters).divergence / Double(rows.count)
        standing.loss += settings.divergenceWeight * standing.divergence
      case .nextToken:
        let items = rows.map { item($0, [solutions[$0]]) }
        let tokens = Double(rows.reduce(0) { $0 + solutions[$1].count })
        let (likelihood, divergence) = try measure(items, at: parameters)
        standing.divergence = divergence / tokens
        standing.loss = -likelihood / tokens + settings.divergenceWeight * standing.divergence
      }
      return standing
    } catch {
      guard case .model(let error) = error, error.isOverflow else { throw TrainingError(error) }
      return .none(rows.count)
    }
  }

  // MARK: - Objectives

  private func sampled(
    _ rows: [Int], step: Int, at parameters: [Float]
  ) throws(Failure) -> (gradient: [Float], Standing) {
    let count = settings.samples
    let answers = try answer(rows.flatMap { repeatElement($0, count: count) }, at: parameters) { place in
      .sampled(
        temperature: temperature, topP: 1, seed: settings.seed,
        stream: UInt64(step * rows.count * count + place))
    }
    var rewards: [Double] = []
    var lessons: [Lesson] = []
    for (place, row) in rows.enumerated() {
      let mine = Array(answers[place * count..<(place + 1) * count])
      let values = try mine.map { (answer) throws(Failure) in try reward(row, answer) }
      rewards += values
      let baseline =
        switch settings.baseline {
        case .none: 0.0
        case .group: values.reduce(0, +) / Double(count)
        }
      let weights = values.map { -($0 - baseline) / Double(answers.count) }
      // Answers of which none is better than another say nothing.
      guard isPenalized || weights.contains(where: { $0 != 0 }) else { continue }
      lessons.append(Lesson(item: item(row, mine.map(\.tokens)), weights: weights))
    }
    let (gradient, _, divergence) = try self.gradient(
      of: lessons, divergenceWeight: settings.divergenceWeight / Double(answers.count), at: parameters)
    var standing = Standing(rewards: rewards, rows: rows.count)
    standing.divergence = divergence / Double(answers.count)
    standing.loss += settings.divergenceWeight * standing.divergence
    return (gradient, standing)
  }

  private func taught(_ rows: [Int], at parameters: [Float]) throws(Failure) -> (gradient: [Float], Standing) {
    let tokens = Double(rows.reduce(0) { $0 + solutions[$1].count })
    let (gradient, likelihood, divergence) = try self.gradient(
      of: rows.map { Lesson(item: item($0, [solutions[$0]]), weights: [-1 / tokens]) },
      divergenceWeight: settings.divergenceWeight / tokens, at: parameters)
    let loss = -likelihood / tokens + settings.divergenceWeight * divergence / tokens
    return (
      gradient,
      Standing(rows: rows.count, loss: loss, reward: nil, right: nil, divergence: divergence / tokens)
    )
  }

  /// Texts to a prompt, and what the loss says of each token of each, dL/d ln p.
  private struct Lesson {
    var item: ScoringItem
    var weights: [Double]
  }

  /// dL/d parameters, and the sums of ln p and of the divergences over all tokens; some lessons at a time, in their order.
  private func gradient(
    of lessons: [Lesson], divergenceWeight: Double, at parameters: [Float]
  ) throws(Failure) -> (gradient: [Float], likelihood: Double, divergence: Double) {
    var sums = [Double](repeating: 0, count: parameterCount)
    var (likelihood, divergence) = (0.0, 0.0)
    for part in parts(of: lessons) {
      do {
        let tape = try weights.record(
          part.map(\.item), at: parameters, temperature: temperature, divergence: direction,
          gradientFollows: true, shouldStop: shouldStop)
        let derivatives = zip(part, tape.scores).map { lesson, scores in
          zip(lesson.weights, scores).map { [Float](repeating: Float($0), count: $1.logprobs.count) }
        }
        let gradient = try weights.gradient(
          tape, derivatives, divergenceWeight: Float(divergenceWeight), at: parameters, shouldStop: shouldStop)
        for (i, value) in gradient.enumerated() { sums[i] += Double(value) }
        likelihood += tape.scores.joined().reduce(0) { $0 + $1.sum }
        divergence += tape.divergences?.joined().reduce(0, +) ?? 0
      } catch {
        throw .model(error)
      }
    }
    return (sums.map { Float($0) }, likelihood, divergence)
  }

  /// The same sums without a gradient.
  private func measure(
    _ items: [ScoringItem], at parameters: [Float]
  ) throws(Failure) -> (likelihood: Double, divergence: Double) {
    var (likelihood, divergence) = (0.0, 0.0)
    for part in parts(of: items.map { Lesson(item: $0, weights: []) }) {
      do {
        let tape = try weights.record(
          part.map(\.item), at: parameters, temperature: temperature, divergence: direction, gradientFollows: false,
          shouldStop: shouldStop)
        likelihood += tape.scores.joined().reduce(0) { $0 + $1.sum }
        divergence += tape.divergences?.joined().reduce(0, +) ?? 0
      } catch {
        throw .model(error)
      }
    }
    return (likelihood, divergence)
  }

  private func parts(of lessons: [Lesson]) -> [ArraySlice<Lesson>] {
    var parts: [ArraySlice<Lesson>] = []
    var (start, rows) = (0, 0)
    for (index, lesson) in lessons.enumerated() {
      let mine = lesson.item.prompt.count + lesson.item.continuations.reduce(0) { $0 + $1.count }
      if index > start, rows + mine > recordedTogether {
        parts.append(lessons[start..<index])
        (start, rows) = (index, 0)
      }
      rows += mine
    }
    if start < lessons.count { parts.append(lessons[start...]) }
    return parts
  }

  // MARK: - Answers

  private func item(_ row: Int, _ texts: [[Int32]]) -> ScoringItem {
    ScoringItem(prompt: rows[row].prompt, continuations: texts)
  }

  private func answer(
    _ rows: [Int], at parameters: [Float], sampling: (Int) -> Sampling
  ) throws(Failure) -> [Generation] {
    do {
      return try generateAnswers(
        rows.map { self.rows[$0] }, of: task, by: weights.model, under: weights.view(at: parameters),
        sampling: sampling, priority: .job, shouldStop: shouldStop)
    } catch {
      throw .model(error)
    }
  }

  private func reward(_ row: Int, _ answer: Generation) throws(Failure) -> Double {
    do {
      return try scorer.score(rows[row].row, output: answer.text, shouldStop: shouldStop).isCorrect(task.metric)
        ? 1 : -1
    } catch {
      throw .scoring(error)
    }
  }

  fileprivate enum Failure: Error {
    case model(EngineError)
    case scoring(EvaluationError)
  }
}

extension Standing {
  /// Of answers that are worth 1 or −1.
  fileprivate init(rewards: [Double], rows: Int) {
    let mean = rewards.reduce(0, +) / Double(rewards.count)
    self.init(rows: rows, loss: -mean, reward: mean, right: (mean + 1) / 2)
  }
}

extension TrainingError {
  fileprivate init(_ failure: GenerationTrainee.Failure) {
    switch failure {
    case .model(let error): self.init(error)
    case .scoring(.code(.stopped)): self = .cancelled
    case .scoring(let error): self = .model("\(error)")
    }
  }
}
