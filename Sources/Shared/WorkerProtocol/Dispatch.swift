package import Settings
package import StrictJSON

/// How a request is sorted to the weights that answer it, with everything that was resolved when it was admitted: a
/// label that is chosen has the version that its expert had then.
package struct DispatchSpec: Sendable, Equatable {
  package struct Label: Sendable, Equatable {
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

  package var json: JSONValue {
    object([
      ("labels", list(labels) { object([("label", .string($0.label)), ("weights", $0.weights.json)]) }),
      ("template", .string(template)), ("template_source", .string(templateSource)),
      ("reading", .string(reading.rawValue)), ("weights", weights.json),
      ("max_tokens", .integer(Int64(maximumTokens))),
    ])
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "dispatch")
    self.init(
      labels: try fields.each("labels") { (value, path) throws(WorkerProtocolError) in
        let label = try Fields(value, path)
        return Label(label: try label.string("label"), weights: try label.weights())
      }, template: try fields.string("template"), templateSource: try fields.string("template_source"),
      reading: try fields.name("reading"), weights: try fields.weights(),
      maximumTokens: try fields.integer("max_tokens"))
  }
}

/// What pass one came to.
package struct Decision: Sendable, Equatable {
  package struct Probability: Sendable, Equatable {
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

  package var json: JSONValue {
    object([
      ("label", .string(label)), ("read", .string(reading.rawValue)),
      (
        "probabilities",
        list(probabilities) { object([("label", .string($0.label)), ("probability", .number($0.probability))]) }
      ), ("text", text.map { .string($0) }), ("note", note.map { .string($0) }),
    ])
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "decision")
    self.init(
      label: try fields.string("label"), reading: try fields.name("read"),
      probabilities: try fields.each("probabilities") { (value, path) throws(WorkerProtocolError) in
        let one = try Fields(value, path)
        return Probability(label: try one.string("label"), probability: try one.double("probability"))
      }, text: try fields.optionalString("text"), note: try fields.optionalString("note"))
  }
}

/// Pass one alone.
package struct DispatchCall: Sendable, Equatable {
  package var model: ModelReference
  package var prompt: String
  package var dispatch: DispatchSpec

  package init(model: ModelReference, prompt: String, dispatch: DispatchSpec) {
    self.model = model
    self.prompt = prompt
    self.dispatch = dispatch
  }

  var json: JSONValue {
    object([("model", model.json), ("prompt", .string(prompt)), ("dispatch", dispatch.json)])
  }

  init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "params")
    self.init(
      model: try ModelReference(decoding: try fields.value("model")), prompt: try fields.string("prompt"),
      dispatch: try DispatchSpec(decoding: try fields.value("dispatch")))
  }
}

package struct DispatchAnswer: Sendable, Equatable {
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

  package var json: JSONValue {
    object([
      ("decision", decision.json), ("prompt_tokens", .integer(Int64(promptTokens))),
      ("queue_seconds", .number(queueSeconds)), ("seconds", .number(seconds)),
    ])
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "result")
    self.init(
      decision: try Decision(decoding: try fields.value("decision")), promptTokens: try fields.integer("prompt_tokens"),
      queueSeconds: try fields.double("queue_seconds"), seconds: try fields.double("seconds"))
  }
}

/// Sorts labelled prompts by one or several dispatches, side by side.
package struct DispatchEvaluateSpec: Sendable, Equatable {
  package struct Row: Sendable, Equatable {
    package var line: Int
    package var prompt: String
    package var label: String
    package init(line: Int, prompt: String, label: String) {
      self.line = line
      self.prompt = prompt
      self.label = label
    }
  }

  package struct Strategy: Sendable, Equatable {
    /// `prompt` or `classifier`.
    package var name: String
    package var dispatch: DispatchSpec
    package init(name: String, dispatch: DispatchSpec) {
      self.name = name
      self.dispatch = dispatch
    }
  }

  package var model: ModelReference
  package var rows: [Row]
  package var strategies: [Strategy]

  package init(model: ModelReference, rows: [Row], strategies: [Strategy]) {
    self.model = model
    self.rows = rows
    self.strategies = strategies
  }

  var json: JSONValue {
    object([
      ("model", model.json),
      (
        "rows",
        list(rows) {
          object([("line", .integer(Int64($0.line))), ("prompt", .string($0.prompt)), ("label", .string($0.label))])
        }
      ),
      ("strategies", list(strategies) { object([("name", .string($0.name)), ("dispatch", $0.dispatch.json)]) }),
    ])
  }

  init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "spec")
    self.init(
      model: try ModelReference(decoding: try fields.value("model")),
      rows: try fields.each("rows") { (value, path) throws(WorkerProtocolError) in
        let row = try Fields(value, path)
        return Row(
          line: try row.integer("line"), prompt: try row.string("prompt"), label: try row.string("label"))
      },
      strategies: try fields.each("strategies") { (value, path) throws(WorkerProtocolError) in
        let one = try Fields(value, path)
        return Strategy(
          name: try one.string("name"), dispatch: try DispatchSpec(decoding: try one.value("dispatch")))
      })
  }
}
