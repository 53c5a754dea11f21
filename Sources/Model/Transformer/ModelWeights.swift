internal import LinearAlgebra
internal import ModelFormats

/// The weights of a model as f32 in one block: embeddings, head, last norm, then layer by layer its matrices, each
/// row-major (outputs, inputs) as in Hugging Face's checkpoints, and its vectors.
final class ModelWeights: Sendable {
  let shape: ModelShape
  private let rotaries: [RotaryTable]
  private let buffer: FloatBuffer
  private let places: Places

  /// Lays out a model without reading it.
  init(shape: ModelShape) {
    self.shape = shape
    places = Places(shape)
    buffer = FloatBuffer(count: places.count)
    rotaries = shape.configuration.rotations.map {
      RotaryTable($0, headDimension: shape.headDimension, context: shape.context)
    }
  }

  /// (vocabulary, hidden)
  var embedding: UnsafeMutablePointer<Float> { unsafe buffer.pointer }
  /// (vocabulary, hidden); the embedding itself where the model ties them.
  var head: UnsafeMutablePointer<Float> { unsafe buffer.pointer + places.head }
  /// (hidden)
  var finalNorm: UnsafeMutablePointer<Float> { unsafe buffer.pointer + places.finalNorm }

  /// The matrices of a layer, stage by stage; see ``Stage/offset``.
  func layer(_ layer: Int) -> UnsafeMutablePointer<Float> {
    unsafe buffer.pointer + places.layers + layer * places.layerStride
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
    for (row, token) in tokens.enumerated() {
      let target = unsafe x.pointer + row * hidden
      unsafe target.update(from: embedding + Int(token) * hidden, count: hidden)
      if scale != 1 { unsafe multiplyElements(target, by: scale, count: hidden) }
    }
  }

  /// y (rows, tokens), `stride` apart: what some tokens of the vocabulary get from inputs of the head, (rows, hidden).
  func logits(
    of input: UnsafePointer<Float>, rows: Int, tokens: Range<Int>, _ form: LogitForm, to y: UnsafeMutablePointer<Float>,
    stride: Int
  ) {
    unsafe multiplyTransposed(
      rows: rows, columns: tokens.count, inner: shape.hidden, x: input, xStride: shape.hidden,
      weights: head + tokens.lowerBound * shape.hidden, y: y, yStride: stride)
    unsafe form.apply(y, rows: rows, columns: tokens.count, stride: stride)
  }

  var byteCount: Int { buffer.count * MemoryLayout<Float>.stride }
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
  let head: Int
  let finalNorm: Int
  let layers: Int
  let layerStride: Int
  // Within a layer:
  let norms: [Int]
  let headNorms: [Int]
  let biases: [Stage.Kind: Int]
  let count: Int

  init(_ shape: ModelShape) {
    let configuration = shape.configuration
    var end = 0
    func take(_ count: Int) -> Int {
      defer { end += (count + 15) / 16 * 16 }
      return end
    }
    _ = take(shape.vocabulary * shape.hidden)
    head = configuration.tiedEmbeddings ? 0 : take(shape.vocabulary * shape.hidden)
    finalNorm = take(shape.hidden)
    layers = end
    end = 0
    _ = take(shape.layerSize)
    norms = configuration.norms.tensorNames.map { _ in take(shape.hidden) }
    headNorms =
      configuration.hasHeadNorms ? ModelConfiguration.headNormNames.map { _ in take(shape.headDimension) } : []
    var biases: [Stage.Kind: Int] = [:]
    for stage in shape.stages where stage.hasBias { biases[stage.kind] = take(stage.outputs) }
    self.biases = biases
    layerStride = end
    count = layers + shape.layers * layerStride
  }
}

extension ModelWeights {
  /// Where a tensor of the configuration's list lies.
  func place(of name: String) -> UnsafeMutablePointer<Float>? {
    switch name {
    case "model.embed_tokens.weight": return unsafe embedding
    case "lm_head.weight": return unsafe head
    case "model.norm.weight": return unsafe finalNorm
    default: break
    }
    let parts = name.split(separator: ".", maxSplits: 3)
    guard parts.count == 4, parts[1] == "layers", let layer = Int(parts[2]), (0..<shape.layers).contains(layer) else {
      return nil
    }
    let inLayer = String(parts[3])
    let block = unsafe self.layer(layer)
    if let index = shape.configuration.norms.tensorNames.firstIndex(of: inLayer) {
      return unsafe block + places.norms[index]
    }
    if let index = ModelConfiguration.headNormNames.firstIndex(of: inLayer), index < places.headNorms.count {
      return unsafe block + places.headNorms[index]
    }
    for stage in shape.stages {
      for matrix in stage.matrices {
        if matrix.projection.tensorName == inLayer {
          return unsafe block + stage.offset + matrix.outputs.lowerBound * stage.inputs
        }
        if matrix.projection.biasName == inLayer {
          return unsafe bias(layer, stage).map { unsafe $0 + matrix.outputs.lowerBound }
        }
      }
    }
    return nil
  }

  /// A target matrix by its number in the layout.
  func matrix(_ index: Int) -> UnsafeMutablePointer<Float> {
    let (layer, number) = index.quotientAndRemainder(dividingBy: shape.matrices.count)
    for stage in shape.stages {
      for matrix in stage.matrices where matrix.number == number {
        return unsafe self.layer(layer) + stage.offset + matrix.outputs.lowerBound * stage.inputs
      }
    }
    preconditionFailure("the layout has no matrix \(index)")
  }
}
