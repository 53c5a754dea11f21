import ModelFormats
import TestSupport
import StrictJSON
import Testing

@testable import Experts

/// Expert files and records that were good once and are hostile now.
@Suite struct ExpertMutationTests {
  private static func use(_ expert: ValidatedExpert) throws {
    guard expert.multiplierVector.values.allSatisfy(\.isFinite) else { throw NotFinite() }
    _ = expert.summary
  }

  private struct NotFinite: Error {}

  @Test func aMutatedExpertIsReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      var logits = ExpertDraft()
      logits.metadata["t2.param_space"] = "logit"
      logits.metadata["t2.max_mult"] = "2"
      logits.metadata["t2.rescale"] = "nuclear"
      let problem = withstand([ExpertDraft().bytes, logits.bytes]) { bytes in
        try Self.use(try ExpertFile.read(bytes: bytes, fileName: "x.safetensors").validated(against: [signature()]))
      }
      #expect(problem == nil, "\(problem ?? "")")
    }
  }

  /// Its files are where it says, or it is refused.
  @Test func aMutatedIndexIsReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      let index: JSONValue = [
        "metadata": [:], "weight_map": ["a": "e-1-of-2.safetensors", "b": "e-2-of-2.safetensors"],
      ]
      let parts = ["a", "b"].enumerated().map { place, name in
        let tensor = SafetensorsTensor(name: name, shape: [2], values: [1, 2])
        return (
          "e-\(place + 1)-of-2.safetensors", safetensorsBytes(tensors: [tensor], metadata: [("t2.rescale", "none")])
        )
      }
      let problem = withstand([index.serialized()], count: 3000) { bytes in
        let joined = try ExpertIndex(bytes).joined(parts)
        guard try SafetensorsFile(joined).tensors.map(\.name) == ["a", "b"] else { throw NotFinite() }
      }
      #expect(problem == nil, "\(problem ?? "")")
    }
  }

  /// The values of its metadata, which the header's own rules leave alone.
  @Test func mutatedMetadataIsReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      var entries = JSONObject()
      for (key, value) in ExpertDraft().metadata { entries[key] = .string(value) }
      for (key, value) in [
        ("t2.label", "math"), ("t2.kind", "expert"), ("t2.mask", "none"), ("t2.metrics", #"{"acc":0.5}"#),
        ("t2.parents", "[1]"), ("t2.base.model_id", "Tiny-1M"), ("t2.unknown", "x"), ("format", "pt"),
      ] { entries[key] = .string(value) }
      let models = [signature(), signature("other", modelID: "Other", digest: "b")]
      let problem = withstand([JSONValue.object(entries).serialized()]) { bytes in
        var draft = ExpertDraft()
        draft.metadata = [:]
        for (key, value) in try parseJSON(bytes).objectValue?.members ?? [] {
          draft.metadata[key] = value.stringValue ?? value.jsonText
        }
        try Self.use(try draft.validated(models))
      }
      #expect(problem == nil, "\(problem ?? "")")
    }
  }

  @Test func mutatedSignaturesAreReadOrRefused() async {
    await #expect(processExitsWith: .success) {
      let model = withstand([signature().json.serialized()], count: 3000) { bytes in
        let model = try ModelSignature(json: parseJSON(bytes))
        _ = (model.layout.count, model.json)
      }
      #expect(model == nil, "\(model ?? "")")
    }
  }
}
