package import Records
package import Settings

package enum DispatchRun: RPCMethodDeclaration {
  package static let name = "dispatch.run"
  package static let access = RPCMethod.Access.read
  package static let verb = "dispatch"
  package static let since = 2
  package static let summary = "Decides which expert a prompt belongs to, and answers nothing."

  package struct Parameters: Record {
    @Setting("the user's words") package var prompt: String
    @Setting("prompt: the base decides; classifier: a dispatcher expert does; default prompt")
    package var strategy: FirstPass?
    @Included package var decision = DecisionParameters()
    @Setting(modelSummary) package var model: String?
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package struct Tokens: Codable, Sendable, Equatable { package var prompt: Int }
    package struct Seconds: Codable, Sendable, Equatable {
      package var queue: Double
      package var dispatch: Double
    }

    package var decision: ShownDecision
    package var strategy: FirstPass
    /// `router@2`, under which it was decided; nil: the base.
    @NullWhenAbsent package var dispatcher: String?
    package var template: String
    package var model: String
    package var tokens: Tokens
    package var seconds: Seconds

    package init(
      decision: ShownDecision, strategy: FirstPass, dispatcher: String?, template: String, model: String,
      promptTokens: Int, queueSeconds: Double, seconds: Double
    ) {
      self.decision = decision
      self.strategy = strategy
      self.dispatcher = dispatcher
      self.template = template
      self.model = model
      tokens = Tokens(prompt: promptTokens)
      self.seconds = Seconds(queue: queueSeconds, dispatch: seconds)
    }
  }
}

/// What the first pass came to, with the experts that labels stand for.
package struct ShownDecision: Codable, Sendable, Equatable {
  package struct Probability: Codable, Sendable, Equatable {
    package var label: String
    package var probability: Double
    @NullWhenAbsent package var expert: String?

    package init(label: String, probability: Double, expert: String?) {
      self.label = label
      self.probability = probability
      self.expert = expert
    }
  }

  package var label: String
  /// `science@2`; nil for the base.
  @NullWhenAbsent package var expert: String?
  package var read: DecisionReading
  /// What the model wrote, where the decision was generated.
  package var text: String?
  /// Why it is `other`, where that is not what the model said.
  package var note: String?
  /// For every label, `other` last.
  package var probabilities: [Probability]

  package init(
    label: String, expert: String?, read: DecisionReading, text: String?, note: String?, probabilities: [Probability]
  ) {
    self.label = label
    self.expert = expert
    self.read = read
    self.text = text
    self.note = note
    self.probabilities = probabilities
  }
}
