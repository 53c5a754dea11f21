import RPCProtocol
import Records
import StrictJSON
import Testing

@testable import Registry

@Suite struct SnapshotTests {
  private func filled(_ catalogue: Catalogue) throws {
    try catalogue.change { () throws in
      try catalogue.store(Sample.model())
      _ = try catalogue.addRevision(Sample.task())
      let job = try catalogue.add(Sample.job())
      try catalogue.publish(Sample.mixture(job: job), generation: 5, staleReason: nil)
    }
  }

  @Test func theAnswerToMixtureGetIsReadyInBytes() throws {
    try withCatalogue { (catalogue, _) throws in
      try filled(catalogue)
      let snapshot = try catalogue.snapshot(after: nil, configuredModel: nil) { "/store/\($0.hex.prefix(2))" }
      let answer = try #require(snapshot.answer(task: "arc", model: nil))
      #expect(
        try RecordReader(unknownMembers: .refused).read(try parseJSON(answer.result.bytes))
          == MixtureGet.Result.served(
            .init(
              task: "arc", model: "tiny", mixture: Sample.found, staleReason: nil, generation: 5,
              created: "2023-11-14T22:13:20.000Z",
              vectors: .init(path: "/store/cc", digest: Sample.digest("c"), bytes: 20))))
      #expect(try parseJSON(answer.notModified.bytes) == ["not_modified": true, "generation": 5])
      #expect(snapshot.answer(task: "arc", model: "other") == nil)
      #expect(snapshot.answer(task: "nothing", model: nil) == nil)
    }
  }

  @Test func withoutADefaultTwoModelsDecideNothing() throws {
    try withCatalogue { (catalogue, _) throws in
      try filled(catalogue)
      try catalogue.change { () throws in try catalogue.store(Sample.model("second", digest: "b")) }
      let undecided = try catalogue.snapshot(after: nil, configuredModel: nil) { $0.hex }
      #expect(undecided.defaultModel == nil)
      #expect(undecided.answer(task: "arc", model: nil) == nil)
      #expect(undecided.answer(task: "arc", model: "tiny") != nil)
      let decided = try catalogue.snapshot(after: nil, configuredModel: "tiny") { $0.hex }
      #expect(decided.answer(task: "arc", model: nil) != nil)
      try catalogue.change { () throws in try catalogue.bind(task: "arc", toModel: "second") }
      #expect(try catalogue.snapshot(after: nil, configuredModel: "tiny") { $0.hex }.modelOf(task: "arc") == "second")
    }
  }

  @Test(arguments: [nil, "second"])
  func theModelThatATasksFileNamesIsMeantWhereNoneIsAskedFor(defaultModel: String?) throws {
    try withCatalogue { (catalogue, _) throws in
      try filled(catalogue)
      try catalogue.change { () throws in
        try catalogue.store(Sample.model("second", digest: "b"))
        var revision = Sample.task(digest: "8")
        revision.settings = ["model": "tiny"]
        _ = try catalogue.addRevision(revision)
      }
      let snapshot = try catalogue.snapshot(after: nil, configuredModel: defaultModel) { $0.hex }
      #expect(snapshot.answer(task: "arc", model: nil)?.pair == Pair(task: "arc", model: "tiny"))
      #expect(snapshot.models(of: try #require(snapshot.task("arc"))).map(\.name) == ["tiny"])
      // Whoever registers it for another model overrules its file.
      try catalogue.change { () throws in try catalogue.bind(task: "arc", toModel: "second") }
      let bound = try catalogue.snapshot(after: snapshot, configuredModel: defaultModel) { $0.hex }
      #expect(bound.answer(task: "arc", model: nil) == nil)
      #expect(bound.models(of: try #require(bound.task("arc"))).map(\.name) == ["second"])
    }
  }

  @Test func onlyWhatChangedIsReadAgain() throws {
    try withCatalogue { (catalogue, _) throws in
      try filled(catalogue)
      let first = try catalogue.snapshot(after: nil, configuredModel: nil) { $0.hex }
      try catalogue.database.execute("UPDATE tasks SET only_model = 'behind the catalogue''s back'")
      let second = try catalogue.snapshot(after: first, configuredModel: nil) { $0.hex }
      #expect(second.tasks == first.tasks)
      try catalogue.change { () throws in try catalogue.bind(task: "arc", toModel: nil) }
      let third = try catalogue.snapshot(after: second, configuredModel: nil) { $0.hex }
      #expect(third.tasks.map(\.onlyModel) == [nil])
    }
  }

  @Test func aNameThatOnlyLooksTheSameFindsNothing() throws {
    try withCatalogue { (catalogue, _) throws in
      try catalogue.change { () throws in
        try catalogue.store(Sample.model("K"))
      }
      let snapshot = try catalogue.snapshot(after: nil, configuredModel: nil) { $0.hex }
      #expect(snapshot.model("K") != nil)
      #expect(snapshot.model("\u{212A}") == nil)
    }
  }
}
