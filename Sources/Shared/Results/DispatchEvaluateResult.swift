package import Records
package import Settings

/// How labelled prompts were sorted, by strategy.
package struct DispatchEvaluateResult: Codable, Sendable, Equatable {
  package struct Item: Codable, Sendable, Equatable {
    package var line: Int
    /// The true one.
    package var label: String
    package var given: String
    package var probability: Double
    /// What the model wrote, where the decision was generated.
    package var text: String?
    package var note: String?

    package init(
      line: Int, label: String, given: String, probability: Double, text: String?, note: String?
    ) {
      self.line = line
      self.label = label
      self.given = given
      self.probability = probability
      self.text = text
      self.note = note
    }
  }

  package struct Strategy: Codable, Sendable, Equatable {
    package var count: Int
    package var correct: Int
    package var accuracy: Double
    package var ci95: Interval
    /// Of what was given to the base, whatever its label.
    package var otherShare: Double
    package var labels: [String]
    /// [true label][given label]
    package var matrix: [[Int]]
    package var read: DecisionReading
    package var template: String
    package var items: [Item]

    package init(
      count: Int, correct: Int, accuracy: Double, ci95: Interval, otherShare: Double, labels: [String],
      matrix: [[Int]], read: DecisionReading, template: String, items: [Item]
    ) {
      self.count = count
      self.correct = correct
      self.accuracy = accuracy
      self.ci95 = ci95
      self.otherShare = otherShare
      self.labels = labels
      self.matrix = matrix
      self.read = read
      self.template = template
      self.items = items
    }

    private enum CodingKeys: String, CodingKey {
      case count = "n"
      case correct, accuracy, ci95, otherShare, labels, matrix, read, template, items
    }
  }

  package var count: Int
  package var strategies: ByName<Strategy>
  package var kernel: String
  package var seconds: Double

  package init(count: Int, strategies: ByName<Strategy>, kernel: String, seconds: Double) {
    self.count = count
    self.strategies = strategies
    self.kernel = kernel
    self.seconds = seconds
  }

  private enum CodingKeys: String, CodingKey {
    case count = "n"
    case strategies, kernel, seconds
  }
}
