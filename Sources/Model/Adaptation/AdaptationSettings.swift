package import Search
package import StrictJSON

package struct AdaptationSettings: Sendable, Equatable {
  package var seed: UInt64
  package var objective: Objective
  /// All over the same experts.
  package var configurations: [SearchConfiguration]
  /// Bounds on all searches together, looked at after each round of generations.
  package var promptBudget: Int?
  package var secondsBudget: Double?
  /// What the scores depend on besides these settings (digests of model, experts and shots); a journal of another
  /// identity is not used.
  package var identity: String

  package init(
    seed: UInt64, objective: Objective = .accuracy, configurations: [SearchConfiguration], promptBudget: Int? = nil,
    secondsBudget: Double? = nil, identity: String = ""
  ) {
    precondition(!configurations.isEmpty, "an adaptation needs a configuration")
    self.seed = seed
    self.objective = objective
    self.configurations = configurations
    self.promptBudget = promptBudget
    self.secondsBudget = secondsBudget
    self.identity = identity
  }

  /// Whether any search scores candidates by the thousand, so that it pays to have each expert's matrices ready.
  package var comparesPopulations: Bool { configurations.contains { $0.method.isOnGrid } }

  /// Of the journal's entries. An older journal is not used: its search begins anew.
  static let journalVersion: Int64 = 6

  var fingerprint: String {
    let searches = configurations.map(\.fingerprint).joined(separator: ";")
    return "\(seed)|\(objective.rawValue)|\(searches)|\(promptBudget ?? -1)|\(secondsBudget ?? -1)|\(identity)"
  }
}

/// Why an adaptation has no outcome.
package enum AdaptationError: Error, Equatable, CustomStringConvertible {
  case cancelled
  case scorer(String)
  /// The journal says another thing than its own scores lead to; the run must begin anew without it.
  case journalMismatch(entry: Int)

  package var description: String {
    switch self {
    case .cancelled: "the adaptation was cancelled"
    case .scorer(let problem): problem
    case .journalMismatch(let entry):
      "cannot resume: entry \(entry) of the journal does not follow from those before it; start the adaptation anew"
    }
  }

  init(_ error: ScorerError) {
    switch error {
    case .cancelled: self = .cancelled
    case .failed(let problem): self = .scorer(problem)
    }
  }
}

/// What an adaptation says while it runs.
package enum AdaptationEvent: Sendable {
  /// To be kept; all entries in order let an interrupted run go on to the same end.
  case journal(JSONValue)
  case progress(fraction: Double, phase: Phase, detail: String, best: MemberScore?)

  package enum Phase: String, Sendable { case baselines, search, choosing }
}
