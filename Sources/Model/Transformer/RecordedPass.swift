internal import LinearAlgebra
internal import ModelFormats

/// A forward pass of a batch under one multiplier vector that remembers what a backward pass needs.
///
/// Everything goes in factored form (``FactoredForm``). With W' materialised the forward product alone would be cheaper,
/// but the gradient needs p and q = Qᵀ dy (or Bᵀ dy) beside it: for m outputs and n inputs, m <= n, a row then costs
/// 3 mn + m² multiplications, forming W' not counted, against 2 mn + 2 m² with the products of Q and W, where p is the
/// forward pass's own and dx = Aᵀ (s ⊙ q) begins with q, and 2 mn + 4 m² with W itself. So a backward pass costs what an
/// adapted forward pass costs.
///
/// The stream that enters each layer is always kept, (rows, hidden); of what happens within a layer as many layers' worth
/// as memory allows, the last layers first, since they are wanted first. Other layers are computed again on the way back,
/// by the same phases, and so to the same bits.
///
/// Products, the phases of attention and of the way back are in files of their own. The forward half has the twin of
/// ``ForwardPass``, `NaiveDecoder` in the tests; the gradient is compared with differences of that twin's losses.
///
/// `@unchecked Sendable`: `space` and `spare` are set before phases run; buffers are written by tiles of disjoint rows or
/// columns, phase by phase.
final class RecordedPass: @unchecked Sendable {
  let weights: ModelWeights
  let shape: ModelShape
  let batch: TokenBatch
  /// Of one vector, which all rows see.
  let factored: FactoredRows
  let adapters: LowRankAdapters?
  let logitForm: LogitForm
  let rowCount: Int
  let outputRows: [Int]
  let plan: RecordPlan
  let outputPlan: RecordPlan
  /// For each of the model's windows; and for the last layer's.
  let blocks: [[AttentionBlock]]
  let outputBlocks: [AttentionBlock]

  /// (rows, hidden) for each layer: what enters it.
  let streams: [FloatBuffer]
  /// By layer, with adapters: what comes between A and B, see ``lowRankForward(layer:)``.
  private(set) var lowRank: [FloatBuffer] = []
  /// (output rows, hidden): what leaves the last layer, and its norm divided by ``LogitForm/inputDivisor``.
  let result: FloatBuffer
  let normedResult: FloatBuffer

  /// By layer; nil is computed again.
  private let kept: [LayerRecord?]
  private var spare: LayerRecord?
  private var currentSpace: RecordSpace?

  /// - Parameters:
  ///   - temperature: what the logits are divided by.
  ///   - memory: bytes that the layers' records may take.
  init(
    weights: ModelWeights, batch: TokenBatch, factored: FactoredRows, adapters: LowRankAdapters?, temperature: Float,
    memory: Int
  ) {
    let shape = weights.shape
    self.weights = weights
    self.shape = shape
    self.batch = batch
    self.factored = factored
    self.adapters = adapters
    logitForm = LogitForm(cap: shape.configuration.logitCap, temperature: temperature)
    rowCount = batch.tokens.count
    outputRows = batch.outputRows
    plan = RecordPlan(rows: rowCount, shape: shape)
    outputPlan = RecordPlan(rows: outputRows.count, shape: shape)
    blocks = shape.windows.map { batch.attentionBlocks(outputsOnly: false, window: $0) }
    outputBlocks = batch.attentionBlocks(outputsOnly: true, window: shape.lastWindow)
    weights.reserve(positions: (batch.positions.max() ?? 0) + 1)
    let (rows, rest) = (rowCount, outputRows.count)
    streams = (0..<shape.layers).map { _ in FloatBuffer(count: rows * shape.hidden) }
    result = FloatBuffer(count: rest * shape.hidden)
    normedResult = FloatBuffer(count: rest * shape.hidden)
    var left = memory
    var kept: [LayerRecord?] = []
    for layer in (0..<shape.layers).reversed() {
      let rest = layer == shape.layers - 1 ? rest : rows
      left -= LayerRecord.byteCount(shape: shape, rows: rows, rest: rest)
      kept.append(left >= 0 ? LayerRecord(shape: shape, rows: rows, rest: rest) : nil)
    }
    self.kept = kept.reversed()
    if adapters != nil {
      lowRank = (0..<shape.layers).map { FloatBuffer(count: rows * lowRankStride($0)) }
    }
  }

  /// Layers that need not be computed again.
  var keptLayers: Int { kept.count { $0 != nil } }
  var recordBytes: Int {
    kept.enumerated().reduce(0) { sum, layer in
      layer.element == nil
        ? sum
        : sum
          + LayerRecord.byteCount(
            shape: shape, rows: rowCount, rest: isLast(layer.offset) ? outputRows.count : rowCount)
    }
  }

  /// Readies the memory that phases work in; ``end()`` lets it go.
  func begin() {
    currentSpace = RecordSpace(shape: shape, rows: rowCount, scores: scoreCount)
    if keptLayers < shape.layers { spare = LayerRecord(shape: shape, rows: rowCount, rest: rowCount) }
  }

  func end() {
    currentSpace = nil
    spare = nil
  }

  var space: RecordSpace {
    guard let currentSpace else { preconditionFailure("a recorded pass of \(rowCount) rows runs without its memory") }
    return currentSpace
  }

  func record(_ layer: Int) -> LayerRecord {
    guard let record = kept[layer] ?? spare else { preconditionFailure("layer \(layer) has no record") }
    return record
  }

  func isKept(_ layer: Int) -> Bool { kept[layer] != nil }
  func isLast(_ layer: Int) -> Bool { layer == shape.layers - 1 }
  func restPlan(_ layer: Int) -> RecordPlan { isLast(layer) ? outputPlan : plan }
  func restBlocks(_ layer: Int) -> [AttentionBlock] {
    isLast(layer) ? outputBlocks : blocks[shape.windowOfLayer[layer]]
  }
  /// Whether what attention and MLP give is normed before it is added to the stream.
  var hasNormsBehind: Bool { shape.configuration.norms == .around }
}

// MARK: Forward

extension RecordedPass {
  /// The stream of the first layer = the embeddings of the tokens.
  func embed() { weights.embed(batch.tokens, into: streams[0]) }

  /// The phases that fill a layer's record.
  /// - Parameter goesOn: also computes what leaves the layer; false where the way back computes the layer again.
  func forward(layer: Int, goesOn: Bool = true) -> [Phase] {
    let rest = restPlan(layer)
    let blocks = restBlocks(layer)
    let heads = shape.keyValueHeads
    var phases = [
      Phase(tiles: plan.elementwise.count) { [self] tile, _ in
        unsafe norm(layer, .beforeAttention, plan.elementwise[tile], of: streams[layer].pointer)
      }
    ]
    phases += beforeOutputs(layer, shape.headStage, plan.headFactors)
    phases += lowRankForward(layer: layer)
    phases += [
      phase(plan.heads) { [self] tile, scratch in projectHeads(layer, tile, scratch) },
      Phase(tiles: blocks.count * heads) { [self] tile, scratch in
        attend(layer, blocks[tile / heads], head: tile % heads, scratch)
      },
    ]
    phases += beforeOutputs(layer, shape.outputStage, rest.outputFactors)
    phases += [
      phase(rest.hidden) { [self] tile, scratch in
        // The stream has been put into the middle by the attention.
        let record = record(layer)
        unsafe outputs(
          layer, shape.outputStage, tile, to: hasNormsBehind ? record.attentionBranch : record.middle,
          stride: shape.hidden, accumulate: !hasNormsBehind, scratch)
      },
      Phase(tiles: rest.elementwise.count) { [self] tile, _ in
        let record = record(layer)
        unsafe addNormed(
          layer, .afterAttention, rest.elementwise[tile], of: record.attentionBranch, to: record.middle)
        unsafe norm(layer, .beforeMLP, rest.elementwise[tile], of: record.middle)
      },
    ]
    phases += beforeOutputs(layer, shape.gateUpStage, rest.gateFactors)
    phases.append(phase(rest.intermediate) { [self] tile, scratch in gateAndUp(layer, tile, scratch) })
    phases += beforeOutputs(layer, shape.downStage, rest.downFactors)
    return phases + ending(layer, goesOn: goesOn)
  }

  /// The last product of a layer, which the way back needs where it is normed, and what leaves the layer.
  private func ending(_ layer: Int, goesOn: Bool) -> [Phase] {
    let rest = restPlan(layer)
    let out = isLast(layer) ? result : goesOn ? streams[layer + 1] : streams[layer]
    guard hasNormsBehind else {
      guard goesOn else { return [] }
      return [
        phase(rest.hidden) { [self] tile, scratch in
          unsafe copy(record(layer).middle, to: out.pointer, tile)
          unsafe outputs(
            layer, shape.downStage, tile, to: out.pointer, stride: shape.hidden, accumulate: true, scratch)
        }
      ]
    }
    let product = phase(rest.hidden) { [self] tile, scratch in
      unsafe outputs(layer, shape.downStage, tile, to: record(layer).mlpBranch, stride: shape.hidden, scratch)
    }
    guard goesOn else { return [product] }
    return [
      product,
      Phase(tiles: rest.elementwise.count) { [self] tile, _ in
        let rows = rest.elementwise[tile]
        let place = rows.lowerBound * shape.hidden
        unsafe (out.pointer + place).update(from: record(layer).middle + place, count: rows.count * shape.hidden)
        unsafe addNormed(layer, .afterMLP, rows, of: record(layer).mlpBranch, to: out.pointer)
      },
    ]
  }

  /// The input of the head.
  func finalNorm() {
    for row in outputRows.indices {
      let place = row * shape.hidden
      unsafe rmsNorm(
        normedResult.pointer + place, result.pointer + place, weight: weights.finalNorm, count: shape.hidden,
        epsilon: shape.epsilon)
      unsafe divideElements(normedResult.pointer + place, by: logitForm.inputDivisor, count: shape.hidden)
    }
  }

  func phase(_ tiles: [RecordTile], _ body: @escaping @Sendable (RecordTile, Scratch) -> Void) -> Phase {
    Phase(tiles: tiles.count) { tile, scratch in body(tiles[tile], scratch) }
  }

  /// The norm of some rows of x into the space.
  func norm(_ layer: Int, _ place: LayerNorm, _ rows: Range<Int>, of x: UnsafePointer<Float>) {
    guard let weight = unsafe weights.norm(layer, place) else { return }
    for row in rows {
      let place = row * shape.hidden
      unsafe rmsNorm(
        space.normed.pointer + place, x + place, weight: weight, count: shape.hidden, epsilon: shape.epsilon)
    }
  }

  /// x += norm(branch), where the model has that norm.
  private func addNormed(
    _ layer: Int, _ place: LayerNorm, _ rows: Range<Int>, of branch: UnsafePointer<Float>,
    to x: UnsafeMutablePointer<Float>
  ) {
    guard let weight = unsafe weights.norm(layer, place) else { return }
    for row in rows {
      let place = row * shape.hidden
      unsafe addRMSNorm(x + place, branch + place, weight: weight, count: shape.hidden, epsilon: shape.epsilon)
    }
  }

  private func copy(_ x: UnsafePointer<Float>, to out: UnsafeMutablePointer<Float>, _ tile: RecordTile) {
    for row in tile.rows {
      let place = row * shape.hidden + tile.columns.lowerBound
      unsafe (out + place).update(from: x + place, count: tile.columns.count)
    }
  }

  private func gateAndUp(_ layer: Int, _ tile: RecordTile, _ scratch: Scratch) {
    let width = shape.intermediate
    let gateUp = unsafe record(layer).gateUp
    for first in [0, width] {
      unsafe outputs(
        layer, shape.gateUpStage, rows: tile.rows,
        outputs: first + tile.columns.lowerBound..<first + tile.columns.upperBound,
        to: gateUp + tile.rows.lowerBound * 2 * width + first + tile.columns.lowerBound, stride: 2 * width, scratch)
    }
    let activation = shape.configuration.activation
    for row in tile.rows {
      let gate = unsafe gateUp + row * 2 * width + tile.columns.lowerBound
      unsafe activation.gated(
        space.activated.pointer + row * width + tile.columns.lowerBound, gate: gate, up: gate + width,
        count: tile.columns.count)
    }
  }

  /// Queries, keys and values of some heads, normed, rotated and stored by head.
  private func projectHeads(_ layer: Int, _ tile: RecordTile, _ scratch: Scratch) {
    let size = shape.headDimension
    let width = tile.columns.count * size
    let range = tile.columns.lowerBound * size..<tile.columns.upperBound * size
    let out = unsafe scratch.floats(ScratchSlot.product, count: tile.rows.count * width)
    unsafe outputs(layer, shape.headStage, rows: tile.rows, outputs: range, to: out, stride: width, scratch)
    unsafe addLowRank(layer, rows: tile.rows, outputs: range, to: out, stride: width)
    let rotary = weights.rotary(layer)
    let (queryNorm, keyNorm) = unsafe (
      weights.headNorm(layer, ofKeys: false), weights.headNorm(layer, ofKeys: true)
    )
    for row in tile.rows {
      let angles = rotary?.angles(at: batch.positions[row])
      for unit in tile.columns {
        let x = unsafe out + (row - tile.rows.lowerBound) * width + (unit - tile.columns.lowerBound) * size
        guard unit < shape.heads + shape.keyValueHeads else {
          unsafe values(layer, head: unit - shape.heads - shape.keyValueHeads, row: row).update(from: x, count: size)
          continue
        }
        if let weight = unsafe unit < shape.heads ? queryNorm : keyNorm {
          unsafe headInput(layer, row: row, unit: unit).update(from: x, count: size)
          unsafe rmsNorm(x, x, weight: weight, count: size, epsilon: shape.epsilon)
        }
        if unit < shape.heads {
          let (head, place) = unit.quotientAndRemainder(dividingBy: shape.group)
          unsafe turn(queries(layer, head: head, row: row) + place * size, x, angles, count: size)
        } else {
          unsafe turn(keys(layer, head: unit - shape.heads, row: row), x, angles, count: size)
        }
      }
    }
  }

  /// A head's queries or keys before their norm; units count the heads of queries, then those of keys.
  func headInput(_ layer: Int, row: Int, unit: Int) -> UnsafeMutablePointer<Float> {
    unsafe record(layer).headInputs + (row * (shape.heads + shape.keyValueHeads) + unit) * shape.headDimension
  }

  /// The queries of a row's group at a head of keys, (group, component); consecutive rows follow each other.
  func queries(_ layer: Int, head: Int, row: Int) -> UnsafeMutablePointer<Float> {
    unsafe record(layer).queries + (head * rowCount + row) * shape.group * shape.headDimension
  }
  func keys(_ layer: Int, head: Int, row: Int) -> UnsafeMutablePointer<Float> {
    unsafe record(layer).keys + (head * rowCount + row) * shape.headDimension
  }
  func values(_ layer: Int, head: Int, row: Int) -> UnsafeMutablePointer<Float> {
    unsafe record(layer).values + (head * rowCount + row) * shape.headDimension
  }
}
