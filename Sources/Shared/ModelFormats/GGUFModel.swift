import StrictJSON

/// Opens a GGUF file, or by any of them the parts of one.
func openGGUF(_ path: String) throws(ModelFormatError) -> OpenModel {
  let parts = try GGUFParts(path)
  let family = try parts.metadata.family()
  let (places, unknown) = try parts.places(in: family)
  let config = GGUFConfig(
    parts.metadata, family: family, tensors: places.mapValues(\.tensor), divisors: try parts.rotaryDivisors())
  var configuration = try config.configuration(modelID: ModelConfiguration.modelID(fromPath: path))
  try configuration.check(path: path)
  // After what the metadata say: a key that is refused explains a tensor that no such model has.
  let required = Set(configuration.requiredTensors.map(\.name))
  let others = places.filter { !required.contains($0.key) }.map(\.value.tensor.name) + unknown
  if let name = others.min() { throw parts.unknownTensor(name, in: family, configuration) }
  configuration = configuration.withQuantization { places[$0]?.tensor.type.rawValue }
  return try OpenModel(
    path: path, configuration: configuration,
    tokenizerDescription: try parts.metadata.tokenizer(vocabulary: configuration.vocabulary),
    store: GGUFTensors(
      files: parts.parts.map(\.file), places: places,
      permutedHeadDim: family.isPermutedInGGUF ? configuration.headDim : nil))
}

extension GGUFParts {
  /// Where the tensors lie, by the names that they have in the family's checkpoints; and GGUF's names of those that have
  /// none.
  func places(
    in family: ModelFamily
  ) throws(ModelFormatError) -> (places: [String: GGUFTensors.Place], unknown: [String]) {
    var places: [String: GGUFTensors.Place] = [:]
    var unknown: [String] = []
    for (number, part) in parts.enumerated() {
      for tensor in part.header.tensors where tensor.name != GGUFConfig.divisorsName {
        guard let name = family.huggingFaceName(ofGGUF: tensor.name) else {
          unknown.append(tensor.name)
          continue
        }
        guard places.updateValue(GGUFTensors.Place(file: number, tensor: tensor), forKey: name) == nil else {
          throw .malformed(
            path: part.file.path, place: "tensor '\(tensor.name)'", problem: "it is there twice, under another name too"
          )
        }
        guard tensor.dimensions.count > 1 || tensor.type.blockLength == 1 else {
          throw .unsupportedTensorType(
            path: part.file.path, tensor: tensor.name, type: tensor.type.rawValue,
            supported: "F32, F16 or BF16 for norms and biases")
        }
      }
    }
    return (places, unknown)
  }

  /// What the frequencies of the rotation are divided by; nil where the file has no such tensor.
  func rotaryDivisors() throws(ModelFormatError) -> [Float]? {
    for part in parts {
      guard let tensor = part.header.tensors.first(where: { $0.name == GGUFConfig.divisorsName }) else { continue }
      let count = tensor.dimensions.reduce(1, *)
      guard tensor.dimensions.count == 1, count <= 1 << 16 else {
        throw .wrongShape(
          path: part.file.path, tensor: tensor.name, found: tensor.dimensions.reversed(), expected: [count])
      }
      var values = [Float](repeating: 0, count: count)
      unsafe values.withUnsafeMutableBufferPointer { target in
        unsafe tensor.type.widen(UnsafeRawBufferPointer(rebasing: part.file.bytes[tensor.range]), into: target)
      }
      return values
    }
    return nil
  }

  /// Of a tensor that the model does not have.
  func unknownTensor(_ name: String, in family: ModelFamily, _ configuration: ModelConfiguration) -> ModelFormatError {
    let isFused = name.contains(".attn_qkv.")
    return .unsupported(
      path: metadata.path, what: "a tensor",
      found: "'\(name)'" + (isFused ? ", which has queries, keys and values in one" : ""),
      supported: "those of \(family.name) models with \(configuration.layers) layers"
        + (isFused ? ", where they are attn_q, attn_k and attn_v; convert the model without --fuse-qkv" : ""))
  }
}

/// The tensors of mapped GGUF files under Hugging Face's names.
///
/// For llama.cpp's plain rotation, which turns neighbours, the converter permutes the rows of q and k and the values of
/// their biases: within a head, row 2j + i of the file is row i * headDim/2 + j of the checkpoint. Reading undoes it.
final class GGUFTensors: TensorStore {
  struct Place {
    let file: Int
    let tensor: GGUFHeader.Tensor
  }

  private let files: [MappedFile]
  private let places: [String: Place]
  /// The head size, where queries and keys are permuted.
  private let permutedHeadDim: Int?
  let names: [String]

  init(files: [MappedFile], places: [String: Place], permutedHeadDim: Int?) {
    self.files = files
    self.places = places
    self.permutedHeadDim = permutedHeadDim
    names = places.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  func shape(of name: String) -> [Int]? { places[name].map { $0.tensor.dimensions.reversed() } }

  func storedType(of name: String) -> String? { places[name]?.tensor.type.rawValue }

  func read(_ name: String, rows: Range<Int>, into target: UnsafeMutableBufferPointer<Float>) {
    let rowLength = target.count / max(1, rows.count)
    unsafe forEachRun(of: name, rows) { type, first, count, bytes in
      unsafe type.widen(
        bytes, into: UnsafeMutableBufferPointer(rebasing: target[first * rowLength..<(first + count) * rowLength]))
    }
  }

  func readStored(_ name: String, rows: Range<Int>, into target: UnsafeMutableRawBufferPointer) {
    let rowSize = target.count / max(1, rows.count)
    unsafe forEachRun(of: name, rows) { _, first, _, bytes in
      unsafe UnsafeMutableRawBufferPointer(rebasing: target[(first * rowSize)...]).copyMemory(from: bytes)
    }
  }

  /// The stored rows in the checkpoint's order, as many at once as follow each other in the file: `body` gets their type,
  /// the place of the first among `rows`, how many they are, and their bytes.
  private func forEachRun(
    of name: String, _ rows: Range<Int>,
    _ body: (_ type: ElementType, _ first: Int, _ count: Int, UnsafeRawBufferPointer) -> Void
  ) {
    guard let place = places[name] else { preconditionFailure("no tensor '\(name)'") }
    let tensor = place.tensor
    let bytes = unsafe UnsafeRawBufferPointer(rebasing: files[place.file].bytes[tensor.range])
    // The rows of a vector are its values, which are of a plain type.
    let rowCount = max(
      1, tensor.dimensions.count == 1 ? tensor.dimensions[0] : tensor.dimensions.dropFirst().reduce(1, *))
    let rowSize = bytes.count / rowCount
    func run(_ first: Int, _ stored: Range<Int>) {
      unsafe body(
        tensor.type, first, stored.count,
        UnsafeRawBufferPointer(rebasing: bytes[stored.lowerBound * rowSize..<stored.upperBound * rowSize]))
    }
    guard let permutedHeadDim, isPermutedInGGUF(name) else { return run(0, rows) }
    for (index, row) in rows.enumerated() {
      let source = rowInGGUF(of: row, headDim: permutedHeadDim)
      run(index, source..<source + 1)
    }
  }
}

/// Whether the converter permutes a tensor, by its checkpoint's name, in the families where it permutes.
func isPermutedInGGUF(_ name: String) -> Bool { name.contains(".q_proj.") || name.contains(".k_proj.") }

/// Where the converter puts a row of q or k.
func rowInGGUF(of row: Int, headDim: Int) -> Int {
  let (head, inHead) = row.quotientAndRemainder(dividingBy: headDim)
  let (half, pair) = inHead.quotientAndRemainder(dividingBy: headDim / 2)
  return head * headDim + 2 * pair + half
}
