package import Multipliers
package import Records
package import Search

/// How the best mixture is searched. The configuration's `search`, a task's `search` and the parameters of `task.adapt`
/// and `sweep.run` are all this record, each laid over the one before.
package struct SearchSettings: Record {
  @Setting("search method; all compares every method on the folds", option: .init(nil, "S"))
  package var method = SearchMethodName.standard
  @Setting(
    "one coefficient per expert (vector), per expert and layer, or per expert and matrix", option: .init(nil, "G"))
  package var granularity: Granularity?
  @Setting("several granularities: each is searched, and the best on the folds is served") package var granularities = [
    Granularity.vector
  ]
  @Setting(
    "how experts are mixed; default delta for experts without rescale, sum for the others", option: .init(nil, "RULE"))
  package var mix: MixRule?
  @Setting("what is maximised: accuracy, with ties by log-likelihood, or loglik", option: .init(nil, "O"))
  package var objective = Objective.accuracy
  @Setting("maximum number of generations", 1...10_000) package var iterations = StandardSearch.iterations
  @Setting("candidates per generation", 2...4_096) package var population = StandardSearch.population
  @Setting(
    "best candidates that the next generation is drawn around, a fifth of the population where only that is set",
    2...4_096)
  package var elites = StandardSearch.elites
  @Setting("the same as a share of the population", 0.01...1) package var elite: Double?
  @Setting("lower bound of a coefficient", -100...100) package var lower = 0.0
  @Setting("upper bound of a coefficient", -100...100) package var upper = 1.0
  @Setting("both bounds of a coefficient: [low, high]", -100...100) package var range: [Double]?
  @Setting("use only the first N rows of the few-shot file; default all", 1...100_000) package var shots: Int?
  @Setting(
    "stop after this many evaluations (one row under one candidate)", 1...1_000_000_000, formerly: ["prompt_budget"])
  package var budgetPrompts: Int?
  @Setting("stop after this many seconds", 0.1...1_000_000, formerly: ["seconds_budget"])
  package var budgetSeconds: Double?
  @Setting("both budgets: {prompts, seconds}") package var budget: Budget?
  @Setting("coefficients that sum to one", name: "normalized", formerly: ["normalised"])
  package var isNormalized = false
  @Setting("seed of every random number", 0...UInt64(Int64.max), option: .init(nil, "S")) package var seed: UInt64 = 1

  package init() {}

  package struct Budget: Record {
    @Setting("evaluations", 1...1_000_000_000) package var prompts: Int?
    @Setting("seconds", 0.1...1_000_000) package var seconds: Double?
    package init() {}
  }

  package mutating func validate() throws(RecordError) {
    if $granularity.isGiven, let granularity {
      granularities = [granularity]
    } else if $granularities.isGiven {
      granularity = nil
    }
    if granularities.isEmpty { throw RecordError(.invalid, at: "granularities", "is an empty list") }
    if $range.isGiven, let range {
      guard range.count == 2, range[0] < range[1] else {
        throw RecordError(.invalid, at: "range", "must be [low, high], low below high")
      }
      (lower, upper) = (range[0], range[1])
    } else if $lower.isGiven || $upper.isGiven {
      range = nil
    }
    guard lower < upper else { throw RecordError(.invalid, at: "lower", "is \(lower), not below 'upper', \(upper)") }
    if $budget.isGiven, let budget {
      budgetPrompts = budget.prompts ?? budgetPrompts
      budgetSeconds = budget.seconds ?? budgetSeconds
    } else if $budgetPrompts.isGiven || $budgetSeconds.isGiven {
      budget = nil
    }
    if $elites.isGiven {
      elite = nil
    } else if let elite {
      // Never more than there are: the share is at most 1, and a population has two.
      elites = max(2, Int(elite * Double(population)))
    } else if $population.isGiven {
      // The elite ratio of the paper, 0.2; a spread needs two.
      elites = max(2, population / 5)
    }
    guard elites <= population else {
      throw RecordError(.invalid, at: "elites", "is \(elites), of a population of \(population)")
    }
  }
}
