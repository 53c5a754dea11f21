import Glibc
import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// The end of the daemon at every call of its start: the next start finds all that was there, and nothing is damaged.
@Suite(.serialized) struct StartFaultTests {
  @Test func aKillAtAnyCallOfTheFirstStartHindersNoLaterOne() throws {
    try withTemporaryDirectory { prefix in
      let daemon = try RunningDaemon(prefix: prefix, configuration: stillBank)
      defer { if daemon.process.pollExit() == nil { daemon.kill() } }
      try sweep(daemon, "first start", prepare: { try FileSystem.removeTree(prefix + "/var") }) { client in
        try client.call("expert.list")["experts"] == [] ? [] : ["the empty bank has experts"]
      }
    }
  }

  @Test func aKillAtAnyCallOfALaterStartLosesNothing() throws {
    try withTemporaryDirectory { prefix in
      let daemon = try RunningDaemon(prefix: prefix, configuration: stillBank)
      defer { if daemon.process.pollExit() == nil { daemon.kill() } }
      let client = try daemon.client()
      try addTinyModel(daemon, client)
      for number in 1...3 {
        try daemon.drop(expertBytes("calm", number), "experts", "calm.safetensors")
        try client.call("system.sync")
      }
      try client.call("expert.promote", ["expert": "calm@2"])
      try daemon.drop(rows(1), "tasks", "letters.jsonl")
      try client.call("system.sync")
      var ledger = Ledger()
      #expect(try ledger.faults(client) == [])
      #expect(ledger.versions(of: "calm") == [1, 2, 3])
      try sweep(daemon, "later start", prepare: {}) { client in try ledger.faults(client) }
    }
  }

  /// `faults` looks at the daemon that has started again.
  private func sweep(
    _ daemon: RunningDaemon, _ name: String, prepare: () throws -> Void, faults: (RPCClient) throws -> [String]
  ) throws {
    daemon.kill()
    try prepare()
    let found = try points(of: daemon)
    #expect(found.count > 20, "\(found)")
    daemon.kill()
    var killed = 0
    for (index, point) in FaultyThread.Point.chosen(of: found, sample: 4).enumerated() {
      try prepare()
      if try isKilled(daemon, at: point) { killed += 1 }
      daemon.kill()
      // A first start that was killed early has made no store to look at.
      if index % 2 == 0, try FileSystem.status(daemon.prefix + "/var/lib/t2d") != nil {
        let (said, exit) = try daemon.fsck()
        #expect(exit == .code(0), "fsck after \(point) of the \(name): \(said)")
      }
      try daemon.start()
      try daemon.waitUntilItAnswers()
      #expect(try faults(try daemon.client()) == [], "after \(point) of the \(name)")
      daemon.kill()
    }
    print("\(name): \(killed) kills at \(found.count) calls")
    #expect(killed > 0)
    try daemon.restart()
    #expect(try daemon.stop() == .code(0), "\(daemon.log)")
    let left = try Leftovers.files(ofPrefix: daemon.prefix)
    #expect(left == [])
  }

  private func strace(_ output: String, _ options: [String]) -> [String] {
    ["strace", "-D", "-f", "-q", "-y", "-s", "0", "-o", output] + options
  }

  /// The calls of a start, until it answers. Of one that is made very often each eighth.
  private func points(of daemon: RunningDaemon) throws -> [FaultyThread.Point] {
    let output = daemon.prefix + "/strace"
    try daemon.start(under: strace(output, ["-e", "trace=" + FaultyThread.fileCalls.joined(separator: ",")]))
    try daemon.waitUntilItAnswers()
    let threads = Set(try FileSystem.entries("/proc/\(daemon.process.processID)/task").compactMap(\.text))
    let text = String(decoding: try FileSystem.readAll(output, maximumBytes: 1 << 26), as: UTF8.self)
    var counts: [String: Int] = [:]
    var most: [String: Int] = [:]
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
      guard words.count == 2, threads.contains(String(words[0])) else { continue }
      let call = String(words[1].drop { $0 == " " }.prefix { $0 != "(" })
      guard FaultyThread.fileCalls.contains(call) else { continue }
      counts["\(words[0]) \(call)", default: 0] += 1
      most[call] = max(most[call] ?? 0, counts["\(words[0]) \(call)"] ?? 0)
    }
    return most.sorted { $0.key < $1.key }.flatMap { call, count in
      (1...count).filter { count < 64 || $0 % 8 == 0 }.map { FaultyThread.Point(call: call, number: $0) }
    }
  }

  /// False where it comes to answer all the same.
  private func isKilled(_ daemon: RunningDaemon, at point: FaultyThread.Point) throws -> Bool {
    try daemon.start(
      under: strace(daemon.prefix + "/strace", ["-e", "trace=\(point.call)", "-e", point.rule]))
    var exit: ChildProcess.Exit?
    try eventually("t2d is killed at \(point), or answers", within: .seconds(60)) {
      exit = daemon.process.pollExit()
      if exit != nil { return true }
      guard let client = try? RPCClient(socketPath: daemon.socketPath, timeout: .seconds(10)) else { return false }
      return (try? client.call("system.hello")) != nil
    }
    if let exit { #expect(exit == .signal(SIGKILL), "\(point): \(daemon.log)") }
    return exit != nil
  }
}
