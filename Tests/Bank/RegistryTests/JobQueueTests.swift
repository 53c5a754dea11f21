import Settings
import SystemSupport
import Testing

@testable import Registry

@Suite struct JobQueueTests {
  private func ticket(
    _ id: Int64, key: String? = nil, target: String? = nil, inputs: String? = nil, priority: Int = 0,
    state: JobState = .queued, attempts: Int = 0
  ) -> JobQueue.Ticket {
    JobQueue.Ticket(
      id: id, key: key ?? "key\(id)", target: target ?? "target\(id)", inputs: inputs, priority: priority,
      state: state, attempts: attempts)
  }

  @Test func nothingStartsWithoutAWorkerAndOneAtATimeWithIt() {
    var queue = JobQueue()
    #expect(queue.submit(ticket(1)) == .accepted([]))
    #expect(queue.submit(ticket(2)) == .accepted([]))
    #expect(
      queue.workerArrived() == [.store(id: 1, state: .running, attempts: 1, reason: nil), .start(id: 1)])
    #expect(
      queue.ended(1, .done) == [
        .store(id: 1, state: .done, attempts: 1, reason: nil), .store(id: 2, state: .running, attempts: 1, reason: nil),
        .start(id: 2),
      ])
    #expect(queue.runningID == 2)
  }

  @Test func higherPriorityGoesFirstAndEqualOnesInOrder() {
    var queue = JobQueue()
    for ticket in [ticket(1), ticket(2), ticket(3, priority: 1)] { _ = queue.submit(ticket) }
    #expect(queue.waiting.map(\.id) == [3, 1, 2])
  }

  @Test func aRunningJobOfLowPriorityMakesRoomAndGoesOnLater() {
    var queue = JobQueue()
    _ = queue.workerArrived()
    let low = JobQueue.yieldingPriority
    _ = queue.submit(ticket(1, key: "check", priority: low))
    #expect(queue.submit(ticket(2)) == .accepted([.stop(id: 1)]))
    // It is told once, and an equal one does not drive it out; the same check is still the same.
    #expect(queue.submit(ticket(3, priority: low)) == .accepted([]))
    #expect(queue.submit(ticket(4)) == .accepted([]))
    #expect(queue.submit(ticket(5, key: "check", priority: low)) == .coalesced(1))
    #expect(
      queue.ended(1, .cancelled) == [
        .store(id: 1, state: .queued, attempts: 0, reason: "it makes room for job 2"),
        .store(id: 2, state: .running, attempts: 1, reason: nil), .start(id: 2),
      ])
    _ = queue.ended(2, .done)
    _ = queue.ended(4, .done)
    #expect(queue.runningID == 1)
    #expect(
      queue.ended(1, .done) == [
        .store(id: 1, state: .done, attempts: 1, reason: nil), .store(id: 3, state: .running, attempts: 1, reason: nil),
        .start(id: 3),
      ])
  }

  @Test func oneThatMakesRoomAndIsCancelledOrDoneOrLosesItsWorkerEndsAsThat() {
    for end in ["cancelled", "done", "lost"] {
      var queue = JobQueue()
      _ = queue.workerArrived()
      _ = queue.submit(ticket(1, priority: JobQueue.yieldingPriority))
      _ = queue.submit(ticket(2))
      switch end {
      case "cancelled":
        #expect(queue.cancel(1, reason: "a person") == [.stop(id: 1)])
        #expect(queue.ended(1, .cancelled).first == .store(id: 1, state: .cancelled, attempts: 1, reason: "a person"))
      case "done": #expect(queue.ended(1, .done).first == .store(id: 1, state: .done, attempts: 1, reason: nil))
      default:
        #expect(queue.workerLost(reason: "x") == [.store(id: 1, state: .queued, attempts: 1, reason: "x")])
        #expect(queue.workerArrived().last == .start(id: 2))
        #expect(queue.ended(2, .done).last == .start(id: 1))
        // Another worker, another life: it has nobody to make room for.
        #expect(queue.ended(1, .cancelled) == [.store(id: 1, state: .cancelled, attempts: 2, reason: nil)])
      }
    }
  }

  @Test func aSearchDoesNotMakeRoom() {
    var queue = JobQueue()
    _ = queue.workerArrived()
    _ = queue.submit(ticket(1))
    #expect(queue.submit(ticket(2, priority: 10)) == .accepted([]))
  }

  @Test func identicalSubmissionsCoalesce() {
    var queue = JobQueue()
    _ = queue.submit(ticket(1, key: "same"))
    #expect(queue.submit(ticket(2, key: "same")) == .coalesced(1))
    _ = queue.workerArrived()
    #expect(queue.submit(ticket(3, key: "same")) == .coalesced(1))
    #expect(queue.tickets.count == 1)
  }

  @Test func keysThatLookAlikeAreNotTheSame() {
    var queue = JobQueue()
    _ = queue.submit(ticket(1, key: "caf\u{e9}"))
    #expect(queue.submit(ticket(2, key: "cafe\u{301}")) == .accepted([]))
  }

  @Test func changedInputsReplaceAQueuedJobAndStopARunningOne() {
    var queue = JobQueue()
    _ = queue.workerArrived()
    _ = queue.submit(ticket(1, target: "t", inputs: "a"))
    guard case .accepted(let changes) = queue.submit(ticket(2, target: "t", inputs: "b")) else {
      Issue.record("not accepted")
      return
    }
    #expect(changes == [.stop(id: 1)])
    #expect(queue.runningID == 1)
    guard case .accepted(let second) = queue.submit(ticket(3, target: "t", inputs: "c")) else {
      Issue.record("not accepted")
      return
    }
    #expect(
      second == [
        .store(id: 2, state: .cancelled, attempts: 0, reason: "its inputs changed; job 3 takes its place")
      ])
    #expect(
      queue.ended(1, .cancelled) == [
        .store(id: 1, state: .cancelled, attempts: 1, reason: "its inputs changed; job 2 takes its place"),
        .store(id: 3, state: .running, attempts: 1, reason: nil), .start(id: 3),
      ])
  }

  @Test func otherOptionsOnTheSameInputsWaitTheirTurn() {
    var queue = JobQueue()
    _ = queue.submit(ticket(1, target: "t", inputs: "a"))
    #expect(queue.submit(ticket(2, target: "t", inputs: "a")) == .accepted([]))
    #expect(queue.waiting.map(\.id) == [1, 2])
  }

  @Test func aJobThatLosesItsWorkerIsTriedThreeTimes() {
    var queue = JobQueue()
    _ = queue.submit(ticket(1))
    for attempt in 1...2 {
      #expect(queue.workerArrived().last == .start(id: 1))
      #expect(
        queue.workerLost(reason: "killed") == [.store(id: 1, state: .queued, attempts: attempt, reason: "killed")])
    }
    #expect(queue.workerArrived().last == .start(id: 1))
    #expect(
      queue.workerLost(reason: "killed") == [
        .store(
          id: 1, state: .failed, attempts: 3,
          reason: "given up after 3 attempts, each of which lost its worker or its result; the last time: killed")
      ])
    #expect(queue.tickets.isEmpty)
  }

  @Test func cancelIsImmediateForAQueuedJobAndAskedOfARunningOne() {
    var queue = JobQueue()
    _ = queue.submit(ticket(1))
    _ = queue.submit(ticket(2))
    #expect(queue.cancel(2, reason: "no") == [.store(id: 2, state: .cancelled, attempts: 0, reason: "no")])
    _ = queue.workerArrived()
    #expect(queue.cancel(1, reason: "no") == [.stop(id: 1)])
    #expect(queue.cancel(1, reason: "again") == [])
    #expect(queue.cancel(99, reason: "never was") == [])
    #expect(queue.ended(1, .cancelled) == [.store(id: 1, state: .cancelled, attempts: 1, reason: "no")])
    #expect(queue.ended(1, .done) == [])
  }

  @Test func aCancelledJobThatLosesItsWorkerDoesNotComeBack() {
    var queue = JobQueue()
    _ = queue.submit(ticket(1))
    _ = queue.workerArrived()
    _ = queue.cancel(1, reason: "no")
    #expect(queue.workerLost(reason: "killed") == [.store(id: 1, state: .cancelled, attempts: 1, reason: "no")])
  }

  @Test func atStartRunningJobsAreQueuedAgainAndHopelessOnesFail() {
    var queue = JobQueue()
    let changes = queue.restore([
      ticket(1, state: .running, attempts: 1), ticket(2, state: .queued),
      ticket(3, state: .running, attempts: 3), ticket(4, state: .interrupted, attempts: 0),
      ticket(5, state: .done, attempts: 1),
    ])
    #expect(
      changes == [
        .store(id: 1, state: .queued, attempts: 1, reason: nil),
        .store(
          id: 3, state: .failed, attempts: 3,
          reason: "given up after 3 attempts, each of which lost its worker or its result"),
        .store(id: 4, state: .queued, attempts: 0, reason: nil),
      ])
    #expect(queue.waiting.map(\.id) == [1, 2, 4])
  }

  @Test func theDaemonsEndDoesNotCountAsAnAttempt() {
    var queue = JobQueue()
    _ = queue.submit(ticket(1))
    _ = queue.workerArrived()
    #expect(queue.shutDown() == [.store(id: 1, state: .interrupted, attempts: 0, reason: "t2d ended")])
  }

  @Test func aChangeBesideManyJobsCostsLittleMoreThanBesideFew() {
    // As the daemon's queue changes: on a copy, while what was decided before is still there.
    func seconds(beside count: Int64) -> Double {
      var queue = JobQueue()
      _ = queue.workerArrived()
      for id in 1...count { _ = queue.submit(ticket(id, inputs: "i")) }
      var best = Double.infinity
      for round in 1...10 {
        let start = MonotonicInstant.now
        for step in 0..<10 as Range<Int64> {
          let id = count + Int64(round) * 100 + step
          var copy = queue
          _ = copy.submit(ticket(id, target: "target\(count)", inputs: "j"))
          queue = copy
          copy = queue
          _ = copy.cancel(id, reason: "")
          queue = copy
        }
        best = min(best, (MonotonicInstant.now - start).inSeconds / 20)
      }
      return best
    }
    let (few, many) = (seconds(beside: 100), seconds(beside: 10_000))
    print("a change of the queue: \(Int(few * 1e9)) ns beside 100 jobs, \(Int(many * 1e9)) ns beside 10,000")
    #expect(many < few * 20, "a hundred times as many jobs")
  }
}
