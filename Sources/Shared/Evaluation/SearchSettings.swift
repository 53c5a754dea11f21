import StrictJSON

/// What `task.json5` says about the search; nil is the default of the daemon's configuration or of the method.
package struct SearchSettings: Sendable, Equatable {
  package enum Method: String, Sendable, CaseIterable {
    case cem, random, gradient
    case cmaES = "cma-es"
    /// All of them side by side; the folds choose.
    case all
  }
  package enum Granularity: String, Sendable, CaseIterable { case vector, layer, matrix }
  package enum Mix: String, Sendable, CaseIterable { case sum, delta }
  package enum Objective: String, Sendable, CaseIterable { case accuracy, loglik }

  package var method: Method?
  package var granularity: Granularity?
  package var mix: Mix?
  package var objective: Objective?
  package var iterations: Int?
  package var population: Int?
  package var eliteRatio: Double?
  package var seed: UInt64?
  /// How many rows of the few-shot file are used; all where nil.
  package var shots: Int?
  /// α normalised to a sum of 1.
  package var normalized: Bool?
  /// The interval of a free coefficient.
  package var range: ClosedRange<Double>?
  package var budgetPrompts: Int?
  package var budgetSeconds: Double?

  package init() {}

  init(_ reader: ObjectReader) throws(ObjectReaderError) {
    var reader = reader
    method = try reader.optionalChoice("method")
    granularity = try reader.optionalChoice("granularity")
    mix = try reader.optionalChoice("mix")
    objective = try reader.optionalChoice("objective")
    iterations = try reader.optionalInt("iterations", in: 1...10_000)
    population = try reader.optionalInt("population", in: 2...4096)
    eliteRatio = try reader.optionalDouble("elite", in: 0.01...1)
    seed = try reader.optionalInteger("seed", in: 0...Int64.max).map { UInt64($0) }
    shots = try reader.optionalInt("shots", in: 1...100_000)
    normalized = try reader.optionalBool("normalized")
    if let bounds = try reader.optionalArray("range") {
      guard bounds.count == 2, let low = bounds[0].doubleValue, let high = bounds[1].doubleValue, low < high,
        abs(low) <= 100,
        abs(high) <= 100
      else {
        throw ObjectReaderError(
          kind: .outOfRange, path: reader.path, key: "range", problem: "\"range\" must be [low, high], low below high")
      }
      range = low...high
    }
    if var budget = try reader.optionalReader("budget") {
      budgetPrompts = try budget.optionalInt("prompts", in: 1...1_000_000_000)
      budgetSeconds = try budget.optionalDouble("seconds", in: 0.1...1_000_000)
      try budget.finish()
    }
    try reader.finish()
  }
}
