import Multipliers
import SystemSupport
import Testing

@testable import Registry

@Suite struct RemovalTests {
  private static let later = Timestamp(milliseconds: Sample.now.milliseconds + 1000)

  /// A model, versions 1 to 3 of an expert of which each was active, a task, and a mixture of it.
  private func withBank(_ body: (Catalogue) throws -> Void) throws {
    try withCatalogue { (catalogue, _) throws in
      try catalogue.change { () throws in
        try catalogue.store(Sample.model())
        for letter: Character in ["1", "2", "3"] {
          let number = try catalogue.addVersion(Sample.version(digest: letter))
          try catalogue.moveAlias("science", .promote, to: number, who: "t2d", why: "new", now: Sample.now)
        }
        _ = try catalogue.addRevision(Sample.task())
        try catalogue.publish(Sample.mixture(job: try catalogue.add(Sample.job())), generation: 5, staleReason: nil)
        try catalogue.setState(1, .done, attempts: 1, now: Sample.now)
      }
      try body(catalogue)
    }
  }

  @discardableResult
  private func remove(_ subject: Removal.Subject, _ catalogue: Catalogue) throws -> Removal {
    try catalogue.change { () throws in
      try catalogue.remove(subject, who: "uid 1", why: "why", now: Sample.now).removal
    }
  }

  private func versions(_ catalogue: Catalogue) throws -> [Int] {
    try catalogue.experts().flatMap { $0.versions.map(\.version) }
  }

  @Test func theVersionThatWasActiveBeforeTakesThePlaceOfARemovedOne() throws {
    try withBank { catalogue in
      let third = try remove(.expert("science", version: 3), catalogue)
      #expect(try catalogue.experts().first?.active == 2)
      // One that is removed itself is passed over.
      try remove(.expert("science", version: 1), catalogue)
      try remove(.expert("science", version: 2), catalogue)
      #expect(try catalogue.experts().isEmpty)
      let (undone, wasActive) = try catalogue.change { () throws in try catalogue.undo(third.id, now: Self.later) }
      // Others were moved since, so it is not for this to say what is active.
      #expect(undone.state == .undone && undone.ended == Self.later && !wasActive)
      #expect(try catalogue.experts().first?.active == nil)
      #expect(try versions(catalogue) == [3])
    }
  }

  @Test func undoneAtOnceAVersionWasActive() throws {
    try withBank { catalogue in
      let removal = try remove(.expert("science", version: 3), catalogue)
      #expect(try catalogue.change { () throws in try catalogue.undo(removal.id, now: Self.later) }.wasActive)
      #expect(try versions(catalogue) == [1, 2, 3])
      #expect(throws: RegistryError.self) {
        try catalogue.change { () throws in try catalogue.undo(removal.id, now: Self.later) }
      }
    }
  }

  @Test func whatIsNotThereIsNotRemoved() throws {
    try withBank { catalogue in
      for subject: Removal.Subject in [
        .expert("science", version: 4), .expert("no", version: 1), .task("no"), .model("no"),
      ] {
        #expect(throws: RegistryError.self) { try remove(subject, catalogue) }
      }
      try remove(.task("arc"), catalogue)
      #expect(throws: RegistryError.self) { try remove(.task("arc"), catalogue) }
      #expect(try catalogue.removals(limit: 9).count == 1)
    }
  }

  @Test func noNumberIsGivenOutTwice() throws {
    try withBank { catalogue in
      let removed = try [3, 2, 1].map { try remove(.expert("science", version: $0), catalogue) }
      try catalogue.change { () throws in try catalogue.purge(removed, now: Self.later) }
      try remove(.task("arc"), catalogue)
      try catalogue.change { () throws in
        #expect(try catalogue.addVersion(Sample.version(digest: "4")) == 4)
        #expect(try catalogue.addRevision(Sample.task()) == 2)
        #expect(
          try catalogue.version(ofExpert: "science", digest: Sample.digest("3"), modelDigest: Sample.digest("a")) == 3)
      }
    }
  }

  @Test func aTaskTakesItsMixturesWithItAndBringsThemBack() throws {
    try withBank { catalogue in
      let before = try catalogue.servedMixtures()
      #expect(before.count == 1)
      for subject: Removal.Subject in [.task("arc"), .model("tiny")] {
        let removal = try remove(subject, catalogue)
        #expect(try catalogue.servedMixtures().isEmpty)
        #expect(try catalogue.models().isEmpty == (subject == .model("tiny")))
        #expect(try catalogue.tasks().isEmpty == (subject == .task("arc")))
        _ = try catalogue.change { () throws in try catalogue.undo(removal.id, now: Self.later) }
        #expect(try catalogue.servedMixtures() == before)
      }
      // Its experts stay.
      try remove(.model("tiny"), catalogue)
      #expect(try versions(catalogue) == [1, 2, 3])
    }
  }

  @Test func onlyWhatIsPurgedIsNamedNoMore() throws {
    try withBank { catalogue in
      func named() throws -> [String] {
        try (catalogue.namedBlobs().map(\.subject) + catalogue.namedTasks().map(\.subject)).sorted()
      }
      let all = try named()
      #expect(all.count == 5)
      let version = try remove(.expert("science", version: 1), catalogue)
      let task = try remove(.task("arc"), catalogue)
      #expect(try named() == all)
      #expect(try catalogue.namedBlobs(but: [version, task]).count == 2)
      #expect(try catalogue.namedTasks(but: [version, task]).isEmpty)

      try catalogue.change { () throws in try catalogue.purge([version], now: Self.later) }
      #expect(try named() == all.filter { $0 != "expert science@1" })
      try catalogue.change { () throws in try catalogue.purge([task], now: Self.later) }
      #expect(try named() == ["expert science@2", "expert science@3"])
      #expect(try catalogue.owners(ofBlob: Sample.version(digest: "1").blob.hex).isEmpty)
      #expect(throws: RegistryError.self) {
        try catalogue.change { () throws in try catalogue.undo(task.id, now: Self.later) }
      }
      // Dropped again it begins anew, and no mixture of before comes with it.
      try catalogue.change { () throws in _ = try catalogue.addRevision(Sample.task()) }
      #expect(try catalogue.tasks().map(\.current.revision) == [2] && catalogue.servedMixtures().isEmpty)
      #expect(try catalogue.mixtureLog(task: "arc", model: nil, limit: 9).isEmpty)
      try catalogue.change { () throws in
        let job = try catalogue.add(Sample.job(inputs: "j"))
        #expect(try catalogue.publish(Sample.mixture(job: job), generation: 9, staleReason: nil) == 2)
      }
    }
  }

  @Test func aJobKeepsTheFilesOfWhatItIsAbout() throws {
    try withBank { catalogue in
      try remove(.expert("science", version: 1), catalogue)
      try remove(.task("arc"), catalogue)
      try remove(.model("tiny"), catalogue)
      var job = Sample.job("other", inputs: nil)
      job.spec = ["experts": [["blob": .string(Sample.version(digest: "1").blob.hex)]]]
      let id = try catalogue.change { () throws in try catalogue.add(job) }
      #expect(try catalogue.removals(before: Self.later).isEmpty)
      #expect(try catalogue.liveJobs(about: .expert("science", version: 1)) == [id])
      #expect(try catalogue.liveJobs(about: .expert("science", version: 2)).isEmpty)
      #expect(try catalogue.liveJobs(about: .task("arc")) == [id] && catalogue.liveJobs(about: .model("tiny")) == [id])
      #expect(try catalogue.liveJobsOfRemoved().map(\.job) == [id])
      #expect(try catalogue.liveJobsOfRemoved().map(\.reason) == ["task 'arc' is removed"])
      try catalogue.change { () throws in try catalogue.setState(id, .cancelled, attempts: 1, now: Sample.now) }
      #expect(try catalogue.removals(before: Self.later).count == 3)
      #expect(try catalogue.removals(before: Sample.now).isEmpty)
      #expect(try catalogue.liveJobsOfRemoved().isEmpty)
    }
  }

  @Test func aModelIsGivenUpWithItsFactorizationUnlessAnotherHasItsDigest() throws {
    try withBank { catalogue in
      let removal = try remove(.model("tiny"), catalogue)
      let name = MultiplierLayout([]).factorizationFileName(ofModel: Sample.digest("a"))
      #expect(try catalogue.factorizationsGivenUp(with: []).isEmpty)
      #expect(try catalogue.factorizationsGivenUp(with: [removal]) == [name])
      var twin = Sample.model("twin")
      try catalogue.change { () throws in try catalogue.store(twin) }
      #expect(try catalogue.factorizationsGivenUp(with: [removal]).isEmpty)
      // Of the same base other matrices are factored: that is another file.
      twin.modules = ["down_proj"]
      twin.facts?.targets = [
        TargetMatrix(name: "model.layers.0.mlp.down_proj.weight", rows: 4, columns: 6, layer: 0),
        TargetMatrix(name: "model.layers.0.mlp.up_proj.weight", rows: 6, columns: 4, layer: 0, isFactored: false),
      ]
      try catalogue.change { () throws in try catalogue.store(twin) }
      #expect(try catalogue.models() == [twin])
      #expect(try catalogue.factorizationsGivenUp(with: [removal]) == [name])
      try catalogue.change { () throws in
        try catalogue.store(Sample.model("twin", digest: "b"))
        try catalogue.purge([removal], now: Self.later)
      }
      #expect(try catalogue.factorizationsGivenUp(with: []) == [name])
    }
  }

  @Test func theVersionsBeyondTheNewestAreFoundAndTheActiveOneIsKept() throws {
    try withBank { catalogue in
      try catalogue.change { () throws in
        try catalogue.moveAlias("science", .rollback, to: 1, who: "t2d", why: "", now: Sample.now)
      }
      #expect(try catalogue.versions(ofExpert: "science", beyondNewest: 1) == [2])
      #expect(try catalogue.versions(ofExpert: "science", beyondNewest: 2).isEmpty)
      try remove(.expert("science", version: 3), catalogue)
      #expect(try catalogue.versions(ofExpert: "science", beyondNewest: 1).isEmpty)
    }
  }
}
