import LinearAlgebra
import ModelSamples
import StrictJSON
import SystemSupport
import Testing
import Transformer

@testable import Worker

/// What `model show` says of a model.
struct ModelFactsTests {
  /// Not the configuration's, where that is beyond what is run.
  @Test func theContextIsThatWhichSequencesMayHave() throws {
    try withTemporaryDirectory { directory in
      let synthetic = try SyntheticModel(in: directory)
      let path = synthetic.path + "/config.json"
      var config = try #require(parseJSON(FileSystem.readAll(path, maximumBytes: 1 << 16)).objectValue)
      for (positions, expected) in [(64, 64), (1_010_000, 32768)] {
        config["max_position_embeddings"] = .init(positions)
        try FileSystem.writeAtomically(path, JSONValue.object(config).serialized(), mode: 0o644)
        let model = try LanguageModel.load(
          path: synthetic.path, factorizationDirectory: nil, pool: ComputePool(threads: 1))
        let facts = LoadedModel(model).facts(seconds: 0)
        #expect(facts.contextLength == expected && model.shape.context == expected)
      }
    }
  }
}
