package import SystemSupport

/// How long a call may take, and who may end it earlier. `shouldStop` is asked on the thread that waits, at least every 50
/// ms.
package struct Patience {
  package let deadline: Deadline
  package let shouldStop: () -> Bool
  private let begin: MonotonicInstant

  private init(from begin: MonotonicInstant, until deadline: Deadline, shouldStop: @escaping () -> Bool) {
    (self.begin, self.deadline, self.shouldStop) = (begin, deadline, shouldStop)
  }

  package init(until deadline: Deadline, shouldStop: @escaping () -> Bool = { false }) {
    self.init(from: .now, until: deadline, shouldStop: shouldStop)
  }

  package init(_ duration: Duration, shouldStop: @escaping () -> Bool = { false }) {
    let begin = MonotonicInstant.now
    self.init(from: begin, until: Deadline(instant: begin + duration), shouldStop: shouldStop)
  }

  static let betweenQuestions: Duration = .milliseconds(50)

  /// The same with an end that is no later than this.
  func atMost(_ duration: Duration) -> Patience {
    let now = MonotonicInstant.now
    return Patience(
      from: now, until: Deadline(instant: min(deadline.instant, now + duration)), shouldStop: shouldStop)
  }

  /// Throws where it is over.
  /// - Parameter received: bytes of the answer until now, for the message.
  func check(received: Int) throws(EngineFailure.Cause) {
    if shouldStop() { throw .stopped }
    if deadline.hasPassed { throw .deadline(after: max(.zero, deadline.instant - begin), received: received) }
  }

  /// Why it is over; nil while it is not.
  var end: ReplicasError? {
    if shouldStop() { return .stopped }
    return deadline.hasPassed ? .timedOut(after: max(.zero, deadline.instant - begin)) : nil
  }

  /// Until the next question to `shouldStop`, or the end where that is earlier.
  var nextQuestion: Deadline {
    Deadline(instant: min(deadline.instant, MonotonicInstant.now + Self.betweenQuestions))
  }
}
