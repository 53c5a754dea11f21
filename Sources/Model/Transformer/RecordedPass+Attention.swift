internal import LinearAlgebra

extension RecordedPass {
  /// Attention of a block's rows for the query heads of one head of keys; see ``ForwardPass/attend(_:_:head:gather:_:)``.
  /// The first head also puts the rows' stream where the output projection adds to it.
  func attend(_ layer: Int, _ block: AttentionBlock, head: Int, _ scratch: Scratch) {
    let (size, group) = (shape.headDimension, shape.group)
    let rows = block.rowCount * group
    let scores = unsafe scratch.floats(ScratchSlot.scores, count: rows * block.keyCount)
    let out = unsafe scratch.floats(ScratchSlot.attended, count: rows * size)
    unsafe probabilities(layer, block, head: head, into: scores)

    var column = 0
    for part in block.context {
      unsafe multiply(
        rows: rows, columns: size, inner: part.count, x: scores + column, xStride: block.keyCount,
        matrix: values(layer, head: head, row: part.firstRow), matrixStride: size, y: out, yStride: size,
        accumulate: column > 0)
      column += part.count
    }
    for piece in block.pieces {
      unsafe multiply(
        rows: piece.count * group, columns: size, inner: piece.ownCount,
        x: scores + piece.first * group * block.keyCount + block.contextCount, xStride: block.keyCount,
        matrix: values(layer, head: head, row: piece.ownFirst), matrixStride: size,
        y: out + piece.first * group * size, yStride: size, accumulate: column > 0)
    }
    for row in 0..<block.rowCount {
      let target = unsafe space.attended.pointer + (block.firstOutput + row) * shape.queryWidth + head * group * size
      unsafe target.update(from: out + row * group * size, count: group * size)
    }
    if head == 0 {
      unsafe (record(layer).middle + block.firstOutput * shape.hidden).update(
        from: streams[layer].pointer + block.firstRow * shape.hidden, count: block.rowCount * shape.hidden)
    }
  }

  /// softmax(Q Kᵀ) of a block and a head of keys, (row x group, key): the columns are the context's positions, then those
  /// of each piece's own segment, where what is above the diagonal is 0.
  private func probabilities(
    _ layer: Int, _ block: AttentionBlock, head: Int, into scores: UnsafeMutablePointer<Float>
  ) {
    unsafe againstKeys(
      block, x: queries(layer, head: head, row: block.firstRow), keys: { unsafe keys(layer, head: head, row: $0) },
      into: scores)
    unsafe block.softmax(scores, group: shape.group, scale: shape.configuration.attentionScale)
  }

  /// out (row x group, key) = x (row x group, component) times the keys, or the values, of all that a block attends to.
  private func againstKeys(
    _ block: AttentionBlock, x: UnsafePointer<Float>, keys: (Int) -> UnsafeMutablePointer<Float>,
    into out: UnsafeMutablePointer<Float>
  ) {
    let (size, group, stride) = (shape.headDimension, shape.group, block.keyCount)
    var column = 0
    for part in block.context {
      unsafe multiplyTransposed(
        rows: block.rowCount * group, columns: part.count, inner: size, x: x, xStride: size,
        weights: keys(part.firstRow), y: out + column, yStride: stride)
      column += part.count
    }
    for piece in block.pieces {
      unsafe multiplyTransposed(
        rows: piece.count * group, columns: piece.ownCount, inner: size, x: x + piece.first * group * size,
        xStride: size, weights: keys(piece.ownFirst),
        y: out + piece.first * group * stride + block.contextCount, yStride: stride)
    }
  }
}

// MARK: Backward

/// A part of a block's attention that falls on one segment's keys: rows of the block, columns of its scores.
struct AttentionShare: Sendable {
  var block: Int
  var firstRow: Int  // from the block's first row
  var rowCount: Int
  var column: Int
  /// Keys, from the segment's row `key` on.
  var key: Int
  var count: Int
}

// Two phases. First, block by block, the gradients of the scores and of the queries; then, segment by segment, those of the
// keys and values, each gathered from the blocks that look at the segment, in their order. Blocks adding to shared keys as
// they come would need locks, and an order that threads decide.
extension RecordedPass {
  /// Floats of all blocks' scores, for one set of buffers that serves every layer.
  var scoreCount: Int {
    (blocks + [outputBlocks]).reduce(0) { max($0, Self.scoreCount($1, shape)) } * shape.keyValueHeads
  }

  private static func scoreCount(_ blocks: [AttentionBlock], _ shape: ModelShape) -> Int {
    blocks.reduce(0) { $0 + $1.rowCount * shape.group * $1.keyCount }
  }

  func attentionBackward(layer: Int) -> [Phase] {
    let blocks = restBlocks(layer)
    let heads = shape.keyValueHeads
    var offsets = [0]
    for block in blocks { offsets.append(offsets[offsets.count - 1] + block.rowCount * shape.group * block.keyCount) }
    let perHead = offsets[offsets.count - 1]
    let starts = offsets
    let shares = shares(blocks)
    return [
      Phase(tiles: blocks.count * heads) { [self] tile, scratch in
        let (number, head) = tile.quotientAndRemainder(dividingBy: heads)
        queryGradient(layer, blocks[number], head: head, at: head * perHead + starts[number], scratch)
      },
      Phase(tiles: batch.segments.count * heads) { [self] tile, scratch in
        let (segment, head) = tile.quotientAndRemainder(dividingBy: heads)
        keyGradient(
          layer, rows: batch.segments[segment].rows, shares[segment], blocks, head: head,
          starts: starts.map { head * perHead + $0 }, scratch)
      },
    ]
  }

  /// For each segment, what falls on its keys.
  private func shares(_ blocks: [AttentionBlock]) -> [[AttentionShare]] {
    let segmentOfRow = batch.segments.indices.flatMap { repeatElement($0, count: batch.segments[$0].rows.count) }
    var shares = batch.segments.map { _ in [AttentionShare]() }
    func add(_ block: Int, _ rows: Range<Int>, column: Int, keys: Range<Int>) {
      let segment = segmentOfRow[keys.lowerBound]
      shares[segment].append(
        AttentionShare(
          block: block, firstRow: rows.lowerBound, rowCount: rows.count, column: column,
          key: keys.lowerBound - batch.segments[segment].rows.lowerBound, count: keys.count))
    }
    for (number, block) in blocks.enumerated() {
      var column = 0
      for part in block.context {
        add(number, 0..<block.rowCount, column: column, keys: part.firstRow..<part.firstRow + part.count)
        column += part.count
      }
      for piece in block.pieces {
        add(
          number, piece.first..<piece.first + piece.count, column: block.contextCount,
          keys: piece.ownFirst..<piece.ownFirst + piece.ownCount)
      }
    }
    return shares
  }

  /// With O = P V and P = softmax(Q Kᵀ / √d): dP = dO Vᵀ, dS = P ⊙ (dP − Σ P dP) / √d, dQ = dS K. P, dS and dO stay for
  /// the keys' turn.
  private func queryGradient(_ layer: Int, _ block: AttentionBlock, head: Int, at start: Int, _ scratch: Scratch) {
    let (size, group, stride) = (shape.headDimension, shape.group, block.keyCount)
    let p = unsafe space.probabilities.pointer + start
    let d = unsafe space.scoreGradient.pointer + start
    let dOut = unsafe outGradient(head: head, row: block.firstRow)
    for row in 0..<block.rowCount {
      let source = unsafe space.attended.pointer + (block.firstOutput + row) * shape.queryWidth + head * group * size
      unsafe (dOut + row * group * size).update(from: source, count: group * size)
    }
    unsafe probabilities(layer, block, head: head, into: p)
    unsafe againstKeys(block, x: dOut, keys: { unsafe values(layer, head: head, row: $0) }, into: d)
    let scale = shape.configuration.attentionScale
    for piece in block.pieces {
      for row in piece.first * group..<(piece.first + piece.count) * group {
        unsafe softmaxGradient(
          d + row * stride, probabilities: p + row * stride, count: block.contextCount + piece.ownCount, scale: scale)
      }
    }

    let out = unsafe scratch.floats(ScratchSlot.attended, count: block.rowCount * group * size)
    var column = 0
    for part in block.context {
      unsafe multiply(
        rows: block.rowCount * group, columns: size, inner: part.count, x: d + column, xStride: stride,
        matrix: keys(layer, head: head, row: part.firstRow), matrixStride: size, y: out, yStride: size,
        accumulate: column > 0)
      column += part.count
    }
    for piece in block.pieces {
      unsafe multiply(
        rows: piece.count * group, columns: size, inner: piece.ownCount,
        x: d + piece.first * group * stride + block.contextCount, xStride: stride,
        matrix: keys(layer, head: head, row: piece.ownFirst), matrixStride: size,
        y: out + piece.first * group * size, yStride: size, accumulate: column > 0)
    }
    let (rotary, norm) = unsafe (weights.rotary(layer), weights.headNorm(layer, ofKeys: false))
    for row in block.firstRow..<block.firstRow + block.rowCount {
      let angles = rotary?.angles(at: batch.positions[row])
      for place in 0..<group {
        unsafe turnBack(
          layer, row: row, unit: head * group + place, out + ((row - block.firstRow) * group + place) * size, angles,
          norm)
      }
    }
  }

  /// dK = Σ dSᵀ Q and dV = Σ Pᵀ dO over all that looked at the segment.
  private func keyGradient(
    _ layer: Int, rows: Range<Int>, _ shares: [AttentionShare], _ blocks: [AttentionBlock], head: Int,
    starts: [Int], _ scratch: Scratch
  ) {
    let (size, group) = (shape.headDimension, shape.group)
    let dKeys = unsafe scratch.floats(ScratchSlot.product, count: rows.count * size)
    let dValues = unsafe scratch.floats(ScratchSlot.attended, count: rows.count * size)
    unsafe dKeys.update(repeating: 0, count: rows.count * size)
    unsafe dValues.update(repeating: 0, count: rows.count * size)
    for share in shares {
      let block = blocks[share.block]
      let stride = block.keyCount
      let corner = starts[share.block] + share.firstRow * group * stride + share.column
      let row = block.firstRow + share.firstRow
      unsafe BLAS.gemm(
        transposeA: true, transposeB: false, m: share.count, n: size, k: share.rowCount * group,
        a: space.scoreGradient.pointer + corner, lda: stride, b: queries(layer, head: head, row: row), ldb: size,
        beta: 1, c: dKeys + share.key * size, ldc: size)
      unsafe BLAS.gemm(
        transposeA: true, transposeB: false, m: share.count, n: size, k: share.rowCount * group,
        a: space.probabilities.pointer + corner, lda: stride, b: outGradient(head: head, row: row), ldb: size,
        beta: 1, c: dValues + share.key * size, ldc: size)
    }
    let (rotary, norm) = unsafe (weights.rotary(layer), weights.headNorm(layer, ofKeys: true))
    for row in rows {
      let place = (row - rows.lowerBound) * size
      unsafe turnBack(
        layer, row: row, unit: shape.heads + head, dKeys + place, rotary?.angles(at: batch.positions[row]), norm)
      unsafe headGradient(row: row, unit: shape.heads + shape.keyValueHeads + head).update(
        from: dValues + place, count: size)
    }
  }

  /// From the gradient of a head's queries or keys as attention read them, which is overwritten, to that of their product:
  /// through the rotation and the norm.
  private func turnBack(
    _ layer: Int, row: Int, unit: Int, _ d: UnsafeMutablePointer<Float>, _ angles: Angles?,
    _ norm: UnsafePointer<Float>?
  ) {
    let size = shape.headDimension
    let target = unsafe headGradient(row: row, unit: unit)
    if let angles {
      unsafe rotateBack(target, d, cosines: angles.cosines, sines: angles.sines, half: size / 2)
    } else {
      unsafe target.update(from: d, count: size)
    }
    guard let norm = unsafe norm else { return }
    unsafe d.update(from: target, count: size)
    unsafe target.update(repeating: 0, count: size)
    unsafe addRMSNormGradient(
      target, dy: d, x: headInput(layer, row: row, unit: unit), weight: norm, count: size, epsilon: shape.epsilon)
  }

  private func headGradient(row: Int, unit: Int) -> UnsafeMutablePointer<Float> {
    unsafe space.headGradient.pointer + (row * shape.headUnits + unit) * shape.headDimension
  }

  private func outGradient(head: Int, row: Int) -> UnsafeMutablePointer<Float> {
    unsafe space.outGradient.pointer + (head * rowCount + row) * shape.group * shape.headDimension
  }
}

extension KeyPart {
  /// The batch row where it begins; a recorded pass has no caches.
  fileprivate var firstRow: Int {
    switch self {
    case .rows(let first, _): first
    case .cached: preconditionFailure("a recorded pass attends to a cache")
    }
  }
}
