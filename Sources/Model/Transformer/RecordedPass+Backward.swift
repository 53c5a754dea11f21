internal import LinearAlgebra
internal import ModelFormats

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

// The way back through a layer; its products are those of RecordedPass+Stages.
extension RecordedPass {
  /// From the gradient behind the head's norm to that of the last layer's stream.
  /// - Parameter normGradient: (output rows, hidden), of the head's input; overwritten.
  func finalNormBackward(_ normGradient: FloatBuffer, _ state: BackwardState) {
    for row in outputRows.indices {
      let place = row * shape.hidden
      unsafe divideElements(normGradient.pointer + place, by: logitForm.inputDivisor, count: shape.hidden)
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
    phases += branchBackward(layer, .afterAttention, rest, behind)
    let dOutput = hasNormsBehind ? space.hiddenGradient : behind
    phases += beforeInputs(layer, shape.outputStage, rest.outputFactors, dy: dOutput, state)
    phases.append(
      phase(rest.queryWidth) { [self] tile, scratch in
        unsafe inputs(layer, shape.outputStage, tile, dy: dOutput, to: space.attended.pointer, scratch)
      })
    if isLast(layer) {
      // Rows without logits asked nothing in the last layer, but their keys were looked at.
      phases.append(
        Phase(tiles: plan.elementwise.count) { [self] tile, _ in
          let rows = plan.elementwise[tile]
          let width = shape.headStage.outputs
          unsafe (space.headGradient.pointer + rows.lowerBound * width).update(
            repeating: 0, count: rows.count * width)
        })
    }
    phases += attentionBackward(layer: layer)
    phases += beforeInputs(layer, shape.headStage, plan.headFactors, dy: space.headGradient, state)
    phases += lowRankBackward(layer: layer, state)
    guard goesOn else { return phases }
    phases += [
      phase(plan.hidden) { [self] tile, scratch in
        unsafe inputs(
          layer, shape.headStage, tile, dy: space.headGradient, to: space.hiddenGradient.pointer, scratch)
      }
    ]
    phases += lowRankInputBackward(layer: layer, state)
    phases.append(
      Phase(tiles: plan.elementwise.count) { [self] tile, _ in
        inputNormBackward(layer, plan.elementwise[tile], state)
      })
    return phases
  }

  /// Through the norm behind attention or MLP, into the space's hidden gradient; nothing where there is none.
  private func branchBackward(_ layer: Int, _ place: LayerNorm, _ rest: RecordPlan, _ behind: FloatBuffer) -> [Phase] {
    guard hasNormsBehind else { return [] }
    return [
      Phase(tiles: rest.elementwise.count) { [self] tile, _ in
        guard let weight = unsafe weights.norm(layer, place) else { return }
        let record = record(layer)
        let branch = unsafe place == .afterMLP ? record.mlpBranch : record.attentionBranch
        for row in rest.elementwise[tile] {
          let place = row * shape.hidden
          let target = unsafe space.hiddenGradient.pointer + place
          unsafe target.update(repeating: 0, count: shape.hidden)
          unsafe addRMSNormGradient(
            target, dy: behind.pointer + place, x: branch + place, weight: weight, count: shape.hidden,
            epsilon: shape.epsilon)
        }
      }
    ]
  }

  private func mlpBackward(
    _ layer: Int, _ rest: RecordPlan, _ behind: FloatBuffer, _ state: BackwardState
  ) -> [Phase] {
    let dDown = hasNormsBehind ? space.hiddenGradient : behind
    let width = shape.intermediate
    var phases = branchBackward(layer, .afterMLP, rest, behind)
    phases += beforeInputs(layer, shape.downStage, rest.downFactors, dy: dDown, state)
    phases.append(
      phase(rest.intermediate) { [self] tile, scratch in
        unsafe inputs(layer, shape.downStage, tile, dy: dDown, to: space.activated.pointer, scratch)
        let activation = shape.configuration.activation
        for row in tile.rows {
          let place = row * 2 * width + tile.columns.lowerBound
          let gradient = unsafe space.gateUpGradient.pointer + place
          let gate = unsafe record(layer).gateUp + place
          unsafe activation.gatedGradient(
            dy: space.activated.pointer + row * width + tile.columns.lowerBound, dGate: gradient, dUp: gradient + width,
            gate: gate, up: gate + width, count: tile.columns.count)
        }
      })
    phases += beforeInputs(layer, shape.gateUpStage, rest.gateFactors, dy: space.gateUpGradient, state)
    phases += [
      phase(rest.hidden) { [self] tile, scratch in
        unsafe inputs(
          layer, shape.gateUpStage, tile, dy: space.gateUpGradient, to: space.hiddenGradient.pointer, scratch)
      },
      Phase(tiles: rest.elementwise.count) { [self] tile, _ in
        guard let weight = unsafe weights.norm(layer, .beforeMLP) else { return }
        for row in rest.elementwise[tile] {
          let place = row * shape.hidden
          unsafe addRMSNormGradient(
            behind.pointer + place, dy: space.hiddenGradient.pointer + place, x: record(layer).middle + place,
            weight: weight, count: shape.hidden, epsilon: shape.epsilon)
        }
      },
    ]
    return phases
  }

  /// The gradient of the stream before the layer: what went past the attention, and what goes through it.
  private func inputNormBackward(_ layer: Int, _ rows: Range<Int>, _ state: BackwardState) {
    guard let weight = unsafe weights.norm(layer, .beforeAttention) else { return }
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
        x: streams[layer].pointer + row * hidden, weight: weight, count: hidden, epsilon: shape.epsilon)
    }
  }
}
