import Records
package import Settings

/// How a request is sorted to the weights that answer it, with everything that was resolved when it was admitted: a
/// label that is chosen has the version that its expert had then.
package struct DispatchSpec: WorkerMessage {
  package struct Label: WorkerMessage {
    package var label: String
    package var weights: Weights
    package init(label: String, weights: Weights) {
      self.label = label
      self.weights = weights
    }
  }

  /// What the base stands for among the labels.
  package static let other = "other"

  /// Of the active experts; the base, `other`, is not among them.
  package var labels: [Label]
  /// The text of the template, and its name for messages.
  package var template: String
  package var templateSource: String
  package var reading: DecisionReading
  /// Under which the model decides: the base, or a dispatcher expert.
  package var weights: Weights
  /// Of a generated decision.
  package var maximumTokens: Int

  private enum CodingKeys: String, CodingKey {
    case labels, template, templateSource, reading, weights
    case maximumTokens = "max_tokens"
  }

  package init(
    labels: [Label], template: String, templateSource: String, reading: DecisionReading, weights: Weights = .base,
    maximumTokens: Int = 128
  ) {
    self.labels = labels
    self.template = template
    self.templateSource = templateSource
    self.reading = reading
    self.weights = weights
    self.maximumTokens = maximumTokens
  }

  /// The labels' names, `other` last.
  package var names: [String] { labels.map(\.label) + [Self.other] }
}

/// What the first pass came to.
package struct Decision: WorkerMessage {
  package struct Probability: WorkerMessage {
    package var label: String
    package var probability: Double
    package init(label: String, probability: Double) {
      self.label = label
      self.probability = probability
    }
  }

  package var label: String
  package var reading: DecisionReading
  /// For every label, in their order, `other` last.
  package var probabilities: [Probability]
  /// What the model wrote, where the decision was generated.
  package var text: String?
  /// Why it is `other`, where that is not what the model said.
  package var note: String?

  private enum CodingKeys: String, CodingKey {
    case label
    case reading = "read"
    case probabilities, text, note
  }

  package init(
    label: String, reading: DecisionReading, probabilities: [Probability], text: String? = nil,
    note: String? = nil
  ) {
    self.label = label
    self.reading = reading
    self.probabilities = probabilities
    self.text = text
    self.note = note
  }
}

/// The first pass alone.
package struct DispatchCall: WorkerMessage {
  package var model: ModelReference
  package var prompt: String
  package var dispatch: DispatchSpec

  package init(model: ModelReference, prompt: String, dispatch: DispatchSpec) {
    self.model = model
    self.prompt = prompt
    self.dispatch = dispatch
  }
}

package struct DispatchAnswer: WorkerResult {
  package var decision: Decision
  package var promptTokens: Int
  package var queueSeconds: Double
  package var seconds: Double

  package init(decision: Decision, promptTokens: Int, queueSeconds: Double, seconds: Double) {
    self.decision = decision
    self.promptTokens = promptTokens
    self.queueSeconds = queueSeconds
    self.seconds = seconds
  }
}
