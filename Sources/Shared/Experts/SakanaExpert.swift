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
/// Either may be an entry of a checkpoint, beside its optimizer and its arguments: of all dictionaries in the file the one
/// is read that fits.
///
/// The parameters are logits: s = sigmoid(p), times 1, and then the nuclear norm is restored.
package struct SakanaExpert: Sendable {
  private let vectors: [SafetensorsTensor]
  /// What the importer should know; the file that is made of it says none of this.
  package let warnings: [ExpertWarning]
  private let model: ModelSignature

  private static let positionPrefix = "learnable_params_module_list."

  package init(_ file: TorchFile, for model: ModelSignature) throws(ExpertFileError) {
    self.model = model
    let dictionaries = file.dictionaries.filter { !$0.tensors.isEmpty }
    var fitting: [(dictionary: TorchFile.Dictionary, match: VectorMatch)] = []
    var problems: [(tensors: Int, error: ExpertFileError)] = []
    for dictionary in dictionaries {
      do throws(ExpertFileError) {
        fitting.append((dictionary, try Self.match(dictionary.tensors, model)))
      } catch {
        problems.append((dictionary.tensors.count, error))
      }
    }
    guard let (dictionary, match) = fitting.first else {
      // Of several dictionaries the largest is the one that was meant.
      throw problems.max { $0.tensors < $1.tensors }?.error ?? .notSakana(problem: "it is empty")
    }
    guard fitting.count == 1 else {
      let names = fitting.map { $0.dictionary.path.isEmpty ? "its outermost entries" : "'\($0.dictionary.path)'" }
      throw .notSakana(problem: "\(names.joined(separator: " and ")) fit alike, so save one of them alone")
    }
    var vectors: [SafetensorsTensor] = []
    for (matrix, place) in match.vectors {
      let tensor = dictionary.tensors[place]
      guard tensor.isRead else {
        throw .file(.unsupportedType(tensor: tensor.name, type: tensor.type, supported: TorchFile.readTypes))
      }
      let values = file.floats(tensor)
      vectors.append(
        SafetensorsTensor(name: model.layout.matrices[matrix].name, shape: [values.count], values: values))
    }
    self.vectors = vectors
    warnings =
      Self.warnings(reading: dictionary, in: file) + match.warnings
      + ExpertWarning.rounding(
        match.vectors.map { (dictionary.tensors[$0.tensor].name, dictionary.tensors[$0.tensor].isRounded) })
  }

  /// The tensors of a dictionary by their names, or by their positions.
  private static func match(_ all: [TorchFile.Tensor], _ model: ModelSignature) throws(ExpertFileError) -> VectorMatch {
    let tensors = all.map { (name: $0.name, shape: $0.shape) }
    if tensors.count == 1, tensors[0].shape.count == 1, model.layout.index(of: tensors[0].name) == nil,
      !tensors[0].name.contains(".")
    {
      throw .notSakana(
        problem:
          "it holds one vector, '\(tensors[0].name.excerpt)' of \(tensors[0].shape[0]) values, as a search saves the "
          + "coefficients with which it mixes experts (t2ctl takes such as --alpha)")
    }
    let positions = tensors.indices.filter { tensors[$0].name.contains(positionPrefix) }
    guard !positions.isEmpty else { return try VectorMatch(tensors, in: model.layout, of: model.name) }
    let others = tensors.indices.filter { !tensors[$0].name.contains(positionPrefix) }
    if let other = others.first(where: { tensors[$0].shape.contains { $0 > 1 } }) {
      throw .notSakana(problem: "beside positions it has '\(tensors[other].name.excerpt)'")
    }
    let names = positions.map { tensors[$0].name }
    guard let wrapper = WrapperPrefix(of: names, fits: { $0.hasPrefix(positionPrefix) }) else {
      throw .notSakana(problem: "'\(names[0].excerpt)' and others have not the same in front of '\(positionPrefix)'")
    }
    let matrices = model.layout.matrices
    let expected = matrices.indices.filter { matrices[$0].name.contains(".mlp.") }
    guard positions.count == expected.count else {
      throw .wrongCount(found: positions.count, expected: expected.count, model: model.name)
    }
    var vectors: [(matrix: Int, tensor: Int)] = []
    for place in positions {
      let tensor = tensors[place]
      let text = wrapper.strip(tensor.name).dropFirst(positionPrefix.count)
      // Written as the number is: "07" would be a second 7.
      guard let position = Int(text), expected.indices.contains(position), "\(position)" == text else {
        throw .notSakana(problem: "'\(tensor.name.excerpt)' is not a position from 0 to \(expected.count - 1)")
      }
      guard !tensor.shape.isEmpty, !OtherTensors.isMatrix(tensor.shape) else {
        throw .notAVector(tensor: tensor.name, shape: tensor.shape)
      }
      try VectorMatch.check(tensor, hasRankOf: matrices[expected[position]], of: model.name)
      vectors.append((expected[position], place))
    }
    let wrapping = wrapper.isEmpty ? [] : [ExpertWarning.wrapperPrefix(wrapper, example: names[0])]
    return VectorMatch(
      vectors: vectors.sorted { $0.matrix < $1.matrix },
      warnings: wrapping + VectorMatch.rows(positions.map { tensors[$0] })
        + VectorMatch.passedOver(others.map { tensors[$0].name }))
  }

  /// What of the file is not read: what lies beside the dictionary of vectors, and beside them in it.
  private static func warnings(reading dictionary: TorchFile.Dictionary, in file: TorchFile) -> [ExpertWarning] {
    let outer = file.dictionaries[0]
    var others = dictionary.others.map { "'\($0.name.excerpt)' (\($0.kind))" }
    if !dictionary.path.isEmpty {
      others += outer.others.filter { !"\(dictionary.path).".hasPrefix("\($0.name.excerpt).") }.map {
        "'\($0.name.excerpt)' (\($0.kind))"
      }
      others += outer.tensors.map { "'\($0.name.excerpt)' (a tensor)" }
    }
    guard !dictionary.path.isEmpty || !others.isEmpty else { return [] }
    let read = dictionary.path.isEmpty ? "" : "the vectors are those of its entry '\(dictionary.path)'"
    let beside = others.isEmpty ? "" : "passed over is what lies beside them: \(others.excerpt)"
    return [ExpertWarning(.passedOver, [read, beside].filter { !$0.isEmpty }.joined(separator: "; "))]
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
