import Glibc
import ModelSamples
import StrictJSON
import SystemSupport
import Testing
import WorkerProtocol

/// How often the worker reads a model's files.
@Suite struct ModelStoreTests {
  /// Counts how often a file is opened, from now on (man 7 inotify). With its closing, since equal events in a row are
  /// told as one.
  private struct Openings {
    private let descriptor: FileDescriptor

    init(of path: String) throws {
      descriptor = FileDescriptor(takingOwnershipOf: inotify_init1(Int32(IN_NONBLOCK)))
      let watch = unsafe inotify_add_watch(descriptor.number, path, UInt32(IN_OPEN | IN_CLOSE_NOWRITE))
      try #require(watch >= 0)
    }

    /// Since the last time. An event of a file, which has no name, is as long as its fixed part.
    func count() throws -> Int {
      guard let bytes = try? descriptor.read(upTo: 1 << 16) else { return 0 }
      return bytes.count / MemoryLayout<inotify_event>.size / 2
    }
  }

  @Test func anInspectionOpensTheModelOnce() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      let openings = try Openings(of: model.path + "/config.json")
      let inspect = InspectSpec(path: model.path, cacheDirectory: model.reference.cacheDirectory)
      for number in 1...2 {
        _ = try worker.run(inspect, job: Int64(number)).ending.result()
        #expect(try openings.count() == 1, "inspection \(number)")
      }
      _ = try worker.answer(.tokenize(model: model.reference, text: "a", special: false)).get()
      #expect(try openings.count() == 0, "it is in memory")
    }
  }

  @Test func aModelThatIsNotTheRegisteredOneIsReadAgainOnlyWhereItWasInMemory() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      let openings = try Openings(of: model.path + "/config.json")
      var other = model.reference
      other.digest = "sha256:" + String(repeating: "0", count: 64)
      for expected in [1, 1] {
        guard case .failure(let fault) = try worker.answer(.tokenize(model: other, text: "a", special: false)) else {
          Issue.record("another model than the registered one is used")
          return
        }
        #expect(fault.kind == .modelChanged && fault.message.contains("register it anew"))
        #expect(try openings.count() == expected)
      }
    }
  }
}
