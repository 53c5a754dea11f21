import Results
import Settings
import Training

/// A model without a network: the log-likelihood of a choice is a product of the parameters with numbers of its own, of
/// which the right choice of every row has its largest where the others have their smallest. Parameters begin at 1.
struct InventedModel: TrainedModel {
  var objective = TrainingObjective.reinforce
  let rowCount: Int
  let parameterCount = 6
  var groups: [Range<Int>] = []
  /// The step at which the gradient stops being a number.
  var breaksAt = Int.max
  /// Cancels at this gradient.
  var cancelsAt = Int.max
  /// A model that cannot learn: no parameter says anything of the right choice.
  var isDeaf = false
  /// Whether it says that its rewards are sampled.
  var rewardIsSampled = false
  /// From this gradient on no answer is right, if it is no derivative's doing.
  var failsFrom = Int.max
  let calls = Counter()

  final class Counter {
    var gradients = 0
  }

  init(rows: Int) { rowCount = rows }

  private func features(_ row: Int, _ choice: Int) -> [Double] {
    (0..<parameterCount).map { i in
      let noise = Double((row * 31 + choice * 17 + i * 7) % 13) / 13 - 0.5
      return isDeaf ? 0 : noise + (choice == gold(row) && i < 2 ? 0.8 : 0)
    }
  }

  private func gold(_ row: Int) -> Int { (row * 5 + 1) % 3 }

  private func outcome(_ row: Int, at parameters: [Float]) -> RowOutcome {
    let sums = (0..<3).map { choice in
      zip(features(row, choice), parameters).reduce(0) { $0 + $1.0 * (Double($1.1) - 1) }
    }
    return objective.outcome(sums, gold: gold(row))
  }

  func cost(of rows: [Int]) -> TrainingCost { TrainingCost(tokens: 3 * rows.count, memoryBytes: 1000) }

  func gradient(
    of rows: [Int], step: Int, at parameters: [Float]
  ) throws(TrainingError) -> (gradient: [Float], Standing) {
    calls.gradients += 1
    if calls.gradients == cancelsAt { throw .cancelled }
    let outcomes = rows.map { outcome($0, at: parameters) }
    var gradient = [Double](repeating: 0, count: parameterCount)
    for (row, outcome) in zip(rows, outcomes) {
      for (choice, derivative) in outcome.derivatives.enumerated() {
        for (i, x) in features(row, choice).enumerated() { gradient[i] += derivative * x / Double(rows.count) }
      }
    }
    if calls.gradients == breaksAt { gradient[3] = .infinity }
    if calls.gradients >= failsFrom {
      return (gradient.map { Float($0) }, Standing(rows: rows.count, loss: 1, reward: -1, right: 0))
    }
    return (gradient.map { Float($0) }, Standing(outcomes))
  }

  func standing(of rows: [Int], at parameters: [Float]) throws(TrainingError) -> Standing {
    Standing(rows.map { outcome($0, at: parameters) })
  }
}
