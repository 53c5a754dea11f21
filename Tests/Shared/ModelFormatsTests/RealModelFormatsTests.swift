import Digests
import Glibc
import ModelFormats
import Testing

private let realModelPath = unsafe getenv("T2D_TEST_MODEL").map { unsafe String(cString: $0) }

/// SmolLM2-135M-Instruct.Q4_1.gguf. The digests were computed with PyPI's `gguf` 0.19.0 (its `dequantize`, q and k rows
/// permuted back by numpy), so every value of the file is compared bit by bit.
@Suite(.enabled(if: realModelPath != nil)) struct RealModelFormatsTests {
  private func model() throws -> OpenModel { try openModel(at: #require(realModelPath)) }

  @Test func theConfigurationIsThatOfTheModel() throws {
    let configuration = try model().configuration
    #expect(configuration.modelID == "SmolLM2-135M-Instruct")
    #expect([configuration.layers, configuration.hidden, configuration.intermediate] == [30, 576, 1536])
    #expect([configuration.heads, configuration.kvHeads, configuration.headDim] == [9, 3, 64])
    #expect([configuration.vocabulary, configuration.contextLength] == [49152, 8192])
    #expect(configuration.rotations == [Rotation(theta: 100_000)])
    #expect(configuration.rmsEpsilon == 1e-5)
    #expect(configuration.tiedEmbeddings)
    #expect(configuration.bosID == 1 && configuration.eosIDs == [2])
    #expect(configuration.quantization == "Q4_1")
    #expect(try model().parameterCount == 134_515_008)
    #expect(try model().targets.count == 210)
  }

  @Test func theTokenizerIsThatOfTheModel() throws {
    let description = try #require(try model().tokenizerDescription)
    guard case .gguf(let file) = description.kind else {
      Issue.record("\(description.kind)")
      return
    }
    #expect(file.pre == "smollm" && file.tokens.count == 49152 && file.types.count == 49152)
    #expect(file.merges.count == 48900 && file.addBOS != true && file.bos == 1 && file.eos == 2)
    #expect(description.chatTemplate?.contains("<|im_start|>") == true)
  }

  @Test func everyValueOfTheTargetsIsThatOfTheReferenceReader() throws {
    #expect(
      try model().digest().description == "sha256:ea9ade503f88b316b7a797794475aea1402ce10b9f0bf232459b76f8855e362b")
  }

  @Test func theOtherTensorsAreThoseOfTheReferenceReader() throws {
    let model = try model()
    for (name, expected) in [
      ("model.embed_tokens.weight", "3fd491c8066dd9dc1a2bf6796701526c82817d95c0ecabacdef3013c2b8bbbaa"),
      ("model.norm.weight", "3b87f8e27335e67fc08f159cabfd2d18f205d6c5b225a6f978153552bf01d559"),
      (
        "model.layers.7.post_attention_layernorm.weight",
        "e52d302a44b787668ebf6d3020d5628dec78272516bd498e213c856b83024fd1"
      ),
    ] {
      var hash = SHA256()
      try unsafe model.floats(name).withUnsafeBytes { unsafe hash.update($0) }
      #expect(hash.finish().hex == expected, "\(name)")
    }
  }

  @Test func rowsAloneAreThoseOfTheWhole() throws {
    let model = try model()
    for name in ["model.layers.3.self_attn.k_proj.weight", "model.layers.3.mlp.down_proj.weight"] {
      let whole = try model.floats(name)
      let length = whole.count / (model.shape(of: name)?[0] ?? 1)
      var part = [Float](repeating: 0, count: 70 * length)
      try unsafe part.withUnsafeMutableBufferPointer { try unsafe model.readRows(name, 60..<130, into: $0) }
      #expect(part == Array(whole[60 * length..<130 * length]))
    }
  }
}
