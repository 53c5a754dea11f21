internal import LinearAlgebra
internal import Multipliers
internal import SVF

/// What a way back through a recorded pass carries with it.
///
/// `@unchecked Sendable`: as ``RecordedPass``; each tile writes its own rows or columns.
final class BackwardState: @unchecked Sendable {
  /// (output rows, hidden) and (rows, hidden): dL of the stream, behind the last layer and behind the others.
  let outputGradient: FloatBuffer
  let streamGradient: FloatBuffer
  /// (blocks of rows, all multipliers): dL/ds, summed over the rows of each block.
  let partial: FloatBuffer
  /// With adapters: (rows, widest t of a layer), dt of the layer that is at work; and dL of all A and B, by their layout.
  let lowRankInput: FloatBuffer
  let lowRank: FloatBuffer
  let parts: Int
  let count: Int

  init(_ pass: RecordedPass, multipliers: Int) {
    outputGradient = FloatBuffer(count: pass.outputRows.count * pass.shape.hidden)
    streamGradient = FloatBuffer(count: pass.rowCount * pass.shape.hidden)
    parts = max(pass.plan.parts, pass.outputPlan.parts)
    count = multipliers
    partial = FloatBuffer(count: parts * multipliers)
    let widest = (0..<pass.shape.layers).map { pass.lowRankStride($0) }.max() ?? 0
    lowRankInput = FloatBuffer(count: pass.rowCount * widest)
    lowRank = FloatBuffer(count: pass.adapters?.layout.count ?? 0)
  }

  /// sums += dL/ds, block of rows by block of rows.
  func add(to sums: inout [Double]) {
    for part in 0..<parts {
      for i in 0..<count { sums[i] += unsafe Double(partial.pointer[part * count + i]) }
    }
  }
}

// The way back through a layer. For y = Q (s ⊙ (A x)): q = Qᵀ dy, dL/ds = Σ p ⊙ q over the rows, dx = Aᵀ (s ⊙ q); for
// y = B (s ⊙ (Qᵀ x)): q = Bᵀ dy, the same sum, dx = Q (s ⊙ q).
extension RecordedPass {
  /// From the gradient behind the head's norm to that of the last layer's stream.
  /// - Parameter normGradient: (output rows, hidden), of the norm divided by the temperature; overwritten.
  func finalNormBackward(_ normGradient: FloatBuffer, _ state: BackwardState) {
    for row in outputRows.indices {
      let place = row * shape.hidden
      unsafe divideElements(normGradient.pointer + place, by: temperature, count: shape.hidden)
      unsafe (state.outputGradient.pointer + place).update(repeating: 0, count: shape.hidden)
      unsafe addRMSNormGradient(
        state.outputGradient.pointer + place, dy: normGradient.pointer + place, x: result.pointer + place,
        weight: weights.finalNorm, count: shape.hidden, epsilon: shape.epsilon)
    }
  }

  /// The phases of a layer, whose record must be there.
  /// - Parameter goesOn: false for the lowest layer whose multipliers are wanted: what is below it gets no gradient.
  func backward(layer: Int, _ state: BackwardState, goesOn: Bool) -> [Phase] {
    let rest = restPlan(layer)
    let behind = isLast(layer) ? state.outputGradient : state.streamGradient
    var phases = mlpBackward(layer, rest, behind, state)
    phases += [
      phase(rest.outputFactors) { [self] tile, _ in
        unsafe projectBack(
          layer, [.output], tile, gradients: [(behind.pointer, shape.hidden)], p: record(layer).outputFactors, state)
      },
      phase(rest.queryWidth) { [self] tile, _ in
        unsafe expandBack(layer, [.output], tile, to: space.attended.pointer, stride: shape.queryWidth)
      },
    ]
    if isLast(layer) {
      // Rows without logits asked nothing in the last layer, but their keys were looked at.
      phases.append(
        Phase(tiles: plan.elementwise.count) { [self] tile, _ in
          let rows = plan.elementwise[tile]
          let width = shape.headUnits * shape.headDimension
          unsafe (space.headGradient.pointer + rows.lowerBound * width).update(
            repeating: 0, count: rows.count * width)
        })
    }
    phases += attentionBackward(layer: layer)
    phases.append(
      phase(plan.headFactors) { [self] tile, _ in
        let stride = shape.headUnits * shape.headDimension
        let d = unsafe space.headGradient.pointer
        unsafe projectBack(
          layer, [.query, .key, .value], tile,
          gradients: [
            (d, stride), (d + shape.queryWidth, stride), (d + shape.queryWidth + shape.keyWidth, stride),
          ], p: record(layer).headFactors, state)
      })
    phases += lowRankBackward(layer: layer, state)
    guard goesOn else { return phases }
    phases += [
      phase(plan.hidden) { [self] tile, _ in
        unsafe expandBack(
          layer, [.query, .key, .value], tile, to: space.hiddenGradient.pointer, stride: shape.hidden)
      }
    ]
    phases += lowRankInputBackward(layer: layer, state)
    phases.append(
      Phase(tiles: plan.elementwise.count) { [self] tile, _ in
        inputNormBackward(layer, plan.elementwise[tile], state)
      })
    return phases
  }

  private func mlpBackward(
    _ layer: Int, _ rest: RecordPlan, _ behind: FloatBuffer, _ state: BackwardState
  ) -> [Phase] {
    [
      phase(rest.downFactors) { [self] tile, _ in
        unsafe projectBack(
          layer, [.down], tile, gradients: [(behind.pointer, shape.hidden)], p: record(layer).downFactors, state)
      },
      phase(rest.intermediate) { [self] tile, _ in
        unsafe expandBack(layer, [.down], tile, to: space.activated.pointer, stride: shape.intermediate)
        for row in tile.rows {
          let place = row * shape.intermediate + tile.columns.lowerBound
          unsafe gatedSiLUGradient(
            dy: space.activated.pointer + place, dGate: space.gateGradient.pointer + place,
            gate: record(layer).gate + place, up: record(layer).up + place, count: tile.columns.count)
        }
      },
      phase(rest.gateFactors) { [self] tile, _ in
        unsafe projectBack(
          layer, [.gate, .up], tile,
          gradients: [
            (space.gateGradient.pointer, shape.intermediate), (space.activated.pointer, shape.intermediate),
          ], p: record(layer).gateFactors, state)
      },
      phase(rest.hidden) { [self] tile, _ in
        unsafe expandBack(layer, [.gate, .up], tile, to: space.hiddenGradient.pointer, stride: shape.hidden)
      },
      Phase(tiles: rest.elementwise.count) { [self] tile, _ in
        for row in rest.elementwise[tile] {
          let place = row * shape.hidden
          unsafe addRMSNormGradient(
            behind.pointer + place, dy: space.hiddenGradient.pointer + place, x: record(layer).middle + place,
            weight: weights.postNorm(layer), count: shape.hidden, epsilon: shape.epsilon)
        }
      },
    ]
  }

  /// The gradient of the stream before the layer: what went past the attention, and what goes through it.
  private func inputNormBackward(_ layer: Int, _ rows: Range<Int>, _ state: BackwardState) {
    let hidden = shape.hidden
    if isLast(layer) {
      unsafe (state.streamGradient.pointer + rows.lowerBound * hidden).update(repeating: 0, count: rows.count * hidden)
      for (place, row) in outputRows.enumerated() where rows.contains(row) {
        unsafe (state.streamGradient.pointer + row * hidden).update(
          from: state.outputGradient.pointer + place * hidden, count: hidden)
      }
    }
    for row in rows {
      unsafe addRMSNormGradient(
        state.streamGradient.pointer + row * hidden, dy: space.hiddenGradient.pointer + row * hidden,
        x: streams[layer].pointer + row * hidden, weight: weights.inputNorm(layer), count: hidden,
        epsilon: shape.epsilon)
    }
  }

  /// q = Qᵀ dy or Bᵀ dy for projections whose intermediates lie side by side; adds p ⊙ q over the tile's rows to dL/ds,
  /// and leaves s ⊙ q in the factors of the space.
  /// - Parameter gradients: dy of each projection, and the distance between its rows.
  private func projectBack(
    _ layer: Int, _ projections: [Projection], _ tile: RecordTile,
    gradients: [(UnsafeMutablePointer<Float>, stride: Int)], p: UnsafePointer<Float>, _ state: BackwardState
  ) {
    let stride = projections.reduce(0) { $0 + shape.rank($1) }
    var start = 0
    for (place, projection) in projections.enumerated() {
      let rank = shape.rank(projection)
      let part = tile.columns.clamped(to: start..<start + rank)
      let first = part.lowerBound - start
      start += rank
      guard !part.isEmpty else { continue }
      let index = matrix(layer, projection)
      let factored = table.factorization[index]
      let corner = tile.rows.lowerBound * stride + part.lowerBound
      let q = unsafe space.factors.pointer + corner
      // Q (m, m) and B (m, n) both lie as (outputs, components).
      unsafe multiply(
        rows: tile.rows.count, columns: part.count, inner: shape.rows(projection),
        x: gradients[place].0 + tile.rows.lowerBound * gradients[place].stride, xStride: gradients[place].stride,
        matrix: (factored.side == .left ? factored.q : factored.product) + first, matrixStride: rank, y: q,
        yStride: stride)
      let s = unsafe table.values(0, index) + first
      let sums = unsafe state.partial.pointer + tile.part * state.count + table.offset(index) + first
      for row in 0..<tile.rows.count {
        unsafe accumulateGradient(
          sums, p: p + corner + row * stride, q: q + row * stride, multipliers: s, count: part.count)
      }
    }
  }

  /// dx of the tile's inputs = Σ over the projections of Aᵀ (s ⊙ q) or Q (s ⊙ q).
  private func expandBack(
    _ layer: Int, _ projections: [Projection], _ tile: RecordTile, to dx: UnsafeMutablePointer<Float>, stride: Int
  ) {
    let factorStride = projections.reduce(0) { $0 + shape.rank($1) }
    let y = unsafe dx + tile.rows.lowerBound * stride + tile.columns.lowerBound
    var start = 0
    for projection in projections {
      let rank = shape.rank(projection)
      let factored = table.factorization[matrix(layer, projection)]
      let q = unsafe space.factors.pointer + tile.rows.lowerBound * factorStride + start
      switch factored.side {
      case .left:
        unsafe multiply(
          rows: tile.rows.count, columns: tile.columns.count, inner: rank, x: q, xStride: factorStride,
          matrix: factored.product + tile.columns.lowerBound, matrixStride: shape.columns(projection), y: y,
          yStride: stride, accumulate: start > 0)
      case .right:
        unsafe multiplyTransposed(
          rows: tile.rows.count, columns: tile.columns.count, inner: rank, x: q, xStride: factorStride,
          weights: factored.q + tile.columns.lowerBound * rank, y: y, yStride: stride, accumulate: start > 0)
      }
      start += rank
    }
  }
}
