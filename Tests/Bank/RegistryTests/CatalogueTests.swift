import StrictJSON
import SystemSupport
import Testing

@testable import Registry

@Suite struct CatalogueTests {
  @Test func whatWasCommittedIsThereAfterReopening() throws {
    try withCatalogue { (catalogue, reopen) throws in
      try catalogue.change { () throws in
        try catalogue.store(Sample.model())
        #expect(try catalogue.addVersion(Sample.version()) == 1)
        #expect(try catalogue.addRevision(Sample.task()) == 1)
        let job = try catalogue.add(Sample.job())
        try catalogue.appendJournal(job, ["generation": 1])
        try catalogue.publish(Sample.mixture(job: job), generation: 4, staleReason: nil)
        try catalogue.store(
          IngestRecord(
            directory: .experts, file: "bad.safetensors", state: .rejected, kind: "bad_expert", message: "no",
            identity: "x", time: Sample.now))
      }
      let again = try reopen()
      #expect(try again.models() == [Sample.model()])
      var version = Sample.version()
      version.version = 1
      #expect(try again.experts() == [ExpertRecord(name: "science", active: nil, versions: [version])])
      var revision = Sample.task()
      revision.revision = 1
      #expect(try again.tasks() == [TaskRecord(name: "arc", onlyModel: nil, current: revision)])
      #expect(try again.journal(1) == [["generation": 1]])
      let served = try #require(try again.servedMixtures().first)
      #expect(served.generation == 4)
      #expect(served.mixture.record == Sample.found)
      #expect(try again.ingested().map(\.state) == [.rejected])
    }
  }

  @Test func aFailedTransactionLeavesNothingAndNoEvent() throws {
    try withCatalogue { (catalogue, reopen) throws in
      #expect(throws: RegistryError.self) {
        try catalogue.change { () throws in
          try catalogue.store(Sample.model())
          try catalogue.record("model.added", "tiny", now: Sample.now)
          throw RegistryError.conflict("no")
        }
      }
      #expect(try catalogue.models().isEmpty)
      #expect(catalogue.takeEvents().isEmpty)
      #expect(try reopen().lastSequence() == 0)
    }
  }

  @Test func eventsAreNumberedAndSurvive() throws {
    try withCatalogue { (catalogue, reopen) throws in
      try catalogue.change { () throws in
        try catalogue.record("a", "x", ["n": 1], now: Sample.now)
        try catalogue.record("b", "y", now: Sample.now)
      }
      #expect(catalogue.takeEvents().map(\.sequence) == [1, 2])
      #expect(catalogue.takeEvents().isEmpty)
      let again = try reopen()
      let third = try again.change { () throws in try again.record("c", "x", now: Sample.now) }
      #expect(third == 3)
      #expect(try again.events(limit: 2).map(\.kind) == ["c", "b"])
      #expect(try again.events(limit: 9, subject: "x").map(\.kind) == ["c", "a"])
      #expect(try again.events(after: 1, limit: 9, kinds: ["a", "b"]).map(\.kind) == ["b"])
      #expect(
        try again.events(after: 0, limit: 9)[0].json == [
          "sequence": 1, "time": "2023-11-14T22:13:20.000Z", "event": "a", "subject": "x", "n": 1,
        ])
    }
  }

  @Test func versionsAreTotallyOrderedAndTheSameContentIsFound() throws {
    try withCatalogue { (catalogue, _) throws in
      try catalogue.change { () throws in
        try catalogue.store(Sample.model())
        #expect(try catalogue.addVersion(Sample.version(digest: "1")) == 1)
        #expect(try catalogue.addVersion(Sample.version(digest: "2")) == 2)
        #expect(try catalogue.addVersion(Sample.version("social", digest: "1")) == 1)
      }
      #expect(
        try catalogue.version(ofExpert: "science", digest: Sample.digest("1"), modelDigest: Sample.digest("a")) == 1)
      #expect(
        try catalogue.version(ofExpert: "science", digest: Sample.digest("1"), modelDigest: Sample.digest("b")) == nil)
      #expect(throws: RegistryError.self) {
        try catalogue.change { () throws in
          _ = try catalogue.addVersion(Sample.version(digest: "2"))
        }
      }
      #expect(try catalogue.experts().map { $0.versions.map(\.version) } == [[1, 2], [1]])
    }
  }

  @Test func whatAFileSaysBesideIsReadForOneVersionAndFollowsItsBlob() throws {
    try withCatalogue { (catalogue, reopen) throws in
      try catalogue.change { () throws in
        try catalogue.store(Sample.model())
        _ = try catalogue.addVersion(Sample.version(digest: "1"), details: #"{"license":"MIT"}"#)
        _ = try catalogue.addVersion(Sample.version(digest: "2"), details: #"{"license":"BSD"}"#)
      }
      let again = try reopen()
      #expect(try again.details(ofExpert: "science", version: 1) == #"{"license":"MIT"}"#)
      #expect(try again.details(ofExpert: "science", version: 2) == #"{"license":"BSD"}"#)
      #expect(try again.details(ofExpert: "science", version: 3) == nil)
      try again.change { () throws in
        let blob = BlobReference(hex: String(repeating: "d", count: 64), bytes: 11)
        try again.setBlob(ofExpert: "science", version: 2, blob, details: "{}")
      }
      #expect(try again.details(ofExpert: "science", version: 2) == "{}")
    }
  }

  @Test func textsOfRowsThatFollowEachOtherAreKeptAsTheyAre() throws {
    try withCatalogue { (catalogue, reopen) throws in
      // Swift's `==` takes the one for the other: what is kept once is what has the same bytes.
      let labels = ["K", "\u{212A}", "\u{E9}", "e\u{301}", "e\u{301}", nil, "", "K"]
      try catalogue.change { () throws in
        try catalogue.store(Sample.model())
        for (number, label) in labels.enumerated() {
          var version = Sample.version(digest: Character("\(number)"))
          version.label = label
          _ = try catalogue.addVersion(version)
        }
      }
      let read = try reopen().experts()[0].versions.map { $0.label.map { Array($0.utf8) } }
      #expect(read == labels.map { $0.map { Array($0.utf8) } })
    }
  }

  @Test func theAliasMovesAndItsJournalSaysWhoAndWhy() throws {
    try withCatalogue { (catalogue, _) throws in
      try catalogue.change { () throws in
        try catalogue.store(Sample.model())
        for letter in ["1", "2", "3"] as [Character] { _ = try catalogue.addVersion(Sample.version(digest: letter)) }
      }
      func move(_ action: AliasMove.Action, _ to: Int?, _ why: String = "") throws {
        try catalogue.change { () throws in
          try catalogue.moveAlias("science", action, to: to, who: "uid 7", why: why, now: Sample.now)
        }
      }
      func states() throws -> [VersionState] { try catalogue.experts()[0].versions.map(\.state) }
      try move(.promote, 1)
      try move(.promote, 3, "better")
      #expect(try states() == [.superseded, .candidate, .active])
      #expect(try catalogue.versionBefore("science") == 1)
      #expect(
        try catalogue.aliasMoves("science", limit: 1) == [
          AliasMove(
            expert: "science", action: .promote, from: 1, to: 3, who: "uid 7", why: "better", time: Sample.now)
        ])
      try move(.rollback, 1)
      #expect(try states() == [.active, .candidate, .superseded])
      #expect(try catalogue.versionBefore("science") == nil)
      try move(.retire, nil)
      #expect(try states() == [.retired, .candidate, .superseded])
      #expect(try catalogue.versionBefore("science") == 1)
      #expect(throws: RegistryError.self) { try move(.retire, nil) }
      #expect(throws: RegistryError.self) { try move(.promote, 4) }
      #expect(try states() == [.retired, .candidate, .superseded])
    }
  }

  @Test func twoRollbacksGoTwoStepsBack() throws {
    try withCatalogue { (catalogue, _) throws in
      try catalogue.change { () throws in
        try catalogue.store(Sample.model())
        for letter in ["1", "2", "3"] as [Character] {
          let version = try catalogue.addVersion(Sample.version(digest: letter))
          try catalogue.moveAlias("science", .promote, to: version, who: "t2d", why: "", now: Sample.now)
        }
      }
      for expected in [2, 1] {
        let before = try catalogue.versionBefore("science")
        #expect(before == expected)
        try catalogue.change { () throws in
          try catalogue.moveAlias("science", .rollback, to: before, who: "t2d", why: "", now: Sample.now)
        }
      }
      #expect(try catalogue.versionBefore("science") == nil)
    }
  }

  @Test func aChangedTaskIsTheNextRevision() throws {
    try withCatalogue { (catalogue, _) throws in
      try catalogue.change { () throws in
        _ = try catalogue.addRevision(Sample.task(digest: "7"))
        #expect(try catalogue.addRevision(Sample.task(digest: "8")) == 2)
      }
      #expect(try catalogue.tasks().map(\.current.digest) == [Sample.digest("8")])
      try catalogue.change { () throws in try catalogue.bind(task: "arc", toModel: "tiny") }
      #expect(try catalogue.tasks().map(\.onlyModel) == ["tiny"])
      #expect(throws: RegistryError.self) {
        try catalogue.change { () throws in try catalogue.bind(task: "nothing", toModel: nil) }
      }
    }
  }

  @Test func aJobsJournalIsKeptInOrderUntilItEnds() throws {
    try withCatalogue { (catalogue, reopen) throws in
      let id = try catalogue.change { () throws in try catalogue.add(Sample.job()) }
      for generation in 1...3 {
        try catalogue.change { () throws in
          try catalogue.appendJournal(id, ["generation": .integer(Int64(generation))])
        }
      }
      try catalogue.change { () throws in
        try catalogue.setState(id, .running, attempts: 1, now: Sample.now)
      }
      let again = try reopen()
      #expect(try again.journal(id).compactMap { $0["generation"]?.intValue } == [1, 2, 3])
      let job = try #require(try again.liveJobs().first)
      #expect(job.state == .running)
      #expect(job.ticket.attempts == 1)
      #expect(job.started == Sample.now)
      try again.change { () throws in
        try again.setState(id, .done, attempts: 1, result: ["n": 1], now: Sample.now)
      }
      #expect(try again.journal(id).isEmpty)
      #expect(try again.liveJobs().isEmpty)
      #expect(try again.job(id).result == ["n": 1])
      #expect(try again.jobs(state: .done, limit: 9).map(\.id) == [id])
      #expect(try again.newestJob(target: "adapt")?.state == .done)
      #expect(throws: RegistryError.self) { try again.job(99) }
    }
  }

  @Test func aNewMixtureReplacesWhatIsServedAndTheLogKeepsBoth() throws {
    try withCatalogue { (catalogue, _) throws in
      try catalogue.change { () throws in
        try catalogue.store(Sample.model())
        _ = try catalogue.addRevision(Sample.task())
        let job = try catalogue.add(Sample.job())
        #expect(try catalogue.publish(Sample.mixture(job: job), generation: 5, staleReason: nil) == 1)
        try catalogue.setStale(Pair(task: "arc", model: "tiny"), reason: "science has a new version", generation: 6)
      }
      #expect(try catalogue.servedMixtures().map(\.staleReason) == ["science has a new version"])
      try catalogue.change { () throws in
        #expect(
          try catalogue.publish(Sample.mixture(job: 1, inputs: "j"), generation: 7, staleReason: nil) == 2)
      }
      let served = try catalogue.servedMixtures()
      #expect(served.map(\.staleReason) == [nil])
      #expect(served.map(\.generation) == [7])
      #expect(try catalogue.mixtureLog(task: "arc", model: nil, limit: 9).map(\.revision) == [2, 1])
      #expect(try catalogue.mixtureLog(task: "arc", model: "other", limit: 9).isEmpty)
    }
  }

  @Test func aCopyOpens() throws {
    try withCatalogue { (catalogue, _) throws in
      try catalogue.change { () throws in try catalogue.store(Sample.model()) }
      try catalogue.check(thorough: true)
      try withTemporaryDirectory { directory in
        try catalogue.backUp(to: directory + "/catalogue.sqlite")
        let copy = try Catalogue(in: directory)
        #expect(try copy.models() == [Sample.model()])
      }
    }
  }

  @Test func aDatabaseOfANewerVersionIsRefused() throws {
    try withCatalogue { (catalogue, reopen) throws in
      try catalogue.database.execute("PRAGMA user_version = 99")
      let error = #expect(throws: RegistryError.self) { try reopen() }
      let known = "has version 99, this program knows versions up to \(Catalogue.migrations.count)"
      #expect(error?.description.contains(known) == true)
    }
  }

  @Test func aColumnThatHoldsSomethingElseIsDamageAndNoCrash() throws {
    try withCatalogue { (catalogue, _) throws in
      #expect(throws: RegistryError.self) { try catalogue.rows("SELECT NULL", read: { $0.integer(0) }) }
      try catalogue.change { () throws in
        try catalogue.store(Sample.model())
        try catalogue.database.execute("UPDATE models SET facts = '{'")
      }
      let error = #expect(throws: RegistryError.self) { try catalogue.models() }
      #expect(error?.description.hasPrefix("the catalogue's table models holds what t2d did not write") == true)
    }
  }

  /// Such a row was read as one without warnings, and a word that is not known would be a rule that never holds.
  @Test(arguments: [("warnings", "'[1]'"), ("warnings", "'{}'"), ("scoring", "'guess'")])
  func aWordOrListThatIsNotKnownIsDamage(column: String, value: String) throws {
    try withCatalogue { (catalogue, _) throws in
      try catalogue.change { () throws in
        _ = try catalogue.addRevision(Sample.task())
        try catalogue.database.execute("UPDATE task_revisions SET \(column) = \(value)")
      }
      let error = #expect(throws: RegistryError.self) { try catalogue.tasks() }
      #expect(error?.description.contains("table task_revisions holds what t2d did not write") == true)
    }
  }
}
