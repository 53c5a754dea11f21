import ModelFormats
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// The tiny models of every family in `Tests/Fixtures`, which PyTorch made.
@Suite struct FamilyTests {
  static let names = [
    "llama2", "llama3", "llama32-bf16", "llama-bias", "mistral", "mistral-nemo", "mistral-window", "qwen2",
    "qwen2-untied", "qwen3", "qwen3-untied", "gemma3", "gemma3-linear", "gemma3-scaled",
  ]

  /// Opens a copy of a tiny model whose config.json is that in the spelling before transformers 5.
  static func openOlder(_ name: String) throws -> OpenModel {
    try withTemporaryDirectory { directory in
      let (original, path) = (fixtureModel(name), directory + "/" + name)
      try FileSystem.createDirectories(path)
      for file in try FileSystem.entries(original, limit: 100).compactMap(\.text) {
        let bytes = try FileSystem.readAll(original + "/" + file, maximumBytes: 1 << 24)
        if file == "config.v4.json" {
          try writeFile(path + "/config.json", bytes)
        } else if file != "config.json" {
          try writeFile(path + "/" + file, bytes)
        }
      }
      return try openModel(at: path)
    }
  }

  @Test(arguments: names) func bothSpellingsOfAConfigurationSayTheSame(name: String) throws {
    let model = try openModel(at: fixtureModel(name))
    let older = try Self.openOlder(name)
    var expected = model.configuration
    expected.modelID = older.configuration.modelID
    #expect(older.configuration == expected)
    #expect(older.tensorNames == model.tensorNames)
  }
}

func fixtureModel(_ name: String) -> String { repository + "/Tests/Fixtures/families/" + name }
