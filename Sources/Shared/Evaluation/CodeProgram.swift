package import Sandbox

/// A completion with the tests of its row: what is run to learn whether the completion is right.
///
/// The last thing that the program does is to print a mark, and without it nothing has passed: a completion that ends the
/// interpreter before its tests (`sys.exit(0)`) is as wrong as one that fails them. That is a guard against accidents and
/// not against a completion that means to cheat: it runs in the interpreter that holds its tests and the mark, and can read
/// both. A reward from such a completion is worth as little as the completion, so look at what was learned.
package struct CodeProgram: Sendable {
  package let text: String
  private let mark: String

  package init(_ problem: CodeProblem, completion: String) {
    let mark = "tests passed \(String(UInt64.random(in: 0 ... .max), radix: 16))"
    var parts: [String] = []
    if let entryPoint = problem.entryPoint {
      // A chat model says all of the function again: behind the prompt's, of which only the docstring is there.
      parts = [Self.fenced(completion).map { problem.prompt + "\n" + $0 } ?? problem.prompt + completion]
      parts += problem.tests + ["check(\(entryPoint))"]
    } else {
      parts = [problem.setUp, Self.fenced(completion) ?? completion] + problem.tests
    }
    text = (parts + ["print(\"\\n\(mark)\", flush=True)", ""]).joined(separator: "\n")
    self.mark = mark
  }

  /// What stands in the first Markdown fence, where there is one; before it, where it only ends what began without one.
  private static func fenced(_ completion: String) -> String? {
    guard let fence = completion.firstRange(of: "```"),
      let line = completion[fence.upperBound...].firstIndex(of: "\n")
    else { return nil }
    guard !completion[..<fence.lowerBound].contains("def ") else { return String(completion[..<fence.lowerBound]) }
    let rest = completion[completion.index(after: line)...]
    return String(rest.firstRange(of: "```").map { rest[..<$0.lowerBound] } ?? rest)
  }

  package func verdict(_ run: SandboxRun) -> CodeVerdict {
    guard run.outcome == .passed else {
      return CodeVerdict(outcome: run.outcome.name, detail: Self.ending(run))
    }
    guard run.output.split(separator: "\n").contains(mark[...]) else {
      return CodeVerdict(outcome: CodeVerdict.unfinished, detail: "it ended before its tests did")
    }
    return CodeVerdict(outcome: run.outcome.name, detail: "")
  }

  /// What a person needs to see why: the end of a traceback, which names the assertion, or what ended the program.
  private static func ending(_ run: SandboxRun) -> String {
    guard case .failed = run.outcome else { return run.outcome.phrase }
    let lines = run.output.split(separator: "\n", omittingEmptySubsequences: true).suffix(4)
    return String(lines.joined(separator: "\n").suffix(600))
  }
}

/// How a completion did in its tests.
package struct CodeVerdict: Sendable, Equatable {
  /// `passed`, `failed`, `timed_out`, `out_of_memory`, `forbidden`, `killed`, or `unfinished`.
  package let outcome: String
  /// The last lines of a failure; empty where there is nothing to say.
  package let detail: String

  package static let unfinished = "unfinished"

  package init(outcome: String, detail: String) {
    self.outcome = outcome
    self.detail = detail
  }

  package var isPassed: Bool { outcome == SandboxRun.Outcome.passed.name }
}
