package import ModelFormats
import Multipliers
import StrictJSON

/// An expert as the paper's reference code saves it, bound to a model of ours.
///
/// There are two kinds. `learnable_params.pt` is a dictionary of raw parameters under the base's own names.
/// `policy_params.pt` is a module's state, whose names are positions in a list: `learnable_params_module_list.7`. The list
/// was made by walking through the base's `state_dict()` and taking what has "mlp" in its name; Hugging Face's Llama
/// registers a layer's matrices as gate, up, down, and layers by number. So position 7 is `up` of layer 2. That order is
/// our layout's too, and the fixtures of the tests come from a `state_dict()` of transformers. All three have the same
/// rank, so no length would tell if it were another one.
///
/// The parameters are logits: s = sigmoid(p), times 1, and then the nuclear norm is restored.
package struct SakanaExpert: Sendable {
  private let vectors: [SafetensorsTensor]
  private let model: ModelSignature

  private static let positionPrefix = "learnable_params_module_list."

  package init(_ file: TorchFile, for model: ModelSignature) throws(ExpertFileError) {
    self.model = model
    let matrices = model.layout.matrices
    let positions = file.tensors.filter { $0.name.hasPrefix(Self.positionPrefix) }
    guard !file.tensors.isEmpty else { throw .notSakana(problem: "it is empty") }
    var found: [(matrix: Int, tensor: TorchFile.Tensor)] = []
    if positions.isEmpty {
      for tensor in file.tensors {
        guard let matrix = model.layout.index(of: tensor.name) else {
          throw .unknownMatrix(
            tensor: tensor.name, model: model.name, nearest: nearestName(to: tensor.name, among: matrices.map(\.name)))
        }
        found.append((matrix, tensor))
      }
    } else {
      let expected = matrices.indices.filter { matrices[$0].name.contains(".mlp.") }
      if let other = file.tensors.first(where: { !$0.name.hasPrefix(Self.positionPrefix) }) {
        throw .notSakana(problem: "beside positions it has '\(other.name.excerpt)'")
      }
      guard positions.count == expected.count else {
        throw .wrongCount(found: positions.count, expected: expected.count, model: model.name)
      }
      for tensor in positions {
        let text = tensor.name.dropFirst(Self.positionPrefix.count)
        // Written as the number is: "07" would be a second 7.
        guard let position = Int(text), expected.indices.contains(position), "\(position)" == text else {
          throw .notSakana(problem: "'\(tensor.name.excerpt)' is not a position from 0 to \(expected.count - 1)")
        }
        found.append((expected[position], tensor))
      }
    }
    for (matrix, tensor) in found {
      guard tensor.shape.count == 1 else { throw .notAVector(tensor: tensor.name, shape: tensor.shape) }
      guard tensor.shape[0] == matrices[matrix].rank else {
        throw .wrongLength(
          tensor: tensor.name, found: tensor.shape[0], rank: matrices[matrix].rank, model: model.name)
      }
    }
    vectors = found.map { matrix, tensor in
      SafetensorsTensor(name: matrices[matrix].name, shape: tensor.shape, values: file.floats(tensor))
    }
  }

  /// The bytes of an expert file. The base is the one that the importer named: the reference's files say nothing of theirs.
  package func bytes(name: String, label: String?) -> [UInt8] {
    var metadata = ExpertMetadata()
    metadata.name = name
    metadata.label = label
    metadata.parameterSpace = .logit
    metadata.rescale = .nuclear
    metadata.baseModelID = model.modelID
    metadata.baseDigest = model.digest
    metadata.baseArchitecture = model.architecture
    metadata.summary = "imported from a .pt file of the reference code"
    return safetensorsBytes(tensors: vectors, metadata: metadata.entries)
  }
}
