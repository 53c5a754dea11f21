internal import CKernels
internal import LinearAlgebra
internal import ModelFormats

/// The weights of a model in one block of memory: the matrices as the file stores them, row-major (outputs, inputs) as in
/// Hugging Face's checkpoints; norms and biases as floats. Products widen what they read; see ``StoredRows``.
///
/// The block is the model's own, not the mapped file: nobody who writes to the file changes what is computed, or ends the
/// process by cutting it short.
final class ModelWeights: Sendable {
  let shape: ModelShape
  private let rotaries: [RotaryTable]
  private let memory: FloatBuffer
  private let places: Places

  /// Lays out a model without reading it.
  /// - Parameter types: of the matrices, by the names of their tensors.
  init(shape: ModelShape, types: (String) -> ElementType) {
    self.shape = shape
    places = Places(shape, types)
    memory = FloatBuffer(count: places.floatCount)
    rotaries = shape.configuration.rotations.map {
      RotaryTable($0, headDimension: shape.headDimension, context: shape.context)
    }
  }

  /// (vocabulary, hidden)
  var embedding: StoredRows { unsafe rows(places.embedding) }
  /// (vocabulary, hidden); the embedding itself where the model ties them.
  var head: StoredRows { unsafe rows(places.head) }
  /// (hidden)
  var finalNorm: UnsafeMutablePointer<Float> { unsafe memory.pointer + places.finalNorm }

  /// (outputs, inputs) of a target matrix, by its number in the layout.
  func matrix(_ index: Int) -> StoredRows { unsafe rows(places.targets[index]) }

  private func rows(_ place: Places.Matrix) -> StoredRows {
    unsafe StoredRows(type: place.type, start: UnsafeRawPointer(memory.pointer + place.start), stride: place.stride)
  }

  /// The block of a layer's vectors.
  private func layer(_ layer: Int) -> UnsafeMutablePointer<Float> {
    unsafe memory.pointer + places.layers + layer * places.layerStride
  }

  /// (hidden), in the order of use.
  func norm(_ layer: Int, _ place: LayerNorm) -> UnsafeMutablePointer<Float>? {
    guard let index = place.index(in: shape.configuration.norms) else { return nil }
    return unsafe self.layer(layer) + places.norms[index]
  }

  /// (headDimension): what queries, or keys, are multiplied by once each head is normed; nil where they are not.
  func headNorm(_ layer: Int, ofKeys: Bool) -> UnsafeMutablePointer<Float>? {
    guard shape.configuration.hasHeadNorms else { return nil }
    return unsafe self.layer(layer) + places.headNorms[ofKeys ? 1 : 0]
  }

  /// (the stage's outputs), 0 for a matrix without; nil where none has one.
  func bias(_ layer: Int, _ stage: Stage) -> UnsafeMutablePointer<Float>? {
    guard stage.hasBias, let place = places.biases[stage.kind] else { return nil }
    return unsafe self.layer(layer) + place
  }

  /// The angles that turn a layer's queries and keys; nil where none do.
  func rotary(_ layer: Int) -> RotaryTable? { shape.configuration.attention[layer].rotation.map { rotaries[$0] } }

  /// Makes the angles of positions below `count`, before a pass asks for them.
  func reserve(positions count: Int) {
    for table in rotaries { table.reserve(count) }
  }

  /// x (rows, hidden) = the embeddings of tokens.
  func embed(_ tokens: [Int32], into x: FloatBuffer) {
    let (hidden, scale) = (shape.hidden, shape.configuration.embeddingScale)
    let table = unsafe embedding
    for (row, token) in tokens.enumerated() {
      let target = unsafe x.pointer + row * hidden
      unsafe table.from(Int(token)).widen(rows: 1, inner: hidden, into: target, outStride: hidden)
      if scale != 1 { unsafe multiplyElements(target, by: scale, count: hidden) }
    }
  }

  /// What they take in memory.
  var byteCount: Int { memory.count * MemoryLayout<Float>.stride }

  /// Of a target matrix, as it is stored.
  func matrixBytes(_ index: Int) -> Int { places.targets[index].byteCount }

  /// Of a tensor of that shape that its file stores as `type`, gaps aside: vectors are held as floats.
  static func heldBytes(_ dimensions: [Int], as type: ElementType) -> Int {
    guard dimensions.count == 2, let row = type.byteCount(of: dimensions[1]) else {
      return dimensions.reduce(1, *) * MemoryLayout<Float>.stride
    }
    return dimensions[0] * row
  }
}

/// The norms around a layer's two halves, as far as a model has them.
enum LayerNorm {
  case beforeAttention, afterAttention, beforeMLP, afterMLP

  /// Its place in ``Norms/tensorNames``.
  func index(in norms: Norms) -> Int? {
    switch (norms, self) {
    case (.before, .beforeAttention), (.around, .beforeAttention): 0
    case (.before, .beforeMLP), (.around, .afterAttention): 1
    case (.around, .beforeMLP): 2
    case (.around, .afterMLP): 3
    case (.before, .afterAttention), (.before, .afterMLP): nil
    }
  }
}

/// Where the tensors of a model begin in its block, in floats; each at a cache line.
private struct Places {
  struct Matrix {
    let type: t2_weight_type
    let start: Int
    let rows: Int
    let columns: Int
    /// Bytes of a row.
    let stride: Int
    var byteCount: Int { rows * stride }
  }

  let embedding: Matrix
  let head: Matrix
  /// By the layout.
  let targets: [Matrix]
  let finalNorm: Int
  /// The vectors of the layers.
  let layers: Int
  let layerStride: Int
  // Within a layer:
  let norms: [Int]
  let headNorms: [Int]
  let biases: [Stage.Kind: Int]
  let floatCount: Int

  init(_ shape: ModelShape, _ types: (String) -> ElementType) {
    let configuration = shape.configuration
    var end = 0
    func take(_ count: Int) -> Int {
      defer { end += (count + 15) / 16 * 16 }
      return end
    }
    func matrix(_ name: String, _ rows: Int, _ columns: Int) -> Matrix {
      let type = types(name)
      guard let bytes = type.byteCount(of: columns) else {
        preconditionFailure("rows of '\(name)' are not whole blocks of \(type.rawValue)")
      }
      let start = take((rows * bytes + MemoryLayout<Float>.stride - 1) / MemoryLayout<Float>.stride)
      return Matrix(type: type.kernelType, start: start, rows: rows, columns: columns, stride: bytes)
    }
    embedding = matrix(ModelConfiguration.embeddingName, shape.vocabulary, shape.hidden)
    head =
      configuration.tiedEmbeddings
      ? embedding : matrix(ModelConfiguration.headName, shape.vocabulary, shape.hidden)
    targets = configuration.targets.map { matrix($0.name, $0.rows, $0.columns) }
    finalNorm = take(shape.hidden)
    layers = end
    end = 0
    norms = configuration.norms.tensorNames.map { _ in take(shape.hidden) }
    headNorms =
      configuration.hasHeadNorms ? ModelConfiguration.headNormNames.map { _ in take(shape.headDimension) } : []
    var biases: [Stage.Kind: Int] = [:]
    for stage in shape.stages where stage.hasBias { biases[stage.kind] = take(stage.outputs) }
    self.biases = biases
    layerStride = end
    floatCount = layers + shape.layers * layerStride
  }
}

extension ModelWeights {
  /// Where a tensor of the configuration's list lies.
  @unsafe enum TensorPlace {
    /// (rows, columns) in whole blocks.
    case matrix(StoredRows, rows: Int, columns: Int)
    case vector(UnsafeMutablePointer<Float>, count: Int)
  }

  func place(of name: String) -> TensorPlace? {
    switch name {
    case ModelConfiguration.embeddingName: return unsafe tensor(places.embedding)
    case ModelConfiguration.headName: return unsafe tensor(places.head)
    case ModelConfiguration.finalNormName: return unsafe .vector(finalNorm, count: shape.hidden)
    default: break
    }
    let parts = name.split(separator: ".", maxSplits: 3)
    guard parts.count == 4, parts[1] == "layers", let layer = Int(parts[2]), (0..<shape.layers).contains(layer) else {
      return nil
    }
    let inLayer = String(parts[3])
    let block = unsafe self.layer(layer)
    if let index = shape.configuration.norms.tensorNames.firstIndex(of: inLayer) {
      return unsafe .vector(block + places.norms[index], count: shape.hidden)
    }
    if let index = ModelConfiguration.headNormNames.firstIndex(of: inLayer), index < places.headNorms.count {
      return unsafe .vector(block + places.headNorms[index], count: shape.headDimension)
    }
    for stage in shape.stages {
      for matrix in stage.matrices {
        if matrix.projection.tensorName == inLayer {
          return unsafe tensor(places.targets[shape.index(layer, matrix)])
        }
        if matrix.projection.biasName == inLayer {
          return unsafe bias(layer, stage).map {
            unsafe .vector($0 + matrix.outputs.lowerBound, count: matrix.outputs.count)
          }
        }
      }
    }
    return nil
  }

  private func tensor(_ place: Places.Matrix) -> TensorPlace {
    unsafe .matrix(rows(place), rows: place.rows, columns: place.columns)
  }

  /// All values of a tensor, row-major; nil where the model has none of that name.
  func values(_ name: String) -> [Float]? {
    switch unsafe place(of: name) {
    case .matrix(let stored, let rows, let columns)?:
      return unsafe [Float](unsafeUninitializedCapacity: rows * columns) { buffer, count in
        count = rows * columns
        guard let start = buffer.baseAddress else { return }
        unsafe stored.widen(rows: rows, inner: columns, into: start, outStride: columns)
      }
    case .vector(let start, let count)?: return unsafe Array(UnsafeBufferPointer(start: start, count: count))
    case nil: return nil
    }
  }

  /// A target matrix as floats, (outputs, inputs): in the scratch (``ScratchSlot/matrix``), where it is not stored so.
  func widened(_ index: Int, _ scratch: Scratch) -> UnsafePointer<Float> {
    let place = places.targets[index]
    let stored = unsafe rows(place)
    if let floats = unsafe stored.floats(inner: place.columns) { return unsafe floats }
    let target = unsafe scratch.floats(ScratchSlot.matrix, count: place.rows * place.columns)
    unsafe stored.widen(rows: place.rows, inner: place.columns, into: target, outStride: place.columns)
    return unsafe UnsafePointer(target)
  }
}
