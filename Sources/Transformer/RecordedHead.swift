internal import LinearAlgebra

/// The head behind a recorded pass: log-probabilities forward, and from what a loss says of them the gradient of the head's
/// input.
///
/// Logits are kept where memory allows, and computed again otherwise, some rows at a time. What a loss says comes in as one
/// weight for each wanted token, dL/d ln p; ``fillGradient(_:columns:weights:)`` is the only place that turns it into
/// dL/d logits, so a loss over whole distributions (a KL to the base) has its place there too.
///
/// `@unchecked Sendable`: tiles write rows and columns of their own.
final class RecordedHead: @unchecked Sendable {
  private let pass: RecordedPass
  private let weights: ModelWeights
  private let targets: [[Int32]]
  private let logits: FloatBuffer?
  private let head: OutputHead
  /// Rows of a group: the gradient of its logits exists at a time.
  private let groups: [Range<Int>]
  private let vocabularyBlocks: [Range<Int>]
  private var normalizers: [Float] = []

  /// Bytes of the gradient of a group's logits: 128 rows of SmolLM2.
  private static let groupBytes = 26_000_000

  init(pass: RecordedPass, targets: [[Int32]], memory: Int) {
    self.pass = pass
    self.targets = targets
    weights = pass.weights
    let shape = pass.shape
    let rows = targets.count
    let bytes = rows * shape.vocabulary * MemoryLayout<Float>.stride
    logits = bytes <= memory ? FloatBuffer(count: rows * shape.vocabulary) : nil
    head = OutputHead(weights: weights, input: pass.normedResult, targets: targets, keeping: logits)
    let limit = max(16, Self.groupBytes / (shape.vocabulary * MemoryLayout<Float>.stride))
    groups = blocks(rows, (rows + limit - 1) / limit)
    vocabularyBlocks = OutputHead.vocabularyBlocks(shape)
  }

  var recordBytes: Int { (logits?.count ?? 0) * MemoryLayout<Float>.stride }

  func forward() -> Phase {
    Phase(tiles: head.tileCount) { [self] tile, scratch in head.run(tile: tile, scratch) }
  }

  /// After the forward phase: for each output row the log-probabilities of its targets.
  func finish() -> [[Float]] {
    normalizers = targets.indices.map { head.normalizer($0) }
    return head.logprobs()
  }

  /// dL of the head's input, (output rows, hidden), from dL/d ln p of each row's targets.
  func backward(_ derivatives: [[Float]], to gradient: FloatBuffer) -> [Phase] {
    let (hidden, vocabulary) = (weights.shape.hidden, weights.shape.vocabulary)
    let rows = groups.map(\.count).max() ?? 0
    let buffer = FloatBuffer(count: rows * vocabulary)
    return groups.flatMap { group -> [Phase] in
      let tiles = RecordPlan(rows: group.count, shape: weights.shape).hidden
      return [
        Phase(tiles: vocabularyBlocks.count) { [self] tile, _ in
          unsafe fillGradient(group, columns: vocabularyBlocks[tile], derivatives, into: buffer.pointer)
        },
        Phase(tiles: tiles.count) { [weights] number, _ in
          let tile = tiles[number]
          unsafe multiply(
            rows: tile.rows.count, columns: tile.columns.count, inner: vocabulary,
            x: buffer.pointer + tile.rows.lowerBound * vocabulary, xStride: vocabulary,
            matrix: weights.head + tile.columns.lowerBound, matrixStride: hidden,
            y: gradient.pointer + (group.lowerBound + tile.rows.lowerBound) * hidden + tile.columns.lowerBound,
            yStride: hidden)
        },
      ]
    }
  }

  /// dL/d logits of some rows and tokens. ln p_t = x_t − ln Σ e^x, so with the weights w_t of a row's targets:
  /// dL/dx_j = Σ_t w_t [j = t] − p_j Σ_t w_t.
  private func fillGradient(
    _ group: Range<Int>, columns: Range<Int>, _ derivatives: [[Float]], into out: UnsafeMutablePointer<Float>
  ) {
    let (hidden, vocabulary) = (weights.shape.hidden, weights.shape.vocabulary)
    let corner = unsafe out + columns.lowerBound
    if logits == nil {
      unsafe multiplyTransposed(
        rows: group.count, columns: columns.count, inner: hidden,
        x: pass.normedResult.pointer + group.lowerBound * hidden, xStride: hidden,
        weights: weights.head + columns.lowerBound * hidden, y: corner, yStride: vocabulary)
    }
    for row in group {
      let x = unsafe corner + (row - group.lowerBound) * vocabulary
      let total = derivatives[row].reduce(0, +)
      if derivatives[row].allSatisfy({ $0 == 0 }) {
        unsafe x.update(repeating: 0, count: columns.count)
        continue
      }
      if let logits {
        unsafe x.update(from: logits.pointer + row * vocabulary + columns.lowerBound, count: columns.count)
      }
      unsafe softmaxShare(x, count: columns.count, normalizer: normalizers[row], weight: total)
      for (target, weight) in zip(targets[row], derivatives[row]) where columns.contains(Int(target)) {
        unsafe x[Int(target) - columns.lowerBound] += weight
      }
    }
  }
}
