import RPCProtocol
import SystemSupport

/// The clients that wait for the ends of jobs, each until its own deadline. A pure struct but for the clock.
struct JobWaiters {
  private struct Waiter {
    var reply: Reply<JobWait.Result>
    var deadline: Deadline

    /// Its time is over, or nobody reads what it would be told.
    var isExpired: Bool { deadline.hasPassed || !reply.isConnected }
  }

  private var waiters: [Int64: [Waiter]] = [:]

  /// The earliest deadline.
  var nextDeadline: MonotonicInstant? { waiters.values.joined().map(\.deadline.instant).min() }

  mutating func add(_ reply: Reply<JobWait.Result>, for job: Int64, until deadline: Deadline) {
    waiters[job, default: []].append(Waiter(reply: reply, deadline: deadline))
  }

  /// Takes out those who wait for this job.
  mutating func take(_ job: Int64) -> [Reply<JobWait.Result>] { waiters.removeValue(forKey: job)?.map(\.reply) ?? [] }

  mutating func takeAll() -> [Reply<JobWait.Result>] {
    defer { waiters = [:] }
    return waiters.values.joined().map(\.reply)
  }

  /// Takes out those who will not see the end of their job.
  mutating func takeExpired() -> [(job: Int64, replies: [Reply<JobWait.Result>])] {
    var expired: [(job: Int64, replies: [Reply<JobWait.Result>])] = []
    for (job, waiting) in waiters {
      let gone = waiting.filter(\.isExpired)
      guard !gone.isEmpty else { continue }
      let left = waiting.filter { !$0.isExpired }
      waiters[job] = left.isEmpty ? nil : left
      expired.append((job, gone.map(\.reply)))
    }
    return expired
  }
}
