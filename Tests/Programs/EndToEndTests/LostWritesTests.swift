import Glibc
import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// The power goes while the daemon works, and the disk loses what was not synchronised: all that was answered is there.
@Suite(.serialized) struct LostWritesTests {
  @Test func whatWasAnsweredIsThereWhateverTheDiskLoses() throws {
    try withTemporaryDirectory { prefix in
      let daemon = try RunningDaemon(prefix: prefix, configuration: stillBank)
      defer { if daemon.process.pollExit() == nil { daemon.kill() } }
      try addTinyModel(daemon, try daemon.client())
      #expect(try daemon.stop() == .code(0))

      let state = prefix + "/var/lib/t2d"
      var disk = try LossyDisk(of: state)
      let (recording, answers) = try record(daemon)
      // What was dropped is gone with the power too, so that nothing is taken again.
      for directory in ["experts", "tasks"] {
        for entry in try FileSystem.entries("\(prefix)/var/spool/t2d/\(directory)") {
          try FileSystem.removeTree("\(prefix)/var/spool/t2d/\(directory)/\(entry.text ?? "")")
        }
      }
      try compare(daemon, &disk, recording, answers)
    }
  }

  /// What has been answered with the answer of a number, and what may be true while the next one is awaited.
  private struct Answer {
    var id: Int64
    var before: Ledger
    var after: Ledger
  }

  private func record(_ daemon: RunningDaemon) throws -> (DiskRecording, [Answer]) {
    let output = daemon.prefix + "/strace"
    try daemon.start(under: DiskRecording.strace(output))
    try daemon.waitUntilItAnswers()
    let client = try daemon.client()
    var (ledger, answers, id) = (Ledger(), [Answer](), Int64(0))
    func call(
      _ method: String, _ params: JSONObject = [:], while may: (inout Ledger) -> Void = { _ in },
      then: (inout Ledger, JSONValue) -> Void = { _, _ in }
    ) throws -> JSONValue {
      id += 1
      var before = ledger
      may(&before)
      let answer = try client.call(method, params)
      then(&ledger, answer)
      answers.append(Answer(id: id, before: before, after: ledger))
      return answer
    }
    // Numbers that no other client comes to.
    for _ in 1...500 { _ = try call("system.hello") }
    answers = []
    for (name, number) in [("calm", 1), ("bold", 2), ("calm", 3)] {
      try daemon.drop(expertBytes(name, number), "experts", name + ".safetensors")
      _ = try call("system.sync")
      let version: Int64 = number == 3 ? 2 : 1
      _ = try call(
        "expert.show", ["expert": .string("\(name)@\(version)")],
        then: { $0.has(name, version, $1["digest"]?.stringValue ?? "") })
      // The sync has said so already.
      answers[answers.count - 2].after = ledger
      answers[answers.count - 1].before = ledger
    }
    for (name, version) in [("calm", Int64(1)), ("bold", 1), ("calm", 2)] {
      _ = try call(
        "expert.promote", ["expert": .string("\(name)@\(version)")], while: { $0.mayStand(name, for: version) }
      ) { ledger, _ in ledger.stands(name, for: version) }
    }
    try daemon.drop(rows(1), "tasks", "letters.jsonl")
    _ = try call("system.sync")
    for seed in 1...2 {
      let job = try call(
        "task.adapt",
        ["task": "letters", "iterations": 1, "population": 4, "shots": 2, "seed": JSONValue(seed)])["job"]
      _ = try call("job.show", ["job": job ?? .null], then: { $0.isMade($1) })
      let ended = try call("job.wait", ["job": job ?? .null, "timeout_ms": 60_000], then: { $0.isMade($1) })
      #expect(ended["state"] == "done")
      _ = try call("mixture.get", ["task": "letters"], then: { $0.isServed($1) })
    }
    _ = try call("expert.retire", ["expert": "bold"], while: { $0.mayStand("bold", for: 0) }) { ledger, _ in
      ledger.stands("bold", for: 0)
    }
    #expect(try daemon.stop() == .code(0), "\(daemon.log)")
    try eventually("strace has written everything", within: .seconds(20)) {
      try FileSystem.readAll(output, maximumBytes: 1 << 28).suffix(64).contains(0x2b)
    }
    return (try DiskRecording(try FileSystem.readAll(output, maximumBytes: 1 << 28)), answers)
  }

  private func compare(
    _ daemon: RunningDaemon, _ disk: inout LossyDisk, _ recording: DiskRecording, _ answers: [Answer]
  ) throws {
    let sent = recording.events.indices.filter { index in
      if case .answer(let id) = recording.events[index] { answers.contains { $0.id == id } } else { false }
    }
    #expect(sent.count == answers.count, "each answer was seen to be sent")
    let isLong = longSweeps && realModel == nil
    let losses = isLong ? LossyDisk.Loss.allCases : [.some, .everything]
    let step = max(1, (recording.events.count - 1) / (isLong ? 250 : 5))
    var (random, descriptors) = (SplitMix(seed: 7), [String: LossyDisk.Node]())
    var ledger = answers.first?.before ?? Ledger()
    var (points, known) = (0, 0)
    for (index, event) in recording.events.enumerated() {
      disk.perform(event, &descriptors)
      if case .answer(let id) = event, let at = answers.firstIndex(where: { $0.id == id }) {
        ledger = at + 1 < answers.count ? answers[at + 1].before : answers[at].after
        known = at + 1
      } else if case .open(_, false, false) = event {
        continue
      }
      guard index % step == step - 1 || index == recording.events.count - 1 else { continue }
      for loss in losses {
        try disk.write(losing: loss, &random)
        points += 1
        let point = "the power goes after event \(index) of \(recording.events.count), \(event.short), \(loss) lost"
        if points % 2 == 0 {
          let (said, exit) = try daemon.fsck()
          #expect(exit == .code(0), "fsck when \(point): \(said)")
        }
        try daemon.start()
        try daemon.waitUntilItAnswers()
        var found = ledger
        #expect(try found.faults(try daemon.client()) == [], "\(point), \(known) answers")
        daemon.kill()
      }
    }
    print("lost writes: \(points) losses of power in \(recording.events.count) events, \(answers.count) answers")
    #expect(points >= 8 && known == answers.count)
  }
}

extension DiskRecording.Event {
  fileprivate var short: String { String("\(self)".prefix(120)) }
}
