import SystemSupport
import Testing

@Suite struct MonitorTests {
  @Test func whoWaitsSeesWhatAnotherThreadChanged() throws {
    let monitor = Monitor(0)
    let other = try OwnedThread(name: "changes") { for _ in 0..<1000 { monitor.withLock { $0 += 1 } } }
    let seen = monitor.wait(until: .after(.seconds(30))) { $0 == 1000 ? $0 : nil }
    other.join()
    #expect(seen == 1000)
    #expect(monitor.read { $0 } == 1000)
  }

  @Test func aChangeThatAWaiterMakesWakesTheNext() throws {
    let monitor = Monitor(0)
    let threads = try (1...4).map { turn in
      try OwnedThread(name: "turn \(turn)") {
        _ = monitor.wait(until: .after(.seconds(30))) { value -> Void? in
          guard value == turn else { return nil }
          value += 1
        }
      }
    }
    monitor.withLock { $0 = 1 }
    #expect(monitor.wait(until: .after(.seconds(30))) { $0 == 5 ? true : nil } == true)
    for thread in threads { thread.join() }
  }

  @Test func aWaitEndsAtItsDeadline() {
    let monitor = Monitor(0)
    let begin = MonotonicInstant.now
    #expect(monitor.wait(until: .after(.milliseconds(30))) { $0 == 1 ? true : nil } == nil)
    #expect(MonotonicInstant.now - begin >= .milliseconds(30))
    #expect(monitor.wait(until: Deadline(instant: begin)) { $0 == 1 ? true : nil } == nil)
    #expect(monitor.wait(until: Deadline(instant: begin)) { $0 == 0 ? true : nil } == true)
  }
}
