package import Settings
package import SystemSupport

/// Why a call on the replicas of a model has no result.
package enum ReplicasError: Error, Sendable, Equatable, CustomStringConvertible {
  /// One that another replica would not mend.
  case failed(EngineFailure)
  /// The same was tried as often as the policy allows.
  case gaveUp([EngineFailure])
  case noReplica(attempt: String, [ReplicaState])
  /// Two addresses that are no replicas of one model.
  case replicasDiffer(EngineAddress, EngineAddress, String)
  case stopped
  case timedOut(after: Duration)
  case system(SystemCallError)

  package var description: String {
    switch self {
    case .failed(let failure): failure.description
    case .gaveUp(let failures):
      (failures.last.map { "cannot \($0.attempt): tried \(failures.count) times" } ?? "tried in vain")
        + failures.map { "; \($0.address.text): \($0.cause.description)" }.joined()
    case .noReplica(let attempt, let states):
      "cannot \(attempt): no engine of the model is ready" + states.map { "; \($0.description)" }.joined()
    case .replicasDiffer(let one, let other, let difference):
      "'\(one.text)' and '\(other.text)' cannot be used as one model: of the first, \(difference); replicas have one model, "
        + "one engine and one type: start them alike, or take one address out"
    case .stopped: "it was stopped"
    case .timedOut(let duration): "the engines had no answer within \(EngineFailure.Cause.seconds(duration))"
    case .system(let error): error.description
    }
  }
}

extension ReplicaState: CustomStringConvertible {
  package var description: String {
    let text = "\(address.text) "
    return switch condition {
    case .ready: text + "is ready"
    case .starting(let message, let progress):
      text + "is starting: \(escaped(message, limit: 200))"
        + (progress.map { " (\(Int(($0 * 100).rounded(.down))) %)" } ?? "")
    case .dead:
      text + "is dead: " + (lastFailure.map { "cannot \($0.attempt): \($0.cause.description)" } ?? "no answer")
    }
  }
}
