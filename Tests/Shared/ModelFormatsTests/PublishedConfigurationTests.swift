import StrictJSON
import SystemSupport
import Testing

@testable import ModelFormats

/// config.json of models that people have, with the keys that theirs have: each is read as what it is, or refused by what it
/// has. Written down by hand, with long lists cut short.
@Suite struct PublishedConfigurationTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let config: JSONObject
    /// What is read; nil of one that is refused.
    let reads: JSONObject?
    let refused: String?

    var testDescription: String { name }

    init(_ value: JSONValue) throws {
      name = try #require(value["name"]?.stringValue)
      config = try #require(value["config"]?.objectValue)
      reads = value["reads"]?.objectValue
      refused = value["refused"]?.stringValue
    }
  }

  private static func cases(read: Bool) -> [Case] {
    let file = try? parseJSON(
      FileSystem.readAll(fixture("published_configurations.json"), maximumBytes: 1 << 20))
    return ((file?.arrayValue ?? []).compactMap { try? Case($0) }).filter { ($0.reads != nil) == read }
  }

  private static func configuration(_ config: JSONObject) throws -> ModelConfiguration {
    let config = HuggingFaceConfig(path: "config.json", object: config)
    let model = try config.configuration(of: config.family(), modelID: "m")
    try model.check(path: "config.json")
    return model
  }

  @Test func thereAreCasesOfBothKinds() {
    #expect(Self.cases(read: true).count > 30 && Self.cases(read: false).count > 30)
  }

  @Test(arguments: cases(read: true)) func whatIsSupportedIsRead(item: Case) throws {
    let model = try Self.configuration(item.config)
    let reads = try #require(item.reads)
    let found: JSONObject = [
      "layers": .init(model.layers), "hidden": .init(model.hidden), "heads": .init(model.heads),
      "kv_heads": .init(model.kvHeads), "head_dim": .init(model.headDim), "vocabulary": .init(model.vocabulary),
      "context": .init(model.contextLength), "tied": .bool(model.tiedEmbeddings),
      "rotations": .array(model.rotations.map { .string(Self.text($0)) }),
    ]
    for (key, value) in found.members { #expect(reads[key] == value, "\(key)") }
    let windows = reads["windows"]?.stringValue?.split(separator: " ").map { Int($0) } ?? [nil]
    #expect(
      model.attention.map(\.window)
        == (windows.count == 1 ? Array(repeating: windows[0], count: model.layers) : windows))
    let biases = reads["biases"]?.stringValue == "q k v" ? [Projection.query, .key, .value] : []
    #expect(model.biases == Set(biases))
    #expect(model.attention.map { $0.rotation == nil }.contains(true) == (model.architecture == "SmolLM3ForCausalLM"))
    #expect(!model.eosIDs.isEmpty)
  }

  @Test(arguments: cases(read: false)) func whatIsNotIsRefusedByName(item: Case) throws {
    let error = #expect(throws: ModelFormatError.self) { try Self.configuration(item.config) }
    let refused = try #require(item.refused)
    #expect(error?.description.contains(refused) == true, "\(error?.description ?? "")")
  }

  private static func text(_ rotation: Rotation) -> String {
    func whole(_ number: Double) -> String { "\(Int(number))" }
    let theta = whole(rotation.theta)
    switch rotation.scaling {
    case .none: return theta
    case .linear(let factor): return "\(theta) linear \(whole(factor))"
    case .llama3(let factor, let low, let high, let context):
      return "\(theta) llama3 \(whole(factor)) \(whole(low)) \(whole(high)) \(context)"
    case .divided(let divisors): return "\(theta) by \(divisors.count) divisors"
    }
  }
}
