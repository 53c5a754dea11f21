internal import Glibc
internal import LinearAlgebra
internal import ModelFormats

/// The weights of a model as f32 in one block: embeddings, head, norms, then the layers' matrices, each row-major
/// (outputs, inputs) as in Hugging Face's checkpoints.
final class ModelWeights: Sendable {
  let shape: ModelShape
  let rotary: RotaryTable
  private let buffer: FloatBuffer
  private let isTied: Bool

  /// Alignment of tensors in floats: a cache line.
  private static let alignment = 16

  /// Lays out a model without reading it.
  init(shape: ModelShape, isTied: Bool, rotary: RotaryTable) {
    self.shape = shape
    self.isTied = isTied
    self.rotary = rotary
    buffer = FloatBuffer(count: Self.layersOffset(shape, isTied) + shape.layers * Self.layerStride(shape))
  }

  private static func aligned(_ count: Int) -> Int { (count + alignment - 1) / alignment * alignment }
  private static func layerStride(_ shape: ModelShape) -> Int { aligned(shape.layerSize) }
  private static func headOffset(_ shape: ModelShape, _ isTied: Bool) -> Int {
    isTied ? 0 : aligned(shape.vocabulary * shape.hidden)
  }
  private static func normsOffset(_ shape: ModelShape, _ isTied: Bool) -> Int {
    headOffset(shape, isTied) + aligned(shape.vocabulary * shape.hidden)
  }
  private static func layersOffset(_ shape: ModelShape, _ isTied: Bool) -> Int {
    normsOffset(shape, isTied) + (1 + 2 * shape.layers) * aligned(shape.hidden)
  }

  /// (vocabulary, hidden)
  var embedding: UnsafeMutablePointer<Float> { unsafe buffer.pointer }
  /// (vocabulary, hidden); the embedding itself where the model ties them.
  var head: UnsafeMutablePointer<Float> { unsafe buffer.pointer + Self.headOffset(shape, isTied) }
  /// (hidden)
  var finalNorm: UnsafeMutablePointer<Float> { unsafe buffer.pointer + Self.normsOffset(shape, isTied) }
  func inputNorm(_ layer: Int) -> UnsafeMutablePointer<Float> {
    unsafe finalNorm + (1 + 2 * layer) * Self.aligned(shape.hidden)
  }
  func postNorm(_ layer: Int) -> UnsafeMutablePointer<Float> {
    unsafe finalNorm + (2 + 2 * layer) * Self.aligned(shape.hidden)
  }
  /// The seven matrices of a layer, as ``ModelShape/offset(_:)`` lays them out.
  func layer(_ layer: Int) -> UnsafeMutablePointer<Float> {
    unsafe buffer.pointer + Self.layersOffset(shape, isTied) + layer * Self.layerStride(shape)
  }
  func matrix(_ layer: Int, _ projection: Projection) -> UnsafeMutablePointer<Float> {
    unsafe self.layer(layer) + shape.offset(projection)
  }

  var byteCount: Int { buffer.count * MemoryLayout<Float>.stride }
}

/// The angles of the rotary embedding for every position of the context, computed in float as PyTorch does.
final class RotaryTable: Sendable {
  private let buffer: FloatBuffer  // (context, 2, half): cosines, then sines
  private let half: Int

  init(headDimension: Int, context: Int, theta: Double) {
    half = headDimension / 2
    buffer = FloatBuffer(count: context * 2 * half)
    let frequencies = (0..<half).map { Float(1) / Float(pow(theta, Double(2 * $0) / Double(headDimension))) }
    for position in 0..<context {
      let row = unsafe buffer.pointer + position * 2 * half
      for (i, frequency) in frequencies.enumerated() {
        let angle = Double(Float(position) * frequency)
        unsafe row[i] = Float(cos(angle))
        unsafe row[half + i] = Float(sin(angle))
      }
    }
  }

  /// Cosines and sines of a position, (half) each.
  func angles(at position: Int) -> (cosines: UnsafePointer<Float>, sines: UnsafePointer<Float>) {
    let row = unsafe UnsafePointer(buffer.pointer + position * 2 * half)
    return unsafe (row, row + half)
  }
}

/// ln x in double, by libm.
func logarithm(_ x: Double) -> Double { log(x) }
