import Glibc
import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// An error of the system, or the end of the daemon, at every call of a promotion and of a search from its submission to its
/// mixture: the answer given was true, what was answered stays, and what failed with nobody to ask is made up for.
@Suite(.serialized) struct ChangeFaultTests {
  private static let errors = ["EIO", "ENOSPC", "EMFILE", "ENOMEM"]

  enum Change: String, CaseIterable { case promotion, search, ingest }

  @Test(arguments: [Change.promotion, .search])
  func anErrorAtAnyCallIsToldTruly(change: Change) throws {
    try withChanges { changes in
      let found = try changes.points(of: change)
      var injected = 0
      let chosen = FaultyThread.Point.chosen(of: found, Self.errors, sample: change == .promotion ? 10 : 6)
      for (index, point) in chosen.enumerated() {
        if try changes.catalogue.fails(at: point, during: { try changes.ask(change, point) }) { injected += 1 }
        try changes.settle(change, "\(point)")
        if index % 10 == 9 || index == chosen.count - 1 { try changes.killAndCompare("\(point)", checking: true) }
      }
      print("\(change): \(injected) errors at \(found.count) calls")
      #expect(injected > chosen.count / 2)
    }
  }

  @Test(arguments: Change.allCases)
  func aKillAtAnyCallLosesNothing(change: Change) throws {
    try withChanges { changes in
      let found = try changes.points(of: change)
      var killed = 0
      let chosen = FaultyThread.Point.chosen(of: found, sample: 4)
      for (index, point) in chosen.enumerated() {
        if try changes.isKilled(at: point, of: change) { killed += 1 }
        try changes.killAndCompare("\(point)", checking: index % 2 == 0)
        try changes.settle(change, "\(point)")
      }
      print("\(change): \(killed) kills at \(found.count) calls")
      #expect(killed > chosen.count / 2)
    }
  }

  /// SQLite itself takes a read that the disk refuses for damage, which is none.
  @Test func aReadThatTheDiskRefusesIsNotTakenForDamage() throws {
    try withChanges { changes in
      var injected = 0
      for number in 1...4 {
        let write = FaultyThread.Point(call: "pwrite64", number: 1, error: "EIO")
        let read = FaultyThread.Point(call: "pread64", number: number, error: "EIO")
        let isInjected = try changes.catalogue.fails(
          at: write, read,
          during: {
            // The first one fails, and what it had in memory is read again for the second.
            for _ in 0..<2 { try changes.ask(.promotion, read) }
          })
        if isInjected { injected += 1 }
        try changes.settle(.promotion, "\(read)")
      }
      try changes.killAndCompare("the reads", checking: true)
      #expect(injected > 0)
    }
  }

  private func withChanges(_ body: (Changes) throws -> Void) throws {
    try withBank(configuration: stillBank) { daemon, client in
      try body(try Changes(daemon, client))
    }
  }
}

/// A bank with an expert of two versions and a task, and what was answered about them.
private final class Changes {
  let daemon: RunningDaemon
  private(set) var client: RPCClient
  private(set) var catalogue: FaultyThread
  var ledger = Ledger()
  /// Each is another promotion or another search.
  private var number = 0
  /// Contents of the expert "many".
  private var dropped = 0
  /// Of the last question: a job that was accepted, or that none was.
  private var job: Int64?
  private var isRefused = false
  /// All jobs before it.
  private var jobs: JSONValue?

  init(_ daemon: RunningDaemon, _ client: RPCClient) throws {
    self.daemon = daemon
    self.client = client
    for (name, number) in [("calm", 1), ("calm", 2), ("bold", 3)] {
      try daemon.drop(expertBytes(name, number), "experts", name + ".safetensors")
      try client.call("system.sync")
    }
    for version in ["calm@1", "bold@1"] { try client.call("expert.promote", ["expert": .string(version)]) }
    try daemon.drop(rows(1), "tasks", "letters.jsonl")
    try client.call("system.sync")
    catalogue = try FaultyThread(named: "catalogue", of: daemon)
    try waitUntilIdle()
    #expect(try ledger.faults(client) == [])
    jobs = try client.call("job.list")
  }

  /// A search that the sync has begun.
  private func waitUntilIdle() throws {
    try eventually("no job is on its way", within: .seconds(60)) {
      try client.call("job.list")["jobs"]?.arrayValue?.allSatisfy {
        ["done", "failed", "cancelled"].contains($0["state"]?.stringValue ?? "")
      } ?? false
    }
  }

  func points(of change: ChangeFaultTests.Change) throws -> [FaultyThread.Point] {
    let found = try catalogue.points(of: FaultyThread.fileCalls) { try ask(change, nil) }
    try settle(change, "no fault")
    #expect(found.count >= (change == .promotion ? 5 : 20), "\(found)")
    return found
  }

  /// Asks for the next one. What is answered while the fault lasts must be seen at once.
  func ask(_ change: ChangeFaultTests.Change, _ point: FaultyThread.Point?) throws {
    number += 1
    switch change {
    case .promotion: try move("\(point.map { "\($0)" } ?? "no fault")")
    case .search: try search("\(point.map { "\($0)" } ?? "no fault")")
    case .ingest: try ingest("\(point.map { "\($0)" } ?? "no fault")")
    }
  }

  /// Asks for the next one, and has the daemon killed at a call. What was traced need not come again, since what is stored
  /// together differs: of a sample an earlier one of the same calls does as well, and a whole sweep has that anyway.
  func isKilled(at point: FaultyThread.Point, of change: ChangeFaultTests.Change) throws -> Bool {
    var point = point
    while true {
      try catalogue.kills(at: point) { try ask(change, point) }
      if daemon.process.waitForExit(until: .after(.milliseconds(100))) == .signal(SIGKILL) { return true }
      guard !longSweeps, point.number > 1 else { return false }
      try settle(change, "\(point), which did not come")
      point.number /= 2
    }
  }

  // MARK: - A promotion

  private func activeVersion() throws -> Int64 {
    // From memory, which a disk that cannot be read does not hinder.
    let list = try client.call("expert.list")["experts"]?.arrayValue
    return list?.first { $0["name"] == "calm" }?["active"]?.integerValue ?? 0
  }

  private func move(_ point: String) throws {
    let before = try activeVersion()
    let target: Int64 = before == 0 ? 1 : number % 4 == 0 ? 0 : 3 - before
    let asked =
      target == 0
      ? try Asked(client, "expert.retire", ["expert": "calm"])
      : try Asked(client, "expert.promote", ["expert": .string("calm@\(target)")])
    switch asked {
    case .done:
      ledger.stands("calm", for: target)
      // It may end right after its answer.
      if let seen = try? activeVersion() { #expect(seen == target, "after \(point)") }
    case .refused("not_stored"): #expect(try activeVersion() == before, "after \(point)")
    case .refused("unconfirmed"): ledger.mayStand("calm", for: target)
    case .refused(let kind): Issue.record("\(point): a promotion is refused as \(kind)")
    case .lost: ledger.mayStand("calm", for: target)
    }
  }

  // MARK: - A search

  private func search(_ point: String) throws {
    job = nil
    let asked = try Asked(
      client, "task.adapt",
      ["task": "letters", "iterations": 1, "population": 4, "shots": 2, "seed": JSONValue(number)])
    switch asked {
    case .done(let answer):
      job = answer["job"]?.integerValue
      // Its end comes while the fault lasts, unless that is what keeps it from coming.
      try? eventually("the search ends, or cannot be stored", within: .seconds(10)) {
        let state = try client.call("job.show", ["job": job.map { .integer($0) } ?? .null])
        ledger.isMade(state)
        return try state["state"] == "done" || isWarned()
      }
    case .refused("not_stored"): isRefused = true
    case .refused("unconfirmed"), .lost: break
    case .refused(let kind): Issue.record("\(point): a search is refused as \(kind)")
    }
  }

  // MARK: - A dropped file

  private func ingest(_ point: String) throws {
    try daemon.drop(expertBytes("many", number), "experts", "many.safetensors")
    dropped += 1
    guard case .done = try Asked(client, "system.sync", [:]) else { return }
    try sawDropped()
  }

  /// What a sync has said is taken is there, with a number that it keeps.
  private func sawDropped() throws {
    guard case .done(let shown) = try Asked(client, "expert.show", ["expert": .string("many@\(dropped)")]) else {
      return
    }
    ledger.has("many", Int64(dropped), shown["digest"]?.stringValue ?? "")
  }

  private func isWarned() throws -> Bool {
    try client.call("system.status")["warnings"]?.arrayValue?.contains { $0["code"] == "store" } ?? false
  }

  // MARK: - After the fault

  /// The fault is gone: all is as it was answered, and what could not be stored is, by itself.
  func settle(_ change: ChangeFaultTests.Change, _ point: String) throws {
    try eventually("the warning ends after \(point)", within: .seconds(20)) { try !isWarned() }
    if isRefused { #expect(try client.call("job.list") == jobs, "after \(point)") }
    isRefused = false
    if let job {
      try eventually("job \(job) is done after \(point)", within: .seconds(30)) {
        try client.call("job.show", ["job": .integer(job)])["state"] == "done"
      }
      #expect(try client.call("mixture.get", ["task": "letters"])["search"]?["job"] == .integer(job), "after \(point)")
      let published = try client.call("mixture.log", ["task": "letters"])["revisions"]?.arrayValue ?? []
      #expect(published.count { $0["job"] == .integer(job) } == 1, "after \(point)")
    }
    try waitUntilIdle()
    #expect(try ledger.faults(client) == [], "after \(point)")
    job = nil
    jobs = try client.call("job.list")
    guard change == .ingest else { return }
    try eventually("all \(dropped) files are taken after \(point)", within: .seconds(20)) {
      ledger.versions(of: "many").count == dropped ? true : try ledger.faults(client) != []
    }
    #expect(ledger.versions(of: "many").count == dropped, "after \(point)")
  }

  /// What is answered is there after a kill -9 too.
  func killAndCompare(_ point: String, checking: Bool) throws {
    daemon.kill()
    if checking {
      let (said, exit) = try daemon.fsck()
      #expect(exit == .code(0), "fsck after \(point): \(said)")
    }
    try daemon.restart()
    client = try daemon.client()
    catalogue = try FaultyThread(named: "catalogue", of: daemon)
    #expect(try ledger.faults(client) == [], "restarted after \(point)")
  }
}
