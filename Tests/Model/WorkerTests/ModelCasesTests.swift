import ModelFormats
import StrictJSON
import SystemSupport
import TestSupport
import Testing
import WorkerProtocol

/// What people give to `t2ctl model add`, and what they read then. A model that is read is the one that was meant: its
/// digest is that of the weights that the case names.
@Suite struct ModelCasesTests {
  enum Outcome: Sendable {
    /// With these warnings.
    case read([String])
    /// With this message, in which the case's directory is DIR.
    case refused(String)
  }

  struct Case: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let outcome: Outcome
    /// Makes it, and returns what is added.
    let path: @Sendable (SampleModel) throws -> String

    init(_ name: String, _ outcome: Outcome, path: @escaping @Sendable (SampleModel) throws -> String) {
      (testDescription, self.outcome, self.path) = (name, outcome, path)
    }

    /// Of a model's directory with changes.
    static func model(
      _ name: String, _ outcome: Outcome, _ change: @escaping @Sendable (SampleModel) throws -> Void
    ) -> Case {
      Case(name, outcome) { sample in
        try change(sample)
        return sample.path
      }
    }

    /// Of one file.
    static func file(
      _ name: String, _ outcome: Outcome, named file: String, _ bytes: @escaping @Sendable () -> [UInt8]
    ) -> Case {
      Case(name, outcome) { sample in
        try FileSystem.writeAtomically(sample.directory + "/" + file, bytes())
        return sample.directory + "/" + file
      }
    }
  }

  private func check(_ item: Case) throws {
    try withTemporaryDirectory { directory in
      let sample = try SampleModel(in: directory)
      let expected = try openModel(at: sample.path).digest().description
      let path = try item.path(sample)
      let inspect = InspectSpec(path: path, cacheDirectory: directory + "/cache")
      let ending = try TestWorker().run(inspect).ending
      switch (item.outcome, ending) {
      case (.read(let warnings), .done(let result)):
        let facts = try ModelFacts(decoding: result)
        #expect((facts.warnings ?? []).map { $0.replacing(directory, with: "DIR") } == warnings)
        #expect(facts.digest == expected, "other weights were read")
      case (.refused(let message), .failed(let fault)):
        #expect(fault.message.replacing(directory, with: "DIR") == message)
      case (.read, .failed), (.refused, .done), (_, .cancelled):
        Issue.record("\(item.testDescription) ended as \(ending)")
      }
    }
  }

  @Test(arguments: weights + notModels + ggufs + tokenizers)
  func whatIsAddedIsReadOrNamed(_ item: Case) throws { try check(item) }
}
