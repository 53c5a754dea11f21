package import Settings
import Records
package import Results
package import StrictJSON

/// The scores of one scorer (the base, an expert, a mixture) on the rows of a task, item by item.
package struct EvaluationResult: Sendable {
  package struct Item: Sendable {
    package enum Outcome: Sendable {
      case choice(ChoiceScore, choices: [String])
      case generation(output: String, GenerationScore, gold: GoldAnswer)
      case code(output: String, CodeVerdict)
    }

    package let id: String
    package let line: Int
    package let outcome: Outcome

    /// Whether the item counts as right by this metric.
    package func isCorrect(_ metric: Metric) -> Bool {
      switch (outcome, metric) {
      case (.choice(let score, _), .accNorm): score.isCorrectNorm
      case (.choice(let score, _), _): score.isCorrect
      case (.generation(_, let score, _), _): score.isCorrect
      case (.code(_, let verdict), _): verdict.isPassed
      }
    }
  }

  package let task: String
  package let scoring: Scoring
  package let metric: Metric
  package let template: String
  package let items: [Item]

  package init(task: TaskDefinition, items: [Item]) {
    self.task = task.name
    scoring = task.scoring
    metric = task.metric
    template = task.templateName
    self.items = items
  }

  package var count: Int { items.count }

  /// The share of right items by a metric; 0 where there are none.
  package func share(_ metric: Metric) -> Double {
    items.isEmpty ? 0 : Double(correctCount(metric)) / Double(items.count)
  }

  package func correctCount(_ metric: Metric) -> Int { items.count { $0.isCorrect(metric) } }

  /// Right or wrong by the task's metric, in the order of the rows: for paired tests.
  package var correct: [Bool] { items.map { $0.isCorrect(metric) } }

  /// Of the task's metric.
  package var interval: WilsonInterval { WilsonInterval(successes: correctCount(metric), of: items.count) }

  package var scores: MetricScores {
    var scores = MetricScores()
    switch scoring {
    case .choice: (scores.acc, scores.accNorm) = (share(.acc), share(.accNorm))
    case .generate: (scores.exactMatch, scores.exactMatchByRule) = (share(.exactMatch), byRule)
    case .code: (scores.passAt1, scores.outcomes) = (share(.passAt1), outcomes)
    }
    return scores
  }

  /// How many programs ended in each way that occurred, in the order of their first.
  private var outcomes: ByName<Int> {
    let ends = items.compactMap { if case .code(_, let verdict) = $0.outcome { verdict.outcome } else { nil } }
    return ByName(inOrder(ends).map { end in (end, ends.count { $0 == end }) })
  }

  /// Each extraction rule by itself, over all items.
  private var byRule: ByName<Double> {
    let found = items.flatMap { item -> [(name: String, isCorrect: Bool)] in
      if case .generation(_, let score, _) = item.outcome { score.byRule } else { [] }
    }
    return ByName(
      inOrder(found.map(\.name)).map { name in
        (name, Double(found.count { $0.name == name && $0.isCorrect }) / Double(max(1, items.count)))
      })
  }

  /// Each name once, in the order of its first.
  private func inOrder(_ names: [String]) -> [String] {
    names.reduce(into: []) { known, name in if !known.contains(name) { known.append(name) } }
  }
}

extension EvaluationResult.Item {
  /// The item with what was extracted and the rule that matched, so that a score can be checked by eye.
  package var json: JSONObject {
    switch outcome {
    case .choice(let score, let choices):
      return [
        "id": JSONValue(id), "line": JSONValue(line), "gold": JSONValue(choices[score.gold]),
        "predicted": JSONValue(choices[score.predicted]), "predicted_norm": JSONValue(choices[score.predictedNorm]),
        "acc": JSONValue(score.isCorrect), "acc_norm": JSONValue(score.isCorrectNorm),
        "logprobs": .array(score.sums.map { $0.isFinite ? .number($0) : .null }),
      ]
    case .generation(let output, let score, let gold):
      var byRule = JSONObject()
      for (name, isCorrect) in score.byRule { byRule[name] = JSONValue(isCorrect) }
      return [
        "id": JSONValue(id), "line": JSONValue(line), "gold": JSONValue(gold.text),
        "extracted": JSONValue(score.extracted),
        "rule": JSONValue(score.rule), "exact_match": JSONValue(score.isCorrect), "by_rule": .object(byRule),
        "output": JSONValue(output),
      ]
    case .code(let output, let verdict):
      return [
        "id": JSONValue(id), "line": JSONValue(line), "pass": JSONValue(verdict.isPassed),
        "outcome": JSONValue(verdict.outcome), "detail": JSONValue(verdict.detail), "output": JSONValue(output),
      ]
    }
  }
}
