/// One benchmark: what it is called, what it measures, and how.
///
/// Each is an extension in a file of its own, `Benchmark+Factorize.swift`, and stands in ``all``; from that table come the
/// command line and the help.
package struct Benchmark: Sendable {
  package let name: String
  /// One line for the help.
  package let summary: String
  /// Whether `all` has it: not one that needs what few machines have.
  var isStandard = true
  let run: @Sendable (borrowing BenchmarkContext) throws -> [Measurement]

  static let all: [Benchmark] = [
    .kernels, .factorize, .prefill, .backward, .decode, .ask, .candidates, .query, .drop, .scale, .llama, .large,
  ]
}

/// What went wrong before or during a benchmark, for people.
struct BenchmarkError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}
