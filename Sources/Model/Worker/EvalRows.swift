import Adaptation
import Evaluation
import Multipliers
import Results
import StrictJSON
import WorkerProtocol

/// The eval rows of a task and what was answered to them under the weights that were asked for: made after a search, and
/// journalled one set of weights at a time.
struct EvalRows {
  private let task: TaskDefinition
  private let inputs: SearchInputs
  private let job: RunningJob
  private var known: [String: [Answer]] = [:]

  typealias Answer = EvalItems.Answer

  /// Opens the eval file, which nothing before has read. Nil where the task has none.
  init?(_ reference: TaskReference, _ inputs: SearchInputs, _ job: RunningJob) throws(WorkerFault) {
    task = try loadTask(reference)
    guard !task.eval.isEmpty else { return nil }
    self.inputs = inputs
    self.job = job
    for entry in job.journal where entry["entry"] == "eval" {
      guard let name = entry["of"]?.stringValue, let right = entry["right"]?.stringValue,
        let texts = entry["answers"]?.arrayValue?.compactMap(\.stringValue),
        right.utf8.count == task.eval.count, texts.count == task.eval.count
      else { continue }
      known[name] = zip(texts, right.utf8).map { Answer(text: $0, isRight: $1 == UInt8(ascii: "1")) }
    }
  }

  var count: Int { task.eval.count }

  /// What is answered, row by row, under a mixture. One is known by its coefficients: it is scored once, whoever asks.
  mutating func answers(
    _ alpha: MixtureCoefficients, progress: (Int) -> Void = { _ in }
  ) throws(WorkerFault) -> [Answer] {
    let key = Self.key(alpha)
    if let answers = known[key] { return answers }
    let job = job
    let items = try faulting {
      try RowEvaluator(task, model: inputs.model.model, sandbox: job.sandbox).evaluate(
        task.eval, underMany: try inputs.mixer.multipliers(alpha), shouldStop: { job.isCancelled },
        progress: { progress($0.count) })
    }
    let answers = items.map {
      Answer(text: cut($0.answer(task.metric), EvalItems.maximumAnswer), isRight: $0.isCorrect(task.metric))
    }
    job.record([
      "entry": "eval", "of": .string(key), "right": .string(answers.map { $0.isRight ? "1" : "0" }.joined()),
      "answers": JSONValue(answers.map(\.text)),
    ])
    known[key] = answers
    return answers
  }

  /// The rows where the mixture is right and one of the others is not, or the other way round.
  func items(base: [Answer], expert: [Answer], named name: String, mixture: [Answer]) -> EvalItems {
    let differing = mixture.indices.filter {
      mixture[$0].isRight != base[$0].isRight || mixture[$0].isRight != expert[$0].isRight
    }
    return EvalItems(
      bestExpert: name, differing: differing.count,
      items: differing.prefix(EvalItems.maximumItems).map { index in
        let row = task.eval[index]
        return EvalItems.Item(
          id: row.id, line: row.line, question: cut(row.question, EvalItems.maximumQuestion),
          gold: cut(row.goldAnswer, EvalItems.maximumAnswer), base: base[index], bestExpert: expert[index],
          mixture: mixture[index])
      })
  }

  private func cut(_ text: String, _ count: Int) -> String { text.count > count ? text.prefix(count - 1) + "…" : text }

  /// The exact bits of α and how it is used.
  private static func key(_ alpha: MixtureCoefficients) -> String {
    let isBase = alpha.mix == .delta && alpha.alpha.allSatisfy { $0.allSatisfy { $0 == 0 } }
    if isBase { return "base" }
    let numbers = alpha.alpha.map { $0.map { String($0.bitPattern, radix: 16) }.joined(separator: ",") }
    return "\(alpha.mix.rawValue) \(alpha.granularity.rawValue) \(numbers.joined(separator: ";"))"
  }

  /// With its interval, and paired row by row with the base and with the best single expert.
  static func summary(_ answers: [Answer], base: [Answer]? = nil, expert: [Answer]? = nil) -> EvalSummary {
    let count = answers.count(where: \.isRight)
    let interval = WilsonInterval(successes: count, of: answers.count)
    return EvalSummary(
      value: Double(count) / Double(max(1, answers.count)), count: answers.count, lower: interval.low,
      upper: interval.high, versusBase: base.map { EvalSummary.Paired(answers, against: $0) },
      versusBestExpert: expert.map { EvalSummary.Paired(answers, against: $0) })
  }
}

extension EvalSummary.Paired {
  init(_ mine: [EvalRows.Answer], against others: [EvalRows.Answer]) {
    self.init(McNemarTest(first: mine.map(\.isRight), second: others.map(\.isRight)))
  }

  init(_ test: McNemarTest) { self.init(wins: test.firstOnly, losses: test.secondOnly, p: test.pValue) }
}
