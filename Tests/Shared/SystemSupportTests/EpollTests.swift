import Glibc
import SystemSupport
import Testing

struct EpollTests {
  @Test func aSignalFromAnotherThreadEndsTheWait() throws {
    let epoll = try Epoll()
    let event = try EventDescriptor()
    try epoll.add(event.descriptor, .read, token: 7)
    let thread = try OwnedThread(name: "signaller") { event.signal() }
    var seen: [UInt64] = []
    try epoll.wait(until: .after(.seconds(30))) { token, events in
      seen.append(token)
      #expect(events.contains(.read))
    }
    thread.join()
    #expect(seen == [7])
    #expect(event.drain())
    #expect(!event.drain())
    #expect(try epoll.wait(milliseconds: 0) { _, _ in } == 0)
  }

  @Test func aRemovedDescriptorIsSilent() throws {
    let epoll = try Epoll()
    let event = try EventDescriptor()
    try epoll.add(event.descriptor, .read, token: 1)
    event.signal()
    try epoll.remove(event.descriptor)
    #expect(try epoll.wait(milliseconds: 0) { _, _ in } == 0)
    #expect(throws: SystemCallError.self) { try epoll.change(event.descriptor, .read, token: 1) }
  }

  @Test func deadlinesBecomeRoundedUpMilliseconds() {
    #expect(Deadline.never.pollMilliseconds == -1)
    #expect(Deadline.never.remaining == nil)
    #expect(!Deadline.never.hasPassed)
    #expect(Deadline(instant: MonotonicInstant(nanoseconds: 0)).pollMilliseconds == 0)
    // Rounded down, a wait of less than a millisecond would be none, and its loop would spin. The clock runs on between
    // two readings, so the number lies between those of the instants before and behind.
    for microseconds in [100, 900, 1_500, 60_000_500] as [Int64] {
      let start = MonotonicInstant.now
      let deadline = Deadline(instant: start + .microseconds(microseconds))
      let found = Int64(deadline.pollMilliseconds)
      let passed = (MonotonicInstant.now - start).inNanoseconds
      func roundedUp(_ nanoseconds: Int64) -> Int64 { max(0, (nanoseconds + 999_999) / 1_000_000) }
      #expect(found <= roundedUp(microseconds * 1000), "\(microseconds) µs")
      #expect(found >= roundedUp(microseconds * 1000 - passed), "\(microseconds) µs, of which \(passed) ns had passed")
    }
    #expect((MonotonicInstant.now + .seconds(Int64.max)).nanoseconds == .max)
  }
}

struct OwnedThreadTests {
  @Test func aThreadHasItsNameAndBlocksSignals() throws {
    let name = Mutex("")
    let blocked = Mutex(false)
    let thread = try OwnedThread(name: "a-name-that-is-too-long") {
      name.withLock { $0 = (try? readThreadName()) ?? "" }
      var mask = sigset_t()
      unsafe pthread_sigmask(SIG_BLOCK, nil, &mask)
      let isBlocked = unsafe sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGSEGV) == 0
      blocked.withLock { $0 = isBlocked }
    }
    thread.join()
    #expect(name.withLock { $0 } == "a-name-that-is-")
    #expect(blocked.withLock { $0 })
  }

  @Test func aThreadHasRoomForDeepRecursion() throws {
    let depth = Mutex(0)
    let thread = try OwnedThread(name: "deep", stackBytes: 64 << 20) { depth.withLock { $0 = descend(100_000) } }
    thread.join()
    #expect(depth.withLock { $0 } == 100_000)
  }
}

private func readThreadName() throws -> String {
  let file = try FileDescriptor.open("/proc/thread-self/comm")
  let bytes = try file.bytes(at: 0, count: 64)
  return String(decoding: bytes.dropLast(), as: UTF8.self)
}

@inline(never) private func descend(_ levels: Int) -> Int {
  if levels == 0 { return 0 }
  return unsafe withUnsafeTemporaryAllocation(byteCount: 128, alignment: 8) { buffer in
    unsafe buffer[0] = 1
    return unsafe descend(levels - 1) + Int(buffer[0])
  }
}
