internal import LinearAlgebra

/// The keys and values of one sequence, in all layers, in blocks of positions that are added as it grows.
///
/// A block lies as (layer, keys or values, head, position, component), so that a head's keys are one matrix.
/// `@unchecked Sendable`: grown by the thread that runs the generation, between forward passes; within one, each tile
/// writes positions of its own, and what it reads was written in an earlier phase.
final class KeyValueCache: @unchecked Sendable {
  /// 64 positions of SmolLM2-135M are 2.8 MiB.
  static let blockPositions = 64

  private let shape: ModelShape
  private var blocks: [FloatBuffer] = []
  /// Positions that are filled.
  var count = 0

  init(shape: ModelShape) { self.shape = shape }

  /// Of one that has room for `positions`.
  static func byteCount(shape: ModelShape, positions: Int) -> Int {
    let block = shape.layers * 2 * shape.keyValueHeads * shape.headDimension * blockPositions
    return (positions + blockPositions - 1) / blockPositions * block * MemoryLayout<Float>.stride
  }

  var byteCount: Int { blocks.reduce(0) { $0 + $1.count * MemoryLayout<Float>.stride } }

  /// Makes room for `positions` in all.
  func reserve(_ positions: Int) {
    let headBlock = Self.blockPositions * shape.headDimension
    while blocks.count * Self.blockPositions < positions {
      blocks.append(FloatBuffer(count: shape.layers * 2 * shape.keyValueHeads * headBlock))
    }
  }

  /// Takes the first `positions` of another sequence's, which began with the same tokens under the same weights.
  func copy(_ other: KeyValueCache, positions: Int) {
    precondition(count == 0 && positions <= other.count, "\(positions) of \(other.count) positions behind \(count)")
    reserve(positions)
    for block in 0..<(positions + Self.blockPositions - 1) / Self.blockPositions {
      unsafe blocks[block].pointer.update(from: other.blocks[block].pointer, count: blocks[block].count)
    }
    count = positions
  }

  /// The keys of a head in a block, (blockPositions, headDimension).
  func keys(layer: Int, head: Int, block: Int) -> UnsafeMutablePointer<Float> {
    let index = layer * 2 * shape.keyValueHeads + head
    return unsafe blocks[block].pointer + index * Self.blockPositions * shape.headDimension
  }

  /// The values of a head in a block, (blockPositions, headDimension).
  func values(layer: Int, head: Int, block: Int) -> UnsafeMutablePointer<Float> {
    unsafe keys(layer: layer, head: head + shape.keyValueHeads, block: block)
  }
}
