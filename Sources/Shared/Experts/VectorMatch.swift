import ModelFormats
import Multipliers
import StrictJSON

/// Which tensors of a file are the vectors of which matrices of a model, by their names and shapes alone.
///
/// What is certain is read, and said: a wrapper's prefix that all names share, `.weight` that all lack, a vector as a
/// matrix of one row, a step count beside the vectors. Anything else that does not fit is an error.
struct VectorMatch {
  /// In the model's order; `tensor` is the place in the file's list.
  let vectors: [(matrix: Int, tensor: Int)]
  let warnings: [ExpertWarning]

  init(
    _ tensors: [(name: String, shape: [Int])], in layout: MultiplierLayout, of model: String
  ) throws(ExpertFileError) {
    if let other = OtherTensors(tensors) { throw .notAnExpert(other) }
    let places = tensors.indices.filter { !Self.isBookkeeping(tensors[$0], layout) }
    let vectorPlaces = places.isEmpty ? Array(tensors.indices) : places
    let names = vectorPlaces.map { tensors[$0].name }
    guard let mending = NameMending(of: names, fits: { layout.index(of: $0) != nil }) else {
      throw Self.misfit(vectorPlaces.map { tensors[$0] }, layout, model)
    }
    var vectors: [(matrix: Int, tensor: Int)] = []
    for place in vectorPlaces.sorted(by: { UTF8Key(tensors[$0].name) < UTF8Key(tensors[$1].name) }) {
      let (name, shape) = tensors[place]
      guard !shape.isEmpty, !OtherTensors.isMatrix(shape) else { throw .notAVector(tensor: name, shape: shape) }
      guard let matrix = layout.index(of: mending(name)) else {
        throw Self.misfit(vectorPlaces.map { tensors[$0] }, layout, model)
      }
      vectors.append((matrix, place))
    }
    vectors.sort { $0.matrix < $1.matrix }
    for (matrix, place) in vectors {
      try Self.check(tensors[place], hasRankOf: layout.matrices[matrix], of: model)
    }
    self.vectors = vectors
    let example = tensors[vectors[0].tensor].name
    warnings =
      mending.warnings(example: example) + Self.rows(vectors.map { tensors[$0.tensor] })
      + Self.passedOver(tensors.indices.filter { !vectorPlaces.contains($0) }.map { tensors[$0].name })
  }

  init(vectors: [(matrix: Int, tensor: Int)], warnings: [ExpertWarning]) {
    self.vectors = vectors
    self.warnings = warnings
  }

  /// One value under a name that stands for no layer: `global_step`.
  private static func isBookkeeping(_ tensor: (name: String, shape: [Int]), _ layout: MultiplierLayout) -> Bool {
    tensor.shape.allSatisfy { $0 == 1 } && layout.index(of: tensor.name) == nil && !tensor.name.contains("layers.")
      && !tensor.name.hasSuffix(".weight")
  }

  /// Its values are those of a vector of the matrix's rank.
  static func check(
    _ tensor: (name: String, shape: [Int]), hasRankOf matrix: TargetMatrix, of model: String
  ) throws(ExpertFileError) {
    let count = tensor.shape.reduce(1, *)
    guard count == matrix.shortSide else {
      throw .wrongLength(tensor: tensor.name, found: count, rank: matrix.shortSide, model: model)
    }
  }

  /// The first matrix, in the model's order, of which the vector has another length: of an expert for another model, which
  /// has other shapes, that says more than a layer too many. Otherwise the first name that no matrix has, with what is known
  /// to be around all names.
  private static func misfit(
    _ tensors: [(name: String, shape: [Int])], _ layout: MultiplierLayout, _ model: String
  ) -> ExpertFileError {
    let names = tensors.map(\.name)
    let wrapper = WrapperPrefix(knownIn: names)
    func strip(_ name: String) -> String { wrapper?.strip(name) ?? name }
    let known = tensors.compactMap { tensor in layout.index(of: strip(tensor.name)).map { ($0, tensor) } }
    for (matrix, tensor) in known.sorted(by: { $0.0 < $1.0 }) where !OtherTensors.isMatrix(tensor.shape) {
      do throws(ExpertFileError) { try check(tensor, hasRankOf: layout.matrices[matrix], of: model) } catch {
        return error
      }
    }
    let unknown = names.sorted { UTF8Key($0) < UTF8Key($1) }.first { layout.index(of: strip($0)) == nil }
    let name = unknown ?? names[0]
    return .unknownMatrix(
      tensor: name, model: model, nearest: nearestName(to: strip(name), among: layout.matrices.map(\.name)),
      wrapper: wrapper?.description)
  }

  static func rows(_ tensors: [(name: String, shape: [Int])]) -> [ExpertWarning] {
    let rows = tensors.filter { $0.shape.count > 1 }
    guard let first = rows.first else { return [] }
    return [
      ExpertWarning(
        .rowShape,
        "\(rows.count) of \(tensors.count) tensors have a shape such as \(first.shape), and are read as vectors; the first "
          + "is '\(first.name)'")
    ]
  }

  static func passedOver(_ names: [String]) -> [ExpertWarning] {
    guard !names.isEmpty else { return [] }
    let shown = names.map { "'\($0)'" }.excerpt
    return [ExpertWarning(.passedOver, "passed over, since it is the vector of no matrix: \(shown)")]
  }
}
