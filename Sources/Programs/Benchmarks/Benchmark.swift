/// One benchmark: what it is called, what it measures, and how.
///
/// Each is an extension in a file of its own, `Benchmark+Factorize.swift`, and stands in ``all``; from that table come the
/// command line and the help.
package struct Benchmark: Sendable {
  package let name: String
  /// One line for the help.
  package let summary: String
  let run: @Sendable (borrowing BenchmarkContext) throws -> [Measurement]

  static let all: [Benchmark] = [.factorize, .prefill, .backward, .decode, .ask, .candidates, .query, .drop]
}

/// One figure, and the bound that the project holds it to.
struct Measurement: Sendable, Equatable {
  enum Bound: Sendable, Equatable {
    case atLeast(Double)
    case atMost(Double)
  }

  var name: String
  var value: Double
  /// "s", "tok/s", "GFLOP/s"; "" for a ratio.
  var unit: String
  /// Nil where the figure is there to compare others with.
  var bound: Bound?

  init(_ name: String, _ value: Double, _ unit: String, _ bound: Bound? = nil) {
    self.name = name
    self.value = value
    self.unit = unit
    self.bound = bound
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

/// What went wrong before or during a benchmark, for people.
struct BenchmarkError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}
