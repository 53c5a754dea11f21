package import Multipliers
package import Records
package import Search
package import Settings

/// How far a search of a sweep may go; whatever else ends it stays.
package enum SweepBudget: Codable, Sendable, Equatable {
  case iterations(Int)
  case prompts(Int)

  private enum CodingKeys: String, CodingKey { case iterations, prompts }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    let prompts = try container.decodeIfPresent(Int.self, forKey: .prompts)
    let iterations = try container.decodeIfPresent(Int.self, forKey: .iterations)
    guard let budget = prompts.map(Self.prompts) ?? iterations.map(Self.iterations) else {
      throw RecordError(.missing, in: decoder, "has neither iterations nor prompts")
    }
    self = budget
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    switch self {
    case .iterations(let number): try container.encode(number, forKey: .iterations)
    case .prompts(let number): try container.encode(number, forKey: .prompts)
    }
  }
}

/// What every search of a sweep found, by the folds and on the eval rows.
package struct SweepResult: Codable, Sendable, Equatable {
  /// One search.
  package struct Cell: Codable, Sendable, Equatable {
    package var shots: Int
    package var budget: SweepBudget
    package var seed: UInt64
    package var shotIDs: [String]
    /// What was chosen; prompts and seconds are those of the whole cell, with its baselines and whatever else was
    /// searched.
    @Flattened package var configuration: ConfigurationSummary
    package var served: String
    package var bestExpert: String
    /// Of the search's own choice.
    package var eval: EvalSummary
    package var servedEval: EvalSummary
    package var warnings: [String]

    package init(
      shots: Int, budget: SweepBudget, seed: UInt64, shotIDs: [String], configuration: ConfigurationSummary,
      served: String, bestExpert: String, eval: EvalSummary, servedEval: EvalSummary, warnings: [String]
    ) {
      self.shots = shots
      self.budget = budget
      self.seed = seed
      self.shotIDs = shotIDs
      self.configuration = configuration
      self.served = served
      self.bestExpert = bestExpert
      self.eval = eval
      self.servedEval = servedEval
      self.warnings = warnings
    }
  }

  package var task: String
  package var metric: String
  package var template: String
  package var split: RowSplit
  /// Eval rows.
  package var count: Int
  /// Few-shot rows.
  package var rows: Int
  package var method: SearchMethodName
  package var granularities: [Granularity]
  package var objective: Objective
  package var population: Int
  /// `science@2`.
  package var experts: [String]
  package var base: EvalSummary
  package var bestExperts: ByName<EvalSummary>
  package var cells: [Cell]
  package var kernel: String
  package var seconds: Double

  package init(
    task: String, metric: String, template: String, split: RowSplit, count: Int, rows: Int, method: SearchMethodName,
    granularities: [Granularity], objective: Objective, population: Int, experts: [String], base: EvalSummary,
    bestExperts: ByName<EvalSummary>, cells: [Cell], kernel: String, seconds: Double
  ) {
    self.task = task
    self.metric = metric
    self.template = template
    self.split = split
    self.count = count
    self.rows = rows
    self.method = method
    self.granularities = granularities
    self.objective = objective
    self.population = population
    self.experts = experts
    self.base = base
    self.bestExperts = bestExperts
    self.cells = cells
    self.kernel = kernel
    self.seconds = seconds
  }

  private enum CodingKeys: String, CodingKey {
    case task, metric, template, split
    case count = "n"
    case rows, method, granularities, objective, population, experts, base, bestExperts, cells, kernel, seconds
  }
}
