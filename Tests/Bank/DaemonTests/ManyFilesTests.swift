import Daemon
import Glibc
import RPCClient
import StrictJSON
import SystemSupport
import Testing

/// Thousands of dropped files: each gets its state, and nobody else waits for them.
@Suite struct ManyFilesTests {
  /// Puts files there while no daemon runs, without waiting for the disk; the next start finds them all at once.
  private func drop(_ daemon: Harness, _ files: [(name: String, bytes: [UInt8])]) throws {
    for (name, bytes) in files {
      let path = "\(daemon.prefix)/var/spool/t2d/experts/\(name).safetensors"
      let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_EXCL, mode: 0o644)
      try file.write(all: bytes)
    }
  }

  private func states(_ daemon: Harness) throws -> [String: Int] {
    let counts = try daemon.call("system.status")["files"]?.objectValue?.members ?? []
    return Dictionary(uniqueKeysWithValues: counts.map { ($0.key, $0.value.intValue ?? 0) }).filter { $0.value > 0 }
  }

  @Test func aBatchTakesTheGoodFilesAndNamesTheBadOnes() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      daemon.stop()
      var files: [(name: String, bytes: [UInt8])] = []
      for number in 0..<120 {
        let value = 1 + Float(number) / 256
        switch number % 4 {
        case 0: files.append(("bad\(number)", expertBytes("bad\(number)", value: .nan)))
        // Named otherwise than their files; two are one expert with the same content.
        case 1:
          let own = max(number, 5)
          files.append(("same\(number)", expertBytes("shared\(own)", value: 1 + Float(own) / 256)))
        default: files.append(("good\(number)", expertBytes("good\(number)", value: value)))
        }
      }
      try drop(daemon, files)
      try daemon.restart()
      try daemon.sync()
      #expect(try states(daemon) == ["accepted": 89, "duplicate": 1, "rejected": 30])
      let rows = try daemon.call("expert.list", ["all": true])["experts"]?.arrayValue ?? []
      let shared = rows.filter { $0["name"]?.stringValue?.hasPrefix("shared") == true }
      #expect(shared.count == 29 && shared.allSatisfy { $0["version"] == 1 && $0["state"] == "active" })
      #expect(rows.count == 60 + 29)
      // Each version has its own bytes.
      for number in [2, 3, 118] {
        try daemon.call("expert.export", ["expert": .string("good\(number)"), "pass_fd": true])
        let file = try #require(daemon.client.takeDescriptor())
        #expect(try file.bytes(at: 0, count: 1 << 20) == files[number].bytes)
      }
    }
  }

  @Test func requestsAreAnsweredWhileThousandsOfFilesAreTaken() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      daemon.stop()
      try drop(daemon, (0..<2000).map { ("empty\($0)", []) })
      try daemon.restart()
      var answered = 0
      var longest = Duration.zero
      let deadline = Deadline.after(.seconds(60))
      while try states(daemon)["incomplete"] ?? 0 < 2000, !deadline.hasPassed {
        let asked = MonotonicInstant.now
        try daemon.call("job.list")
        longest = max(longest, .now - asked)
        answered += 1
      }
      #expect(!deadline.hasPassed)
      #expect(answered > 3, "in between the files")
      #expect(longest < .seconds(1))
    }
  }

  /// `cp burst/*.safetensors` beside a daemon that runs: each file is an event, and the last costs what the first did.
  @Test func aBurstOfThousandsIsTakenAtOnePace() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      let count = environmentVariable("T2D_TEST_ALL") == nil ? 1000 : 3000
      let start = MonotonicInstant.now
      try drop(daemon, (0..<count).map { ("burst\($0)", expertBytes("burst\($0)", value: 0.5 + Float($0) / 4096)) })
      let written = MonotonicInstant.now
      var reached: [Int: MonotonicInstant] = [:]
      let deadline = Deadline.after(.seconds(120))
      while reached[count] == nil {
        try #require(!deadline.hasPassed)
        let accepted = try states(daemon)["accepted"] ?? 0
        for mark in [1, count / 5, count * 4 / 5, count] where accepted >= mark && reached[mark] == nil {
          reached[mark] = .now
        }
        _ = poll(nil, 0, 5)
      }
      try daemon.sync()
      #expect(try states(daemon) == ["accepted": count])
      let marks = try [1, count / 5, count * 4 / 5, count].map { try #require(reached[$0]) }
      let (first, last) = (marks[1] - marks[0], marks[3] - marks[2])
      print(
        "a burst of \(count) experts: written in \(written - start), taken in \(marks[3] - start); the first fifth in "
          + "\(first), the last in \(last)")
      // A few times as slow is the machine's. What looked at all the files before it would be nine times as slow.
      #expect(last < first * 6 + .seconds(1))
    }
  }

  @Test func theDaemonEndsAtOnceBesideABacklogAndTheNextOneTakesIt() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      daemon.stop()
      try drop(daemon, (0..<3000).map { ("empty\($0)", []) } + [("good", expertBytes("good", value: 1.5))])
      try daemon.restart()
      try daemon.call("system.hello")
      let asked = MonotonicInstant.now
      daemon.stop()
      #expect(.now - asked < .seconds(2))
      try daemon.restart()
      try daemon.sync()
      #expect(try states(daemon) == ["accepted": 1, "incomplete": 3000])
    }
  }

  @Test func manyExpertsThatWaitForAModelAreThereWhenItIsSynced() throws {
    try withDaemon { (daemon: Harness) throws in
      daemon.stop()
      try drop(daemon, (0..<300).map { ("early\($0)", expertBytes("early\($0)", value: 1 + Float($0) / 512)) })
      try daemon.restart()
      try daemon.sync()
      #expect(try states(daemon) == ["waiting_for_model": 300])
      try daemon.addModel()
      try daemon.sync()
      #expect(try states(daemon) == ["accepted": 300])
      #expect(try daemon.call("expert.list")["experts"]?.arrayValue?.count == 300)
    }
  }

  /// One new expert makes every mixture stale, and every search due.
  @Test func aNewExpertBesideManyTasksIsSeenByAllOfThem() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      for number in 0..<70 { try daemon.dropTask("task\(number)", question: "What do \(number) bees make?") }
      try daemon.sync()
      for number in 0..<70 { try daemon.wait(try daemon.newestSearch("task\(number)")) }
      let before = try daemon.call("system.status")["generation"]?.integerValue ?? 0
      daemon.worker.script([.wait])
      try daemon.dropExpert("social", value: 1.5)
      try daemon.sync()
      let events = try daemon.call("events.subscribe", ["after": .integer(before), "limit": 1000])
      let stale = events["events"]?.arrayValue?.filter { $0["event"] == "mixture.stale" } ?? []
      #expect(Set(stale.compactMap { $0["subject"]?.stringValue }).count == 70)
      let jobs = try daemon.call("job.list", ["limit": 1000])["jobs"]?.arrayValue ?? []
      #expect(jobs.filter { $0["state"] == "queued" || $0["state"] == "running" }.count == 70)
      daemon.worker.release()
    }
  }
}
