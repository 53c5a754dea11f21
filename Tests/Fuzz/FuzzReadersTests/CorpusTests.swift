import FuzzReaders
import SystemSupport
import TestSupport
import Testing

/// The kept inputs of the fuzzer: what our own writers make, with others beside them by hand, and every input that once broke
/// a reader.
@Suite struct CorpusTests {
  private static let directory = "\(repository)/Tests/Fuzz/Corpus"
  private static let records = environmentVariable("T2D_RECORD") == "1"

  private static func corpus(_ reader: HostileReader) throws -> [(name: String, bytes: [UInt8])] {
    try FileSystem.entries("\(directory)/\(reader.name)").compactMap(\.text).sorted().map { name in
      (name, try FileSystem.readAll("\(directory)/\(reader.name)/\(name)", maximumBytes: 1 << 20))
    }
  }

  @Test(arguments: HostileReader.all.map(\.name))
  func theSamplesAreWhatOurWritersMakeAndAreRead(name: String) throws {
    let reader = try #require(HostileReader.all.first { $0.name == name })
    let samples = try reader.samples()
    #expect(!samples.isEmpty)
    for sample in samples {
      #expect(sample.bytes.count <= reader.maximumBytes)
      #expect(throws: Never.self) { try reader.read(sample.bytes) }
      let path = "\(Self.directory)/\(name)/\(sample.name)"
      if Self.records {
        try FileSystem.createDirectories("\(Self.directory)/\(name)")
        try FileSystem.writeAtomically(path, sample.bytes, mode: 0o644)
      }
      #expect(
        try FileSystem.readAll(path, maximumBytes: 1 << 20) == sample.bytes,
        "\(path) is not what is written today; 'T2D_RECORD=1 swift test --filter CorpusTests' writes it anew")
    }
  }

  /// In a process of its own, which a trap ends; a promise that is broken is said by its input's name.
  @Test(arguments: HostileReader.all.map(\.name))
  func everyKeptInputIsReadOrRefused(name: String) async throws {
    let reader = try #require(HostileReader.all.first { $0.name == name })
    #expect(try !Self.corpus(reader).isEmpty)
    await #expect(processExitsWith: .success) { [name] in
      let reader = try #require(HostileReader.all.first { $0.name == name })
      for (input, bytes) in try Self.corpus(reader) {
        do {
          try reader.read(bytes)
        } catch let error as BrokenPromise {
          Issue.record("\(name)/\(input): \(error)")
        } catch {
          #expect(!"\(error)".isEmpty, "\(name)/\(input) is refused without a word")
        }
      }
    }
  }

  @Test func thereIsACorpusForEachReaderAndNoOther() throws {
    let found = try FileSystem.entries(Self.directory).compactMap(\.text).sorted()
    #expect(found == HostileReader.all.map(\.name).sorted())
  }
}
