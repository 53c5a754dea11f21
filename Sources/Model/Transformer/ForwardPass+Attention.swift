internal import LinearAlgebra

extension ForwardPass {
  /// Attention of a block's rows for the query heads of one head of keys. The group's query heads are rows of one
  /// matrix, so each part of the context is one product, whatever the number of heads that share it.
  /// - Parameter gather: also copies the stream of the block's rows to their places among the output rows.
  func attend(_ layer: Int, _ block: AttentionBlock, head: Int, gather: Bool, _ scratch: Scratch) {
    let (size, group) = (shape.headDimension, shape.group)
    let rows = block.rowCount * group
    let stride = block.keyCount
    let q = unsafe queries(head: head, row: block.firstRow)
    let scores = unsafe scratch.floats(ScratchSlot.scores, count: rows * stride)
    let out = unsafe scratch.floats(ScratchSlot.attended, count: rows * size)

    // scores = Q Kᵀ: the columns are the context's positions, then those of each piece's own segment.
    var column = 0
    for part in block.context {
      unsafe multiplyTransposed(
        rows: rows, columns: part.count, inner: size, x: q, xStride: size, weights: keys(layer, head, part),
        y: scores + column, yStride: stride)
      column += part.count
    }
    for piece in block.pieces {
      unsafe multiplyTransposed(
        rows: piece.count * group, columns: piece.ownCount, inner: size, x: q + piece.first * group * size,
        xStride: size, weights: keys(head: head, row: piece.ownFirst),
        y: scores + piece.first * group * stride + block.contextCount, yStride: stride)
    }

    unsafe block.softmax(scores, group: group, scale: shape.configuration.attentionScale)

    // out = scores V, part by part.
    column = 0
    for part in block.context {
      unsafe multiply(
        rows: rows, columns: size, inner: part.count, x: scores + column, xStride: stride,
        matrix: values(layer, head, part), matrixStride: size, y: out, yStride: size, accumulate: column > 0)
      column += part.count
    }
    for piece in block.pieces {
      unsafe multiply(
        rows: piece.count * group, columns: size, inner: piece.ownCount,
        x: scores + piece.first * group * stride + block.contextCount, xStride: stride,
        matrix: values(head: head, row: piece.ownFirst), matrixStride: size, y: out + piece.first * group * size,
        yStride: size, accumulate: column > 0)
    }

    for row in 0..<block.rowCount {
      let target =
        unsafe workspace.attended.pointer + (block.firstOutput + row) * shape.queryWidth + head * group * size
      unsafe target.update(from: out + row * group * size, count: group * size)
    }
    if gather, head == 0 {
      unsafe (gathered.pointer + block.firstOutput * shape.hidden).update(
        from: stream.pointer + block.firstRow * shape.hidden, count: block.rowCount * shape.hidden)
    }
  }

  private func keys(_ layer: Int, _ head: Int, _ part: KeyPart) -> UnsafeMutablePointer<Float> {
    switch part {
    case .rows(let first, _): unsafe keys(head: head, row: first)
    case .cached(let cache, let block, _): unsafe batch.caches[cache].keys(layer: layer, head: head, block: block)
    }
  }

  private func values(_ layer: Int, _ head: Int, _ part: KeyPart) -> UnsafeMutablePointer<Float> {
    switch part {
    case .rows(let first, _): unsafe values(head: head, row: first)
    case .cached(let cache, let block, _): unsafe batch.caches[cache].values(layer: layer, head: head, block: block)
    }
  }
}
