import RPCProtocol
import Results
import Settings
import SystemSupport
import Testing

@testable import Registry

/// The next snapshot is made of the rows that changed, and is what all rows would make.
@Suite struct SnapshotIncrementTests {
  private static let names = ["alpha", "beta", "gamma", "delta", "\u{E9}psilon"]
  private static let tasks = ["arc", "boolq", "math"]

  @Test(arguments: [1, 2, 3, 4] as [UInt64])
  func afterRandomChangesItEqualsAFullReading(seed: UInt64) throws {
    try withCatalogue { (catalogue, _) throws in
      try catalogue.change { () throws in try catalogue.store(Sample.model()) }
      var random = Seeded(seed)
      var snapshot = try catalogue.snapshot(after: nil, configuredModel: nil, path: \.hex)
      var (experts, mixtures, removals) = (0, 0, 0)
      for _ in 0..<70 {
        // Some changes of a transaction fail alone, and some with all of it.
        _ = try? catalogue.change { () throws in
          for _ in 0...(random.next() % 4) {
            _ = try? catalogue.transaction { () throws(RegistryError) in
              try Self.change(catalogue, &random)
              if random.next() % 5 == 0 { throw .conflict("on purpose") }
            }
          }
          if random.next() % 7 == 0 { throw RegistryError.conflict("on purpose") }
        }
        snapshot = try catalogue.snapshot(after: snapshot, configuredModel: nil, path: \.hex)
        try Self.expectWhole(snapshot, catalogue)
        experts = max(experts, snapshot.experts.count)
        mixtures = max(mixtures, snapshot.mixtures.count)
        removals = try catalogue.removals(limit: 1000).count
      }
      // Changes that were possible, and not only such as had nothing to change.
      let commits = try #require(catalogue.redo?.last.commit)
      #expect(commits > 30 && experts > 0 && mixtures > 0 && removals > 3, "\(commits) commits")
    }
  }

  @Test func whatIsReadWithinATransactionIsForgottenWhereItFails() throws {
    try withCatalogue { (catalogue, _) throws in
      let before = try catalogue.snapshot(after: nil, configuredModel: nil, path: \.hex)
      _ = try? catalogue.change { () throws in
        try catalogue.store(Sample.model())
        _ = try catalogue.addVersion(Sample.version())
        let within = try catalogue.snapshot(after: before, configuredModel: nil, path: \.hex)
        #expect(within.expert("science") != nil && within.model("tiny") != nil)
        throw RegistryError.conflict("on purpose")
      }
      let after = try catalogue.snapshot(after: before, configuredModel: nil, path: \.hex)
      #expect(after.experts.isEmpty && after.models.isEmpty)
      try Self.expectWhole(after, catalogue)
    }
  }

  @Test func aFailedPartLeavesNoEvent() throws {
    try withCatalogue { (catalogue, _) throws in
      try catalogue.change { () throws in
        _ = try catalogue.record("before", "x", now: Sample.now)
        _ = try? catalogue.transaction { () throws(RegistryError) in
          _ = try catalogue.record("within", "x", now: Sample.now)
          throw .conflict("on purpose")
        }
        _ = try catalogue.record("after", "x", now: Sample.now)
      }
      #expect(catalogue.takeEvents().map(\.kind) == ["before", "after"])
      #expect(try catalogue.events(after: 0, limit: 9).map(\.kind) == ["before", "after"])
    }
  }

  /// Counted by SQLite itself, so a machine that is busy changes nothing.
  @Test func anExpertMoreCostsAsMuchBesideTwoThousandAsBesideTen() throws {
    func cost(beside count: Int) throws -> Int {
      var cost = 0
      try withCatalogue { (catalogue, _) throws in
        try catalogue.change { () throws in try catalogue.store(Sample.model()) }
        var snapshot = try catalogue.snapshot(after: nil, configuredModel: nil, path: \.hex)
        try catalogue.change { () throws in
          for number in 0..<count { try Self.accept("expert\(number)", "\(number)", catalogue) }
        }
        snapshot = try catalogue.snapshot(after: snapshot, configuredModel: nil, path: \.hex)
        let before = try catalogue.database.operations
        try catalogue.change { () throws in try Self.accept("one-more", "x", catalogue) }
        snapshot = try catalogue.snapshot(after: snapshot, configuredModel: nil, path: \.hex)
        cost = try catalogue.database.operations - before
        #expect(snapshot.experts.count == count + 1)
      }
      return cost
    }
    let few = try cost(beside: 10)
    let many = try cost(beside: 2000)
    #expect(Double(many) <= 1.02 * Double(few), "\(few) operations beside 10, \(many) beside 2000")
  }

  // MARK: - Changes

  private static func digest(_ text: String) -> String {
    "sha256:" + text + String(repeating: "0", count: 64 - text.utf8.count)
  }

  private static func accept(_ name: String, _ content: String, _ catalogue: Catalogue) throws(RegistryError) {
    var version = Sample.version(name)
    version.digest = digest(content)
    let number = try catalogue.addVersion(version)
    try catalogue.moveAlias(name, .promote, to: number, who: "t2d", why: "new", now: Sample.now)
    _ = try catalogue.record("expert.version", name, now: Sample.now)
    try catalogue.store(
      IngestRecord(
        directory: .experts, file: name + ".safetensors", state: .accepted, subject: name, version: number,
        identity: content, time: Sample.now))
  }

  private static func change(_ catalogue: Catalogue, _ random: inout Seeded) throws(RegistryError) {
    let name = names[Int(random.next() % UInt64(names.count))]
    let task = tasks[Int(random.next() % UInt64(tasks.count))]
    let experts = try catalogue.experts()
    switch random.next() % 15 {
    case 0, 1: try accept(name, "\(random.next() % 100)", catalogue)
    case 2:
      guard let version = experts.first(where: { $0.name == name })?.versions.last?.version else {
        throw .unknownExpert(name)
      }
      try catalogue.moveAlias(name, .promote, to: version, who: "t2d", why: "", now: Sample.now)
    case 3: try catalogue.moveAlias(name, .retire, to: nil, who: "t2d", why: "", now: Sample.now)
    case 4:
      guard let version = experts.first(where: { $0.name == name })?.versions.first?.version else {
        throw .unknownExpert(name)
      }
      let reason = Quarantine(
        kind: "no_better_than_shuffled", check: 1, checkKind: "shuffle", task: "arc", model: "tiny")
      _ = try catalogue.quarantine(name, version: version, reason: reason, who: "t2d", why: "", now: Sample.now)
    case 5:
      let directory: IngestRecord.Directory = random.next() % 2 == 0 ? .experts : .tasks
      try catalogue.store(
        IngestRecord(directory: directory, file: name, state: .rejected, identity: "", time: Sample.now))
    case 6: try catalogue.forget(.experts, file: name)
    case 7: _ = try catalogue.addRevision(Sample.task(task, digest: random.next() % 2 == 0 ? "7" : "8"))
    case 8: _ = try catalogue.add(job(task))
    case 9:
      let jobs = try catalogue.liveJobs()
      guard let id = jobs.randomElement(using: &random)?.id else { throw .unknownJob(0) }
      let state: JobState = [.running, .done, .failed, .cancelled][Int(random.next() % 4)]
      try catalogue.setState(id, state, attempts: 1, error: ["message": "why"], now: Sample.now)
    case 10:
      guard let version = experts.first(where: { $0.name == name })?.versions.randomElement(using: &random)?.version
      else { throw .unknownExpert(name) }
      _ = try catalogue.remove(.expert(name, version: version), who: "", why: "", now: Sample.now)
    case 11:
      let subject: Removal.Subject = random.next() % 3 == 0 ? .model("tiny") : .task(task)
      _ = try catalogue.remove(subject, who: "", why: "", now: Sample.now)
    case 12:
      guard let removal = try catalogue.removals(limit: 20).randomElement(using: &random) else {
        throw .unknownTask("")
      }
      _ = try catalogue.undo(removal.id, now: Sample.now)
    case 13:
      let later = Timestamp(milliseconds: Sample.now.milliseconds + 1)
      try catalogue.purge(try catalogue.removals(before: later).shuffled(using: &random).prefix(1) + [], now: later)
      try catalogue.store(Sample.model())
    default:
      guard try catalogue.tasks().contains(where: { $0.name == task }) else { throw .unknownTask(task) }
      var mixture = Sample.mixture(job: try catalogue.add(job(task)))
      mixture.pair.task = task
      try catalogue.publish(mixture, generation: 5, staleReason: nil)
      if random.next() % 2 == 0 { try catalogue.setStale(mixture.pair, reason: "new", generation: 6) }
    }
  }

  private static func job(_ task: String) -> JobRecord {
    var job = Sample.job("adapt \(task)", inputs: nil)
    job.task = task
    return job
  }

  /// Everything that is read again, and everything that follows from it.
  private static func expectWhole(_ snapshot: Snapshot, _ catalogue: Catalogue) throws {
    let whole = try catalogue.snapshot(after: nil, configuredModel: nil, path: \.hex)
    // Compared before they are expected: a failure would print them.
    let areEqual = [
      snapshot.models == whole.models, snapshot.experts == whole.experts,
      Array(snapshot.experts) == (try catalogue.experts()), snapshot.tasks == whole.tasks,
      snapshot.mixtures == whole.mixtures, snapshot.ingested == whole.ingested, snapshot.jobs == whole.jobs,
      snapshot.failedSearches == whole.failedSearches, snapshot.checks == whole.checks,
    ]
    #expect(areEqual == areEqual.map { _ in true })
    #expect(snapshot.generation == whole.generation)
    #expect(snapshot.activeExperts == whole.activeExperts)
    for task in tasks {
      let (one, other) = (snapshot.answer(task: task, model: "tiny"), whole.answer(task: task, model: "tiny"))
      #expect(one?.result.bytes == other?.result.bytes)
    }
    let base = ActiveExperts.Base(model: "tiny", digest: Sample.digest("a"))
    let active = whole.experts.compactMap(\.activeVersion)
    let isActive = snapshot.activeVersions(of: base) == active
    #expect(isActive)
    #expect(snapshot.activeExperts.digest(of: base) == (active.isEmpty ? nil : SetDigest(active)))
    #expect(snapshot.activeExperts.count(ofModel: "tiny") == active.count)
  }
}
