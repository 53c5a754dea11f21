internal import LinearAlgebra

// Additions of low rank to queries, keys and values: y += t Bᵀ with t = c A x, c = α / r. On the way back, with dt = c dy B:
// dB = dyᵀ t, dA = dtᵀ x, dx += dt A. The input x is the layer's norm, computed again from the stream; t is kept, a few
// floats a row.
extension RecordedPass {
  /// Floats of a row of t: the adapted matrices of a layer side by side.
  func lowRankStride(_ layer: Int) -> Int {
    guard let layout = adapters?.layout else { return 0 }
    return layout.numbers(layer: layer).count * layout.rank
  }

  /// t, once the layer's norm is there.
  func lowRankForward(layer: Int) -> [Phase] {
    let stride = lowRankStride(layer)
    guard let adapters, stride > 0 else { return [] }
    return [
      Phase(tiles: plan.elementwise.count) { [self] tile, _ in
        let (layout, rows) = (adapters.layout, plan.elementwise[tile])
        let t = unsafe lowRank[layer].pointer + rows.lowerBound * stride
        for (place, number) in layout.numbers(layer: layer).enumerated() {
          unsafe multiplyTransposed(
            rows: rows.count, columns: layout.rank, inner: shape.hidden,
            x: space.normed.pointer + rows.lowerBound * shape.hidden, xStride: shape.hidden,
            weights: adapters.a(number), y: t + place * layout.rank, yStride: stride)
        }
        for i in 0..<rows.count * stride { unsafe t[i] *= layout.scale }
      }
    ]
  }

  /// y += t Bᵀ for some of the outputs of queries, keys and values.
  func addLowRank(
    _ layer: Int, rows: Range<Int>, outputs: Range<Int>, to y: UnsafeMutablePointer<Float>, stride yStride: Int
  ) {
    guard let adapters else { return }
    let (rank, stride) = (adapters.layout.rank, lowRankStride(layer))
    for (place, number) in adapters.layout.numbers(layer: layer).enumerated() {
      let matrix = shape.matrix(adapters.layout.matrices[number])
      let part = outputs.clamped(to: matrix.outputs)
      guard !part.isEmpty else { continue }
      unsafe multiplyTransposed(
        rows: rows.count, columns: part.count, inner: rank,
        x: lowRank[layer].pointer + rows.lowerBound * stride + place * rank, xStride: stride,
        weights: adapters.b(number) + (part.lowerBound - matrix.outputs.lowerBound) * rank,
        y: y + (part.lowerBound - outputs.lowerBound), yStride: yStride, accumulate: true)
    }
  }

  /// dt, dA and dB, once the gradients of queries, keys and values are there.
  func lowRankBackward(layer: Int, _ state: BackwardState) -> [Phase] {
    let stride = lowRankStride(layer)
    guard let adapters, stride > 0 else { return [] }
    let layout = adapters.layout
    let numbers = layout.numbers(layer: layer)
    let width = shape.headStage.outputs
    return [
      Phase(tiles: plan.elementwise.count) { [self] tile, _ in
        let rows = plan.elementwise[tile]
        unsafe norm(layer, .beforeAttention, rows, of: streams[layer].pointer)
        let dt = unsafe state.lowRankInput.pointer + rows.lowerBound * stride
        for (place, number) in numbers.enumerated() {
          let outputs = shape.matrix(layout.matrices[number]).outputs
          unsafe multiply(
            rows: rows.count, columns: layout.rank, inner: outputs.count,
            x: space.headGradient.pointer + outputs.lowerBound + rows.lowerBound * width, xStride: width,
            matrix: adapters.b(number),
            matrixStride: layout.rank, y: dt + place * layout.rank, yStride: stride)
        }
        for i in 0..<rows.count * stride { unsafe dt[i] *= layout.scale }
      },
      // Each sum over all rows is one product, so no tile waits for another's share.
      Phase(tiles: 2 * numbers.count) { [self] tile, _ in
        let (place, part) = tile.quotientAndRemainder(dividingBy: 2)
        let number = numbers.lowerBound + place
        let ranges = layout.ranges(of: number)
        let outputs = shape.matrix(layout.matrices[number]).outputs
        if part == 0 {
          unsafe BLAS.gemm(
            transposeA: true, transposeB: false, m: layout.rank, n: shape.hidden, k: rowCount,
            a: state.lowRankInput.pointer + place * layout.rank, lda: stride, b: space.normed.pointer,
            ldb: shape.hidden, c: state.lowRank.pointer + ranges.a.lowerBound, ldc: shape.hidden)
        } else {
          unsafe BLAS.gemm(
            transposeA: true, transposeB: false, m: outputs.count, n: layout.rank, k: rowCount,
            a: space.headGradient.pointer + outputs.lowerBound, lda: width,
            b: lowRank[layer].pointer + place * layout.rank, ldb: stride,
            c: state.lowRank.pointer + ranges.b.lowerBound, ldc: layout.rank)
        }
      },
    ]
  }

  /// dx += dt A, once the rest of dx is there.
  func lowRankInputBackward(layer: Int, _ state: BackwardState) -> [Phase] {
    let stride = lowRankStride(layer)
    guard let adapters, stride > 0 else { return [] }
    return [
      Phase(tiles: plan.elementwise.count) { [self] tile, _ in
        let (layout, rows) = (adapters.layout, plan.elementwise[tile])
        for (place, number) in layout.numbers(layer: layer).enumerated() {
          unsafe multiply(
            rows: rows.count, columns: shape.hidden, inner: layout.rank,
            x: state.lowRankInput.pointer + rows.lowerBound * stride + place * layout.rank, xStride: stride,
            matrix: adapters.a(number), matrixStride: shape.hidden,
            y: space.hiddenGradient.pointer + rows.lowerBound * shape.hidden, yStride: shape.hidden, accumulate: true)
        }
      }
    ]
  }
}
