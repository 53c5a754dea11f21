import SystemSupport
import Testing
import WorkerProtocol

@testable import Registry

@Suite struct DamageTests {
  private func filled(_ catalogue: Catalogue) throws {
    try catalogue.change { () throws in
      try catalogue.store(Sample.model())
      _ = try catalogue.addVersion(Sample.version())
      _ = try catalogue.addVersion(Sample.version(digest: "2"))
      var task = Sample.task()
      task.files = [.init(name: "arc.jsonl", digest: Sample.digest("5"))]
      _ = try catalogue.addRevision(task)
      let job = try catalogue.add(Sample.job())
      try catalogue.publish(Sample.mixture(job: job), generation: 4, staleReason: nil)
    }
  }

  @Test func damageIsKeptWithItsCauseUntilItIsCleared() throws {
    try withCatalogue { (catalogue, reopen) throws in
      let damage = Damage(file: "blobs/11/2233", cause: "it is missing", noticed: Sample.now)
      try catalogue.change { () throws in try catalogue.store(damage) }
      #expect(try catalogue.damage() == [damage.file: damage])
      let again = try reopen()
      var worse = damage
      worse.cause = "it is not what was stored"
      try again.change { () throws in try again.store(worse) }
      #expect(try again.damage() == [damage.file: worse])
      try again.change { () throws in try again.clearDamage(damage.file) }
      #expect(try again.damage().isEmpty)
    }
  }

  @Test func aBlobHasOwnersAndIsListedOnce() throws {
    try withCatalogue { (catalogue, _) throws in
      try filled(catalogue)
      let blob = { (letter: Character) in String(repeating: letter, count: 64) }
      #expect(try catalogue.owners(ofBlob: blob("1")) == BlobOwners(versions: [("science", 1)]))
      let pair = Pair(task: "arc", model: "tiny")
      #expect(try catalogue.owners(ofBlob: blob("c")) == BlobOwners(mixtures: [(pair, 1)]))
      #expect(try catalogue.owners(ofBlob: blob("9")).isEmpty)
      #expect(try catalogue.blobs(after: "", limit: 2) == [blob("1"), blob("2")])
      #expect(try catalogue.blobs(after: blob("2"), limit: 2) == [blob("c")])
      #expect(try catalogue.blobs(after: blob("c"), limit: 2).isEmpty)
    }
  }

  @Test func aFileOfTheStoreIsKnownByItsName() {
    let blob = BlobReference(hex: "ab" + String(repeating: "0", count: 62), bytes: 1)
    #expect(BlobReference.hex(ofFile: blob.file) == blob.hex)
    for other in ["", "blobs", "blobs/ab/0", "tasks/ab/" + String(repeating: "0", count: 62), blob.file + "/x"] {
      #expect(BlobReference.hex(ofFile: other) == nil)
    }
    var task = Sample.task()
    task.path = "/var/lib/t2d/tasks/arc/77/arc.jsonl"
    #expect(task.file == "tasks/arc/77/arc.jsonl" && task.place == "/var/lib/t2d/tasks/arc/77")
  }

  @Test func noAnswerIsMadeFromDamagedVectors() throws {
    try withCatalogue { (catalogue, _) throws in
      try filled(catalogue)
      let first = try catalogue.snapshot(after: nil, configuredModel: "tiny", path: \.hex)
      #expect(first.answer(task: "arc", model: nil) != nil)
      let served = try #require(first.mixtures.first)
      let damage = Damage(file: served.mixture.blob.file, cause: "it is missing", noticed: Sample.now)
      try catalogue.change { () throws in try catalogue.store(damage) }
      let second = try catalogue.snapshot(after: first, configuredModel: "tiny", path: \.hex)
      #expect(second.answer(task: "arc", model: nil) == nil && second.damage(of: served) == damage)
      try catalogue.change { () throws in try catalogue.clearDamage(damage.file) }
      let third = try catalogue.snapshot(after: second, configuredModel: "tiny", path: \.hex)
      #expect(third.answer(task: "arc", model: nil) != nil && third.damage.isEmpty)
    }
  }

  @Test func anotherCopyOfATaskTakesItsPlaceInTheRow() throws {
    try withCatalogue { (catalogue, reopen) throws in
      try filled(catalogue)
      #expect(try catalogue.tasks()[0].current.files == [.init(name: "arc.jsonl", digest: Sample.digest("5"))])
      let files = [TaskReference.File(name: "arc/fewshot.jsonl", digest: Sample.digest("6"))]
      try catalogue.change { () throws in
        try catalogue.setCopy(ofTask: "arc", revision: 1, path: "/store/arc/7/arc", source: "arc", files: files)
      }
      let task = try reopen().tasks()[0].current
      #expect(task.files == files && task.path == "/store/arc/7/arc" && task.source == "arc" && task.revision == 1)
    }
  }

  @Test func anEarlierRevisionIsServedUntilTheNextOneComes() throws {
    try withCatalogue { (catalogue, _) throws in
      try filled(catalogue)
      let pair = Pair(task: "arc", model: "tiny")
      try catalogue.change { () throws in
        let job = try catalogue.add(Sample.job("again"))
        #expect(try catalogue.publish(Sample.mixture(job: job), generation: 5, staleReason: nil) == 2)
        try catalogue.serve(pair, revision: 1, inPlaceOf: "damaged", generation: 6)
      }
      let earlier = try #require(try catalogue.servedMixtures().first)
      #expect(earlier.mixture.revision == 1 && earlier.inPlaceOf == "damaged" && earlier.staleReason == "damaged")
      try catalogue.change { () throws in
        let job = try catalogue.add(Sample.job("third"))
        try catalogue.publish(Sample.mixture(job: job), generation: 7, staleReason: nil)
      }
      let newest = try #require(try catalogue.servedMixtures().first)
      #expect(newest.mixture.revision == 3 && newest.inPlaceOf == nil && newest.staleReason == nil)
    }
  }
}
