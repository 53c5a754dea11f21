import Daemon
import StrictJSON
import SystemSupport
import Testing
import WorkerProtocol

/// Searches among more experts than are stored with each.
@Suite struct LargeSearchTests {
  private static let count = 300

  private func dropMany(_ daemon: Harness) throws {
    try daemon.addModel()
    for number in 0..<Self.count { try daemon.dropExpert("e\(number)", value: Float(number) / 1024) }
    try daemon.sync()
  }

  @Test func aSearchAmongManyExpertsIsStoredWithoutThemAndHasThemWhenItStarts() throws {
    try withDaemon { (daemon: Harness) throws in
      try dropMany(daemon)
      try daemon.dropTask("arc")
      let mixture = try daemon.settledMixture("arc")
      #expect(mixture["alpha"]?.objectValue?.members.count == Self.count)
      let started = try #require(daemon.worker.starts.last?.spec as? AdaptSpec)
      #expect(started.experts.count == Self.count && started.expertsLeftOut == nil)
      // What a user sees of it does not grow with the bank, and says so.
      let spec = try daemon.call("job.show", ["job": try daemon.newestSearch("arc")])["spec"]
      #expect(spec?["experts"] == [] && spec?["experts_left_out"] == .integer(Int64(Self.count)))
      // The names of few are there as ever.
      let job = try daemon.call("task.adapt", ["task": "arc", "experts": ["e1", "e2"]])["job"] ?? .null
      try daemon.wait(job)
      let few = try daemon.call("job.show", ["job": job])["spec"]
      #expect(few?["experts"]?.arrayValue?.compactMap { $0["name"]?.stringValue } == ["e1", "e2"])
      #expect(few?["experts_left_out"] == nil)
    }
  }

  @Test func aSearchWhoseExpertsChangedWhileItWaitedDoesNotStart() throws {
    let worker = FakeWorker([.wait])
    var configuration = Configuration.forTests
    // So that no other search takes its place before it could start.
    (configuration.debounce.quiet, configuration.debounce.limit) = (.seconds(600), .seconds(600))
    try withDaemon(worker, configuration: configuration) { (daemon: Harness) throws in
      try dropMany(daemon)
      try daemon.dropTask("first")
      try daemon.sync()
      try daemon.dropTask("second")
      try daemon.sync()
      let (first, second) = (try daemon.newestSearch("first"), try daemon.newestSearch("second"))
      #expect(try daemon.call("job.show", ["job": second])["state"] == "queued")
      try daemon.call("expert.retire", ["expert": "e7"])
      worker.release()
      #expect(try daemon.wait(first)["state"] == "done")
      let ended = try daemon.wait(second)
      #expect(ended["state"] == "cancelled")
      #expect(ended["error"]?["message"] == "its inputs are not those of the task any more")
      let mixture = try daemon.settledMixture("second")
      let names = mixture["alpha"]?.objectValue?.members.map(\.key) ?? []
      #expect(names.count == Self.count - 1 && !names.contains("e7"))
      let counts = worker.starts.compactMap { ($0.spec as? AdaptSpec)?.experts.count }
      #expect(counts.first == Self.count && counts.dropFirst().allSatisfy { $0 == Self.count - 1 })
    }
  }
}
