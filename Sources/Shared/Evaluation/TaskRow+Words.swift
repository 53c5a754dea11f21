extension TaskRow {
  /// What the row asks, for people.
  package var question: String {
    switch content {
    case .choice(let question, _, _), .generate(.question(let question), _), .generate(.prompt(let question), _):
      question
    case .generate(.messages(let messages), _): messages.map(\.content).joined(separator: "\n\n")
    case .code(let problem): problem.prompt
    }
  }

  /// The right answer, for people.
  package var goldAnswer: String {
    switch content {
    case .choice(_, let choices, let gold): choices[gold]
    case .generate(_, let gold): gold.text
    case .code(let problem): problem.solution ?? ""
    }
  }
}

extension EvaluationResult.Item {
  /// What was answered: the choice that the metric prefers, or what was extracted; where no rule matched, all that was
  /// said.
  package func answer(_ metric: Metric) -> String {
    switch outcome {
    case .choice(let score, let choices): choices[metric == .accNorm ? score.predictedNorm : score.predicted]
    case .generation(let output, let score, _): score.extracted ?? output
    case .code(let output, _): output
    }
  }
}
