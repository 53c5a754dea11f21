/// Turns what a model gave into scored items, by a task's rules. Holds compiled expressions: one a thread.
package struct TaskScorer {
  private let task: TaskDefinition
  private let extractor: AnswerExtractor?  // the task's own rules
  private let numberExtractor: AnswerExtractor
  private let textExtractor: AnswerExtractor

  /// Throws where the task's rows can only be scored by running code, which is not enabled.
  package init(_ task: TaskDefinition) throws(EvaluationError) {
    guard task.scoring != .code else { throw .codeExecutionDisabled(task: task.name) }
    self.task = task
    extractor = try task.settings.extract.map { rules throws(EvaluationError) in try AnswerExtractor(rules) }
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
  package func score(_ row: TaskRow, output: String) throws(EvaluationError) -> EvaluationResult.Item {
    guard case .generate(_, let gold) = row.content else {
      let expected = if case .choice(_, let choices, _) = row.content { choices.count } else { 0 }
      throw .scoreCount(item: row.id, expected: expected, found: 0)
    }
    let extractor =
      switch gold {
      case .number: extractor ?? numberExtractor
      case .text: extractor ?? textExtractor
      }
    return EvaluationResult.Item(
      id: row.id, line: row.line, outcome: .generation(output: output, extractor.score(output, gold: gold), gold: gold))
  }
}
