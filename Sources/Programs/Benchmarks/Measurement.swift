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
  /// Of one event among many, such as the slowest: no two runs agree on it.
  private let isExtreme: Bool

  init(_ name: String, _ value: Double, _ unit: String) {
    self.init(name, value, unit, nil, isExtreme: false)
  }

  private init(_ name: String, _ value: Double, _ unit: String, _ bound: Bound?, isExtreme: Bool) {
    (self.name, self.value, self.unit, self.bound, self.isExtreme) = (name, value, unit, bound, isExtreme)
  }

  static func ratio(_ name: String, _ value: Double, _ bound: Bound? = nil) -> Measurement {
    Measurement(name, value, "", bound, isExtreme: false)
  }

  static func extreme(_ name: String, _ value: Double, _ unit: String) -> Measurement {
    Measurement(name, value, unit, nil, isExtreme: true)
  }

  /// How fast this is, as a share of what was recorded; nil where it is no speed: a ratio, a size, an extreme.
  func speed(toRecorded recorded: Double) -> Double? {
    guard !isExtreme else { return nil }
    switch unit {
    case "s", "ms", "µs": return recorded / value
    default: return unit.hasSuffix("/s") ? value / recorded : nil
    }
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
