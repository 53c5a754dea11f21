package import Settings
package import SystemSupport

/// How replicas are dealt with.
package struct ReplicaPolicy: Sendable {
  /// Requests on the way to one replica at a time: while it computes one the next lies ready there.
  package var requestsInFlight = 2
  /// How often one unit is tried before the whole is given up.
  package var tries = 4
  /// How long a replica is left alone after a failure; after each further one twice as long.
  package var firstPause: Duration = .seconds(1)
  package var longestPause: Duration = .seconds(60)
  /// How long a call waits where no replica is ready.
  package var waitForReplica: Duration = .seconds(30)
  /// Of one request: facts, a file, a mixture.
  package var shortRequest: Duration = .seconds(20)
  /// Of one request that computes.
  package var longRequest: Duration = .seconds(600)

  package init() {}
}

/// Where a replica stands, for people.
package struct ReplicaState: Sendable, Equatable {
  package enum Condition: Sendable, Equatable {
    case ready
    /// It said so itself; `progress` is from 0 to 1 where it knows.
    case starting(message: String, progress: Double?)
    /// What was sent to it failed; it is asked again later.
    case dead(since: MonotonicInstant)
  }

  package let address: EngineAddress
  package let condition: Condition
  /// Of a ready one too: what went wrong before.
  package let lastFailure: EngineFailure?
}

/// What is known of one replica, and when it may be asked again. No clock, no lock, no I/O.
struct ReplicaHealth: Sendable {
  private(set) var condition: ReplicaState.Condition = .ready
  private(set) var lastFailure: EngineFailure?
  private var failuresInRow = 0
  /// Until then it is left alone.
  private(set) var pausedUntil: MonotonicInstant?

  /// Whether it may be given work. One that is paused while ready was overloaded.
  func isUsable(at now: MonotonicInstant) -> Bool {
    condition == .ready && (pausedUntil.map { $0 <= now } ?? true)
  }

  /// Whether its facts should be asked for: it is not ready, and has been left alone for long enough.
  func isDue(at now: MonotonicInstant) -> Bool {
    condition != .ready && (pausedUntil.map { $0 <= now } ?? true)
  }

  mutating func succeeded() {
    condition = .ready
    failuresInRow = 0
    pausedUntil = nil
  }

  /// The facts came: it is ready. Whether what failed before fails again only work will show, so its pauses go on growing.
  mutating func answersAgain() {
    condition = .ready
    pausedUntil = nil
  }

  mutating func failed(_ failure: EngineFailure, at now: MonotonicInstant, _ policy: ReplicaPolicy) {
    switch failure.cause.meaning {
    case .ofTheCaller: return
    case .final:
      lastFailure = failure
    case .starting(let message, let progress):
      // It says how it is; nothing is gained by asking less and less often.
      lastFailure = failure
      condition = .starting(message: message, progress: progress)
      pausedUntil = now + policy.firstPause
    case .busy:
      lastFailure = failure
      pause(from: now, policy)
    case .lost:
      lastFailure = failure
      // Several requests on the way when it died are one failure.
      if case .dead = condition, let pausedUntil, pausedUntil > now { return }
      if case .dead = condition {} else { condition = .dead(since: now) }
      pause(from: now, policy)
    }
  }

  private mutating func pause(from now: MonotonicInstant, _ policy: ReplicaPolicy) {
    failuresInRow += 1
    var pause = policy.firstPause
    for _ in 1..<failuresInRow where pause < policy.longestPause { pause *= 2 }
    pausedUntil = now + min(pause, policy.longestPause)
  }
}

extension EngineFailure.Cause {
  /// What a failure says of its replica.
  enum Meaning: Equatable {
    case starting(message: String, progress: Double?)
    /// It lives, and could not do this one now.
    case busy
    /// Nothing can be had from it for now.
    case lost
    /// Another would fail in the same way, or somebody must look at it: whoever asked is told.
    case final
    /// It says nothing of the replica.
    case ofTheCaller
  }

  var meaning: Meaning {
    switch self {
    case .noSocket, .notASocket, .nobodyListens, .noPermission, .system, .deadline, .closed, .notHTTP, .tooLarge,
      .notTheProtocol, .otherProtocol, .otherFacts:
      .lost
    case .refused(let refusal):
      switch refusal.code {
      case .notReady: .starting(message: refusal.message, progress: refusal.progress)
      case .overloaded, .internal: .busy
      case .dead: .lost
      case .badRequest, .tooLong, .noGradients, .noImages, .noLogits: .ofTheCaller
      case .unknownMixture, .notFound, .outOfMemory, .diskFull, .notArmed, .wrongMixture: .final
      // Of a later version: what class of error it is the status says.
      case nil: refusal.status >= 500 ? .busy : .final
      }
    case .wrongMixture: .final
    case .stopped, .unable, .unsendable: .ofTheCaller
    }
  }

  /// Whether the same may be asked of another replica.
  var isRepeatable: Bool { meaning != .final && meaning != .ofTheCaller }
}
