import Experts
import Glibc
import ModelFormats
import Multipliers
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// The files are those of the reader's tests, from PyTorch and a Llama of transformers.
@Suite struct SakanaExpertTests {
  private static let directory = "\(repository)/Tests/Shared/ModelFormatsTests/Fixtures/"

  private func read(_ name: String) throws -> [UInt8] {
    try FileSystem.readAll(Self.directory + name, maximumBytes: 1 << 20)
  }

  private func torch(_ name: String) throws -> TorchFile { try TorchFile(try read(name + ".pt")) }

  /// The shapes of the script's Llama.
  private static let configuration = ModelConfiguration(
    modelID: "tiny", layers: 2, hidden: 8, intermediate: 12, heads: 2, kvHeads: 1, headDim: 4, vocabulary: 16,
    contextLength: 32, ropeTheta: 10000, rmsEpsilon: 1e-6, tiedEmbeddings: true)

  private func model(_ targets: [TargetMatrix] = configuration.targets) -> ModelSignature {
    ModelSignature(
      name: "m", modelID: "tiny", digest: digest("a"), architecture: "LlamaForCausalLM",
      layout: MultiplierLayout(targets))
  }

  /// sigmoid(p), by Euler's number and nothing of ours.
  private func multiplier(of logit: Double) -> Float { Float(1 / (1 + pow(2.718281828459045, -logit))) }

  private func problem(_ file: TorchFile, _ model: ModelSignature) -> String? {
    do throws(ExpertFileError) {
      _ = try SakanaExpert(file, for: model)
      return nil
    } catch {
      return error.description
    }
  }

  @Test func ourOrderOfMatricesIsThatOfTheStateDictionary() throws {
    let listed = try #require(parseJSON(read("torch.json"))["targets"]?.arrayValue)
    let theirs = listed.map { [$0["name"], $0["rows"], $0["columns"], $0["layer"]] }
    let ours = Self.configuration.targets.map { target -> [JSONValue?] in
      [.string(target.name), JSONValue(target.rows), JSONValue(target.columns), target.layer.map { JSONValue($0) }]
    }
    #expect(ours == theirs)
  }

  @Test(arguments: ["policy_params", "learnable_params"])
  func bothKindsGiveTheParametersUnderTheBasesNames(_ kind: String) throws {
    let bytes = try SakanaExpert(try torch(kind), for: model()).bytes(name: "gsm8k", label: "math")
    let file = try SafetensorsFile(bytes)
    // The script knows the names of both kinds.
    let named = try #require(parseJSON(read("torch.json"))["learnable_params"]?.arrayValue)
    #expect(file.tensors.count == 6)
    for entry in named {
      let values = entry["values"]?.arrayValue?.compactMap { $0.doubleValue.map { Float($0) } }
      #expect(try file.floats(#require(entry["name"]?.stringValue)) == values)
    }
    let expert = try ExpertFile.read(bytes: bytes, fileName: "x").validated(against: model())
    #expect(expert.name == "gsm8k" && expert.label == "math" && expert.baseMatch == .same)
    #expect(expert.metadata.parameterSpace == .logit && expert.metadata.maximumMultiplier == 1)
    #expect(expert.rescale == .nuclear && expert.warnings.isEmpty)
    #expect(file.metadata.contains { $0 == ("t2.mask", "sigmoid") })
    // The first parameter of layer 0's gate, and a matrix that no expert of theirs has.
    let gate = Self.configuration.targets.firstIndex { $0.name.hasSuffix("0.mlp.gate_proj.weight") } ?? 0
    let first = try #require(named[0]["values"]?.arrayValue?.first?.doubleValue)
    let multipliers = expert.multiplierVector.values[expert.layout.range(of: gate)]
    #expect(multipliers.first == multiplier(of: first))
    #expect(expert.multiplierVector.values[expert.layout.range(of: 0)].allSatisfy { $0 == 1 })
  }

  @Test func anExpertOfAnotherModelIsRefused() throws {
    let file = try torch("policy_params")
    let targets = Self.configuration.targets
    #expect(
      problem(file, model(Array(targets.prefix(7))))
        == "it has 6 vectors by position, model 'm' has 3 mlp matrices (gate, up and down of each layer); was it trained on "
        + "another model?")
    let wide = targets.map { TargetMatrix(name: $0.name, rows: $0.rows, columns: $0.columns + 8, layer: $0.layer) }
    #expect(problem(file, model(wide))?.contains("'learnable_params_module_list.0' has 8 values") == true)
    let named = try torch("learnable_params")
    #expect(problem(named, model(wide))?.contains("has 8 values, its matrix in model 'm' has rank 12") == true)
    #expect(
      problem(named, model(Array(targets.prefix(7))))?.contains(
        "'model.layers.1.mlp.down_proj.weight' is not a target matrix of model 'm'") == true)
    #expect(try problem(torch("kinds"), model())?.contains("'bfloat16' is not a target matrix") == true)
  }

  @Test func positionsAreAllThereAndNothingElseIs() throws {
    // Two mlp matrices of rank 8, as those files would need.
    let two = model(Array(Self.configuration.targets.suffix(2)))
    for (name, odd) in [("gap", "2"), ("padded", "01"), ("huge", "99999999999999999999")] {
      #expect(
        try problem(torch("positions-" + name), two)
          == "this is not an expert of the reference code: 'learnable_params_module_list.\(odd)' is not a position from 0 to 1; it "
          + "has learnable_params_module_list.0, .1 and so on, or the names of the base's matrices")
    }
    #expect(try problem(torch("positions-mixed"), two)?.contains("beside positions it has 'alpha'") == true)
    #expect(try problem(torch("empty"), two)?.contains("it is empty") == true)
  }
}
