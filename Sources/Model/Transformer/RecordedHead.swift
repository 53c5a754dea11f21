internal import LinearAlgebra

/// The head behind a recorded pass: log-probabilities forward, and from what a loss says of them the gradient of the head's
/// input.
///
/// Logits are kept where memory allows, and computed again otherwise, some rows at a time. What a loss says comes in as one
/// weight for each wanted token, dL/d ln p, and one for all divergences from the base;
/// ``fillGradient(_:columns:_:divergenceWeight:into:_:)`` is the only place that turns them into dL of the head's product.
///
/// `@unchecked Sendable`: tiles write rows and columns of their own; `divergence` is set between phases.
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
  /// Where the distance from the base counts.
  private(set) var divergence: HeadDivergence?

  /// Bytes of the gradient of a group's logits: 128 rows of SmolLM2.
  static let groupBytes = 26_000_000

  init(pass: RecordedPass, targets: [[Int32]], memory: Int) {
    self.pass = pass
    self.targets = targets
    weights = pass.weights
    let shape = pass.shape
    let rows = targets.count
    let bytes = rows * shape.vocabulary * MemoryLayout<Float>.stride
    logits = bytes <= memory ? FloatBuffer(count: rows * shape.vocabulary) : nil
    head = OutputHead(
      weights: weights, form: pass.logitForm, input: pass.normedResult, targets: targets, keeping: logits)
    let limit = max(16, Self.groupBytes / (shape.vocabulary * MemoryLayout<Float>.stride))
    groups = blocks(rows, (rows + limit - 1) / limit)
    vocabularyBlocks = OutputHead.vocabularyBlocks(shape)
  }

  var temperature: Float { pass.logitForm.temperature }
  var recordBytes: Int { (logits?.count ?? 0) * MemoryLayout<Float>.stride }

  func forward() -> Phase {
    Phase(tiles: head.tileCount) { [self] tile, scratch in head.run(tile: tile, scratch) }
  }

  /// After the forward phase: for each output row the log-probabilities of its targets.
  func finish() -> [[Float]] {
    normalizers = targets.indices.map { head.normalizer($0) }
    return head.logprobs()
  }

  /// After ``finish()``: the phase that measures how far all rows are from the base, whose numbers are there when
  /// ``HeadDivergence/finish()`` was called behind it.
  func measure(_ divergence: HeadDivergence) -> Phase {
    self.divergence = divergence
    return Phase(tiles: groups.count * vocabularyBlocks.count) { [self] tile, scratch in
      let (block, rows) = (tile / groups.count, groups[tile % groups.count])
      let columns = vocabularyBlocks[block]
      if let logits {
        let vocabulary = weights.shape.vocabulary
        unsafe divergence.measure(
          rows, block: block, logits.pointer + rows.lowerBound * vocabulary + columns.lowerBound, stride: vocabulary,
          adapted: normalizers, scratch)
      } else {
        let x = unsafe scratch.floats(ScratchSlot.product, count: rows.count * columns.count)
        unsafe computeLogits(rows, columns, to: x, stride: columns.count, scratch)
        unsafe divergence.measure(rows, block: block, x, stride: columns.count, adapted: normalizers, scratch)
      }
    }
  }

  /// dL of the head's input, (output rows, hidden), from dL/d ln p of each row's targets, and from dL/dKL, which is the
  /// same for every target.
  func backward(_ derivatives: [[Float]], divergenceWeight: Float, to gradient: FloatBuffer) -> [Phase] {
    let (hidden, vocabulary) = (weights.shape.hidden, weights.shape.vocabulary)
    let rows = groups.map(\.count).max() ?? 0
    let buffer = FloatBuffer(count: rows * vocabulary)
    return groups.flatMap { group -> [Phase] in
      let tiles = RecordPlan(rows: group.count, shape: weights.shape).hidden
      return [
        Phase(tiles: vocabularyBlocks.count) { [self] tile, scratch in
          unsafe fillGradient(
            group, columns: vocabularyBlocks[tile], derivatives, divergenceWeight: divergenceWeight,
            into: buffer.pointer, scratch)
        },
        Phase(tiles: tiles.count) { [weights] number, scratch in
          let tile = tiles[number]
          unsafe weights.logitsBack(
            buffer.pointer + tile.rows.lowerBound * vocabulary, rows: tile.rows.count, inputs: tile.columns,
            to: gradient.pointer + (group.lowerBound + tile.rows.lowerBound) * hidden + tile.columns.lowerBound,
            dxStride: hidden, scratch)
        },
      ]
    }
  }

  /// dL of the head's product for some rows and tokens. ln p_t = x_t − ln Σ e^x, so with the weights w_t of a row's targets:
  /// dL/dx_j = Σ_t w_t [j = t] − p_j Σ_t w_t.
  private func fillGradient(
    _ group: Range<Int>, columns: Range<Int>, _ derivatives: [[Float]], divergenceWeight: Float,
    into out: UnsafeMutablePointer<Float>, _ scratch: Scratch
  ) {
    let vocabulary = weights.shape.vocabulary
    let corner = unsafe out + columns.lowerBound
    if logits == nil { unsafe computeLogits(group, columns, to: corner, stride: vocabulary, scratch) }
    let measured = divergenceWeight == 0 ? nil : divergence
    // The logits themselves, where they are needed once their gradient has taken their place.
    let keepsLogits = measured != nil || pass.logitForm.cap != nil
    let kept = unsafe scratch.floats(ScratchSlot.product, count: keepsLogits ? group.count * columns.count : 0)
    for row in group {
      let x = unsafe corner + (row - group.lowerBound) * vocabulary
      if let logits {
        unsafe x.update(from: logits.pointer + row * vocabulary + columns.lowerBound, count: columns.count)
      }
      if keepsLogits {
        unsafe (kept + (row - group.lowerBound) * columns.count).update(from: x, count: columns.count)
      }
      let total = derivatives[row].reduce(0, +)
      if derivatives[row].allSatisfy({ $0 == 0 }) {
        unsafe x.update(repeating: 0, count: columns.count)
        continue
      }
      unsafe softmaxShare(x, count: columns.count, normalizer: normalizers[row], weight: total)
      for (target, weight) in zip(targets[row], derivatives[row]) where columns.contains(Int(target)) {
        unsafe x[Int(target) - columns.lowerBound] += weight
      }
    }
    unsafe measured?.addGradient(
      group, columns, x: kept, factor: { divergenceWeight * Float(targets[$0].count) }, adapted: normalizers,
      to: corner, stride: vocabulary, scratch)
    guard pass.logitForm.cap != nil else { return }
    for row in 0..<group.count {
      unsafe pass.logitForm.applyGradient(
        corner + row * vocabulary, y: kept + row * columns.count, count: columns.count)
    }
  }

  /// The logits of some rows and tokens.
  private func computeLogits(
    _ rows: Range<Int>, _ columns: Range<Int>, to y: UnsafeMutablePointer<Float>, stride: Int, _ scratch: Scratch
  ) {
    unsafe weights.logits(
      of: pass.normedResult.pointer + rows.lowerBound * weights.shape.hidden, rows: rows.count, tokens: columns,
      pass.logitForm, to: y, stride: stride, scratch)
  }
}
