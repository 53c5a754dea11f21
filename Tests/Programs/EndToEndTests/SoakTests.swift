import Glibc
import RPCClient
import StrictJSON
import struct Synchronization.Atomic
import SystemSupport
import TestSupport
import Testing

/// Everything at once and for long: files, promotions, searches, clients that come and go, ends of every kind. What the
/// daemon and its worker have of memory and descriptors does not grow, and all is as it was answered.
@Suite(.serialized) struct SoakTests {
  @Test func whatItHoldsStaysFlatAndWhatWasAnsweredStays() throws {
    let length: Duration = longSweeps && realModel == nil ? .seconds(600) : .seconds(20)
    try withBank(configuration: stillBank) { daemon, client in
      try daemon.drop(rows(1), "tasks", "letters.jsonl")
      try client.call("system.sync")
      let load = RandomLoad(daemon, seed: 31, distinct: 8)
      let kills = Kills(load)
      #expect(try load.ledger.faults(client) == [])

      let readers = try (0..<3).map { _ in try Reader(daemon.socketPath) }
      var rounds = 0
      func restart(for time: Duration) throws {
        let deadline = Deadline.after(time)
        repeat {
          rounds += 1
          try kills.run(rounds)
          try #require(load.faults == [], "restart \(rounds) of seed 31\n\(daemon.log)")
        } while !deadline.hasPassed
      }
      let courses: (daemon: Course, worker: Course)
      do {
        defer { for reader in readers { reader.stop() } }
        try restart(for: length / 10)
        courses = try watch(load, for: length * 8 / 10)
        try restart(for: length / 10)
      }
      try #require(load.faults == [], "seed 31\n\(daemon.log)")
      let end = try daemon.client()
      #expect(try load.ledger.faults(end) == [])
      #expect(try daemon.stop() == .code(0), "\(daemon.log)")
      let (said, exit) = try daemon.fsck()
      #expect(exit == .code(0), "fsck: \(said)")

      let read = readers.reduce(0) { $0 + $1.answered }
      print("soak: \(length.components.seconds) s; \(kills.summary); \(read) answers to \(readers.count) readers")
      for (name, course) in [("t2d", courses.daemon), ("t2-worker", courses.worker)] {
        print("soak, \(name) while it ran: \(course)")
        try #require(course.count >= 30, "\(name) was looked at too seldom: \(course)")
        let (_, before, after) = course.thirds
        #expect(after.resident <= before.resident + before.resident / 32 + 1 << 20, "\(name) grows: \(course)")
        #expect(after.descriptors <= before.descriptors, "\(name) leaks: \(course)")
      }
      #expect(readers.allSatisfy { $0.answered > 100 })
      #expect(load.answered > 4 * length.components.seconds && load.ledger.versions(of: "e1").count > 1)
    }
  }

  /// One life of the daemon and of its worker under load.
  private func watch(_ load: RandomLoad, for time: Duration) throws -> (daemon: Course, worker: Course) {
    let client = try load.daemon.client()
    let daemon = load.daemon.process.processID
    func worker() throws -> Int32? {
      try client.call("system.status")["worker"]?["pid"]?.integerValue.map { Int32($0) }
    }
    try eventually("t2d has a worker", within: .seconds(60)) { try worker() != nil }
    let first = try #require(try worker())
    var courses = (daemon: Course(), worker: Course())
    let deadline = Deadline.after(time)
    var next = Deadline.after(.zero)
    while !deadline.hasPassed {
      try #require(try load.step(client), "t2d is gone\n\(load.daemon.log)")
      guard next.hasPassed else { continue }
      try courses.daemon.add(daemon)
      try courses.worker.add(first)
      next = .after(.milliseconds(100))
    }
    #expect(try worker() == first, "the worker has ended\n\(load.daemon.log)")
    return courses
  }

  /// What one process has in the course of time.
  private struct Course: CustomStringConvertible {
    private var looks: [(resident: Int, descriptors: Int)] = []

    var count: Int { looks.count }

    mutating func add(_ process: Int32) throws {
      let memory = try #require(ProcessMemory.of(process), "process \(process) is gone")
      looks.append((memory.resident, Leftovers.descriptors(of: process).values.reduce(0, +)))
    }

    typealias Third = (resident: Int, descriptors: Int)

    /// The most that was resident, and the fewest descriptors: clients come and go, a leak stays. The first one is the
    /// time in which it warms up.
    var thirds: (Third, Third, Third) {
      func third(_ number: Int) -> Third {
        let part = looks[looks.count * number / 3..<looks.count * (number + 1) / 3]
        return (part.map(\.resident).max() ?? 0, part.map(\.descriptors).min() ?? 0)
      }
      return (third(0), third(1), third(2))
    }

    var description: String {
      let (a, b, c) = thirds
      return
        "at most \(a.resident >> 10), \(b.resident >> 10), \(c.resident >> 10) KiB resident in its thirds, and at least "
        + "\(a.descriptors), \(b.descriptors), \(c.descriptors) descriptors, looked at \(looks.count) times"
    }
  }
}

/// Connects, reads what there is, and leaves, again and again.
private final class Reader: Sendable {
  private final class State: Sendable {
    let isStopped = Atomic<Bool>(false)
    let answered = Atomic<Int>(0)
  }

  private let state = State()
  private let thread: OwnedThread

  var answered: Int { state.answered.load(ordering: .relaxed) }

  init(_ path: String) throws {
    thread = try OwnedThread(name: "reader") { [state] in
      while !state.isStopped.load(ordering: .relaxed) {
        // There is no daemon for a moment, or it goes while it is asked.
        if (try? Self.read(path, state)) == nil { _ = poll(nil, 0, 20) }
      }
    }
  }

  private static func read(_ path: String, _ state: State) throws {
    let client = try RPCClient(socketPath: path)
    try client.call("events.subscribe")
    for round in 0..<30 {
      let methods = ["mixture.list", "expert.list", "job.list", "system.status"]
      try client.call(methods[round % methods.count])
      state.answered.add(1, ordering: .relaxed)
      _ = poll(nil, 0, 5)  // Its pace.
    }
  }

  func stop() {
    state.isStopped.store(true, ordering: .relaxed)
    thread.join()
  }
}
