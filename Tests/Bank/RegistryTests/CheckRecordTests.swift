import RPCProtocol
import Results
import SQLite
import StrictJSON
import SystemSupport
import Testing

@testable import Registry

@Suite struct CheckRecordTests {
  private func check(job: Int64) -> CheckRecord {
    CheckRecord(
      kind: .shuffle, expert: "science", version: 1, model: "tiny", modelDigest: Sample.digest("a"), task: "arc",
      taskDigest: Sample.digest("7"), job: job, verdict: .noBetterThanShuffled, passes: false, action: .quarantine,
      summary: Self.found, added: Sample.now)
  }

  private static let found: CheckSummary = {
    let comparison = CheckResult.Comparison(effect: 0.1, low: -0.1, high: 0.3, mcNemar: 0.5, won: [3], lost: [2])
    return CheckSummary(
      kind: .shuffle,
      outcomes: [
        .init(
          metric: "acc", verdict: .noBetterThanShuffled, versusShuffles: comparison, versusBase: comparison, base: 0.5,
          expert: 0.6, shuffles: [0.5])
      ], passes: false, count: 200, split: .eval, seed: 1, template: "{question}", kernel: "Haswell", seconds: 1)
  }()
  private static let quarantine = Quarantine(
    kind: "no_better_than_shuffled", check: 1, checkKind: "shuffle", task: "arc", model: "tiny")

  private func fill(_ catalogue: Catalogue, versions: [Character]) throws -> Int64 {
    try catalogue.store(Sample.model())
    for letter in versions { _ = try catalogue.addVersion(Sample.version(digest: letter)) }
    _ = try catalogue.addRevision(Sample.task())
    return try catalogue.add(Sample.job())
  }

  @Test func aCheckIsThereAfterReopeningAndAJobHasOne() throws {
    try withCatalogue { (catalogue, reopen) throws in
      var expected = check(job: 0)
      try catalogue.change { () throws in
        expected.job = try fill(catalogue, versions: ["1"])
        let first = try catalogue.addCheck(expected)
        #expect(first == (1, true))
        // The same job again, after a crash: what it found stands.
        var other = expected
        other.verdict = .ordered
        let second = try catalogue.addCheck(other)
        #expect(second == (1, false))
      }
      expected.id = 1
      #expect(try reopen().checks() == [expected])
    }
  }

  @Test func anActiveVersionThatIsQuarantinedGivesPlaceToTheOneBefore() throws {
    try withCatalogue { (catalogue, _) throws in
      try catalogue.change { () throws in
        _ = try fill(catalogue, versions: ["1", "2", "3"])
        for version in 1...3 {
          try catalogue.moveAlias("science", .promote, to: version, who: "t2d", why: "", now: Sample.now)
        }
      }
      func quarantine(_ version: Int) throws -> AliasMove? {
        try catalogue.change { () throws in
          try catalogue.quarantine(
            "science", version: version, reason: Self.quarantine, who: "t2d", why: "check 1",
            now: Sample.now)
        }
      }
      #expect(try quarantine(2) == nil)
      // Version 2 is quarantined too, so it is walked over.
      let move = try quarantine(3)
      #expect(move?.to == 1 && move?.action == .rollback)
      let expert = try #require(try catalogue.experts().first)
      #expect(expert.active == 1)
      #expect(expert.versions.map(\.state) == [.active, .quarantined, .quarantined])
      #expect(expert.versions[2].quarantine == Self.quarantine)
      #expect(try catalogue.versionBefore("science") == nil)
      // The last one leaves nothing.
      #expect(try quarantine(1)?.to == nil)
      #expect(try catalogue.experts().first?.active == nil)
      // A person may bring one back, and then it is not quarantined any more.
      try catalogue.change { () throws in
        try catalogue.moveAlias("science", .promote, to: 3, who: "uid 0", why: "", now: Sample.now)
      }
      #expect(try catalogue.experts().first?.versions[2].quarantine == nil)
    }
  }

  @Test func aDatabaseOfTheFirstSchemaIsBroughtToThisOneWithItsRows() throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/catalogue.sqlite"
      do {
        let old = try Connection(path, applicationID: Catalogue.applicationID, knownVersion: 1)
        try old.migrate(Array(Catalogue.migrations.prefix(1)), backup: { _ in nil }, now: 1, program: "old")
        try old.executeScript(
          """
          INSERT INTO models VALUES ('tiny', '/m', '1', 'failed', NULL, 'no', 1, 'uid 0');
          INSERT INTO experts VALUES ('science', NULL);
          INSERT INTO expert_versions VALUES ('science', 1, 'candidate', 'tiny', 'd', '\(Sample.digest("1"))',
            '\(String(repeating: "1", count: 64))', 10, 'expert', NULL, NULL, 'none', 0, '{}', '[]', 'f', 1, 'uid 0');
          """)
      }
      let catalogue = try Catalogue(in: directory)
      let version = try #require(try catalogue.experts().first?.versions.first)
      #expect(version.state == .candidate && version.quarantine == nil)
      #expect(try catalogue.checks().isEmpty)
      #expect(
        try FileSystem.entries(directory + "/backups").contains { $0.text?.hasPrefix("catalogue-before-2") == true })
    }
  }

  @Test func aMixtureIsFoundByTheJobThatMadeIt() throws {
    try withCatalogue { (catalogue, _) throws in
      try catalogue.change { () throws in
        let job = try fill(catalogue, versions: ["1"])
        #expect(try catalogue.mixture(ofJob: job) == nil)
        try catalogue.publish(Sample.mixture(job: job), generation: 4, staleReason: nil)
        #expect(try catalogue.mixture(ofJob: job)?.revision == 1)
      }
    }
  }
}
