import Records

/// One of the processes that compute a model elsewhere.
package struct EngineReplica: Codable, Sendable, Equatable {
  package enum State: String, Choice {
    case ready
    /// It says so itself.
    case starting
    /// What was asked of it failed; it is asked again after a time.
    case dead
  }

  package var at: String
  package var state: State
  /// How far it is, or what failed last.
  package var detail: String?

  package init(at: String, state: State, detail: String? = nil) {
    self.at = at
    self.state = state
    self.detail = detail
  }
}
