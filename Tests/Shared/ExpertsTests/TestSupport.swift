import Digests
import Experts
import ModelFormats
import Multipliers

func digest(_ letter: Character) -> Digest { SHA256.digest(Array(String(letter).utf8)) }

/// Two layers of q (4 x 4) and up (6 x 4): rank 4 each.
func signature(
  _ name: String = "tiny", modelID: String = "Tiny-1M", digest letter: Character = "a", rank: Int = 4,
  factored: (String) -> Bool = { _ in true }
) -> ModelSignature {
  let matrices = (0..<2).flatMap { (layer: Int) -> [TargetMatrix] in
    [
      TargetMatrix(name: "model.layers.\(layer).self_attn.q_proj.weight", rows: rank, columns: rank, layer: layer),
      TargetMatrix(name: "model.layers.\(layer).mlp.up_proj.weight", rows: rank + 2, columns: rank, layer: layer),
    ].map { (matrix: TargetMatrix) in
      var matrix = matrix
      matrix.isFactored = factored(matrix.name)
      return matrix
    }
  }
  return ModelSignature(
    name: name, modelID: modelID, digest: digest(letter), architecture: "LlamaForCausalLM",
    layout: MultiplierLayout(matrices))
}

/// An expert file under construction.
struct ExpertDraft {
  var metadata: [String: String] = [
    "t2.format": "t2-expert", "t2.version": "1", "t2.name": "alpha", "t2.param_space": "multiplier", "t2.max_mult": "1",
    "t2.rescale": "none", "t2.base.digest": digest("a").description,
  ]
  var tensors: [String: [Float]] = [
    "model.layers.0.self_attn.q_proj.weight": [1, 1.5, 0.5, 1],
    "model.layers.1.mlp.up_proj.weight": [0.9, 1, 1.1, 1.2],
  ]

  var bytes: [UInt8] {
    safetensorsBytes(
      tensors: tensors.map { SafetensorsTensor(name: $0.key, shape: [$0.value.count], values: $0.value) },
      metadata: metadata.map { ($0.key, $0.value) })
  }

  func read(fileName: String = "dropped.safetensors") throws(ExpertFileError) -> ExpertFile {
    try ExpertFile.read(bytes: bytes, fileName: fileName)
  }

  func validated(_ models: [ModelSignature] = [signature()]) throws(ExpertFileError) -> ValidatedExpert {
    try read().validated(against: models)
  }

  func problem(_ models: [ModelSignature] = [signature()]) -> ExpertFileError? {
    do throws(ExpertFileError) {
      _ = try validated(models)
      return nil
    } catch {
      return error
    }
  }
}

extension ValidatedExpert {
  var warningCodes: [ExpertWarning.Code] { warnings.map(\.code) }
}
