/// One figure of a benchmark.
///
/// Only a ratio has a bound: both its sides are measured in one run on one machine, so that the bound means the same on
/// the next machine. Seconds and tokens per second are there to be compared with a record of the same machine.
struct Measurement: Sendable, Equatable {
  enum Bound: Sendable, Equatable {
    case atLeast(Double)
    case atMost(Double)
  }

  /// Unique among the figures of a benchmark: a record knows a figure by it.
  let name: String
  let value: Double
  /// "s", "tok/s", "GFLOP/s"; "" for a ratio or a count.
  let unit: String
  /// Nil where the project asks for nothing.
  let bound: Bound?

  init(_ name: String, _ value: Double, _ unit: String) {
    (self.name, self.value, self.unit, bound) = (name, value, unit, nil)
  }

  private init(ratio name: String, _ value: Double, _ bound: Bound?) {
    (self.name, self.value, unit, self.bound) = (name, value, "", bound)
  }

  static func ratio(_ name: String, _ value: Double, _ bound: Bound? = nil) -> Measurement {
    Measurement(ratio: name, value, bound)
  }

  /// Whether the bound is kept; nil where there is none. A figure that is not a number keeps no bound.
  var isKept: Bool? {
    switch bound {
    case .atLeast(let limit): value >= limit
    case .atMost(let limit): value <= limit
    case nil: nil
    }
  }
}
