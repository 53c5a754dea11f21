import Settings
package import Sandbox

/// Turns what a model gave into scored items, by a task's rules. Holds compiled expressions: one a thread.
package struct TaskScorer {
  private let task: TaskDefinition
  private let extractor: AnswerExtractor?  // the task's own rules
  private let formExtractor: AnswerExtractor?  // those of the rows' shape
  private let numberExtractor: AnswerExtractor
  private let textExtractor: AnswerExtractor
  private let sandbox: Sandbox?
  /// What holds the programs of a task whose rows are code; none for other tasks.
  package let protections: [SandboxProtection]

  /// Throws where the task's rows can only be scored by running code, and that is not enabled (`sandbox` is nil) or not
  /// possible.
  package init(_ task: TaskDefinition, sandbox: Sandbox?) throws(EvaluationError) {
    self.sandbox = task.scoring == .code ? sandbox : nil
    if task.scoring == .code {
      guard let sandbox else { throw .codeExecutionDisabled(task: task.name) }
      do { protections = try sandbox.probe() } catch { throw .code(error) }
    } else {
      protections = []
    }
    self.task = task
    extractor = try task.settings.extract.map { rules throws(EvaluationError) in try AnswerExtractor(rules.items) }
    formExtractor = try task.shots[0].form?.extract.map { rules throws(EvaluationError) in try AnswerExtractor(rules) }
    numberExtractor = try AnswerExtractor([.strict, .flexible])
    textExtractor = try AnswerExtractor([.whole])
  }

  /// - Parameter sums: the summed log-probabilities of the row's continuations.
  package func score(_ row: TaskRow, sums: [Double]) throws(EvaluationError) -> EvaluationResult.Item {
    guard case .choice(_, let choices, let gold) = row.content, sums.count == choices.count else {
      let expected = if case .choice(_, let choices, _) = row.content { choices.count } else { 0 }
      throw .scoreCount(item: row.id, expected: expected, found: sums.count)
    }
    return EvaluationResult.Item(
      id: row.id, line: row.line,
      outcome: .choice(ChoiceScore(sums: sums, choices: choices, gold: gold), choices: choices))
  }

  /// - Parameter output: the generated text, without the tokens that ended it.
  /// - Parameter shouldStop: asked while a row's program runs, which may take seconds; then `SandboxError.stopped` is thrown.
  package func score(
    _ row: TaskRow, output: String, shouldStop: () -> Bool = { false }
  ) throws(EvaluationError) -> EvaluationResult.Item {
    if case .code(let problem) = row.content, let sandbox {
      let program = CodeProgram(problem, completion: output)
      do {
        return score(row, output: output, program.verdict(try sandbox.run(program.text, shouldStop: shouldStop)))
      } catch {
        throw .code(error)
      }
    }
    guard case .generate(_, let gold) = row.content else {
      let expected = if case .choice(_, let choices, _) = row.content { choices.count } else { 0 }
      throw .scoreCount(item: row.id, expected: expected, found: 0)
    }
    let standard =
      switch gold {
      case .number: numberExtractor
      case .text, .oneOf: textExtractor
      }
    let extractor = extractor ?? formExtractor ?? standard
    return EvaluationResult.Item(
      id: row.id, line: row.line, outcome: .generation(output: output, extractor.score(output, gold: gold), gold: gold))
  }

  /// A completion whose program has been run.
  package func score(_ row: TaskRow, output: String, _ verdict: CodeVerdict) -> EvaluationResult.Item {
    EvaluationResult.Item(id: row.id, line: row.line, outcome: .code(output: output, verdict))
  }
}
