import Adaptation
import Evaluation
import Multipliers
import StrictJSON
import WorkerProtocol

/// The eval rows of a task and what was right on them under the weights that were asked for: made after a search, and
/// journalled one set of weights at a time.
struct EvalRows {
  private let task: TaskDefinition
  private let ground: SearchGround
  private let job: RunningJob
  private var known: [String: [Bool]] = [:]

  /// Opens the eval file, which nothing before has read. Nil where the task has none.
  init?(_ reference: TaskReference, _ ground: SearchGround, _ job: RunningJob) throws(WorkerFault) {
    task = try loadTask(reference)
    guard !task.eval.isEmpty else { return nil }
    self.ground = ground
    self.job = job
    for entry in job.journal where entry["entry"] == "eval" {
      guard let name = entry["of"]?.stringValue, let right = entry["right"]?.stringValue,
        right.utf8.count == task.eval.count
      else { continue }
      known[name] = right.utf8.map { $0 == UInt8(ascii: "1") }
    }
  }

  var count: Int { task.eval.count }

  /// Right or wrong, row by row, under a mixture. One is known by its coefficients: it is scored once, whoever asks.
  mutating func right(
    _ alpha: MixtureCoefficients, progress: (Int) -> Void = { _ in }
  ) throws(WorkerFault) -> [Bool] {
    let key = Self.key(alpha)
    if let right = known[key] { return right }
    let items: [EvaluationResult.Item]
    do {
      items = try RowEvaluator(task, model: ground.model.model).evaluate(
        task.eval, underMany: try ground.mixer.multipliers(alpha), shouldStop: { job.isCancelled },
        progress: { progress($0.count) })
    } catch {
      throw WorkerFault(evaluating: error)
    }
    let right = items.map { $0.isCorrect(task.metric) }
    job.record(["entry": "eval", "of": .string(key), "right": .string(right.map { $0 ? "1" : "0" }.joined())])
    known[key] = right
    return right
  }

  /// The exact bits of α and how it is used.
  private static func key(_ alpha: MixtureCoefficients) -> String {
    let isBase = alpha.mix == .delta && alpha.alpha.allSatisfy { $0.allSatisfy { $0 == 0 } }
    if isBase { return "base" }
    let numbers = alpha.alpha.map { $0.map { String($0.bitPattern, radix: 16) }.joined(separator: ",") }
    return "\(alpha.mix.rawValue) \(alpha.granularity.rawValue) \(numbers.joined(separator: ";"))"
  }

  /// With its interval, and paired row by row with the base and with the best single expert.
  static func summary(_ right: [Bool], base: [Bool]? = nil, expert: [Bool]? = nil) -> EvalSummary {
    let count = right.count { $0 }
    let interval = WilsonInterval(successes: count, of: right.count)
    return EvalSummary(
      value: Double(count) / Double(max(1, right.count)), count: right.count, lower: interval.low,
      upper: interval.high, versusBase: base.map { EvalSummary.Paired(right, against: $0) },
      versusBestExpert: expert.map { EvalSummary.Paired(right, against: $0) })
  }
}

extension EvalSummary.Paired {
  init(_ mine: [Bool], against others: [Bool]) {
    self.init(McNemarTest(first: mine, second: others))
  }

  init(_ test: McNemarTest) { self.init(wins: test.firstOnly, losses: test.secondOnly, p: test.pValue) }
}
