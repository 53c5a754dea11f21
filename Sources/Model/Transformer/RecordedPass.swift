internal import LinearAlgebra
internal import Multipliers
internal import SVF

/// A forward pass of a batch under one multiplier vector that remembers what a backward pass needs.
///
/// Everything goes in factored form, y = Q (s ⊙ (A x)) or y = B (s ⊙ (Qᵀ x)). With W' materialised the forward product
/// alone would be cheaper, but the gradient needs p and q = Qᵀ dy (or Bᵀ dy) beside it: for m outputs and n inputs,
/// m <= n, a row then costs 3 mn + m² multiplications, forming W' not counted, against 2 mn + 2 m² factored, where p is
/// the forward pass's own and dx = Aᵀ (s ⊙ q) begins with q. So a backward pass costs what an adapted forward pass costs.
///
/// The stream that enters each layer is always kept, (rows, hidden); of what happens within a layer as many layers' worth
/// as memory allows, the last layers first, since they are wanted first. Other layers are computed again on the way back,
/// by the same phases, and so to the same bits.
///
/// The phases of attention and of the way back are in files of their own. The forward half has the twin of
/// ``ForwardPass``, `NaiveLlama` in the tests; the gradient is compared with differences of that twin's losses.
///
/// `@unchecked Sendable`: `space` and `spare` are set before phases run; buffers are written by tiles of disjoint rows or
/// columns, phase by phase.
final class RecordedPass: @unchecked Sendable {
  let weights: ModelWeights
  let shape: ModelShape
  let batch: TokenBatch
  let table: MultiplierTable
  let adapters: LowRankAdapters?
  let temperature: Float
  let rowCount: Int
  let outputRows: [Int]
  let plan: RecordPlan
  let outputPlan: RecordPlan
  let blocks: [AttentionBlock]
  let outputBlocks: [AttentionBlock]

  /// (rows, hidden) for each layer: what enters it.
  let streams: [FloatBuffer]
  /// By layer, with adapters: what comes between A and B, see ``lowRankForward(layer:)``.
  private(set) var lowRank: [FloatBuffer] = []
  /// (output rows, hidden): what leaves the last layer, and its norm divided by the temperature.
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
    weights: ModelWeights, batch: TokenBatch, table: MultiplierTable, adapters: LowRankAdapters?, temperature: Float,
    memory: Int
  ) {
    let shape = weights.shape
    self.weights = weights
    self.shape = shape
    self.batch = batch
    self.table = table
    self.adapters = adapters
    self.temperature = temperature
    rowCount = batch.tokens.count
    outputRows = batch.outputRows
    plan = RecordPlan(rows: rowCount, shape: shape)
    outputPlan = RecordPlan(rows: outputRows.count, shape: shape)
    blocks = batch.attentionBlocks(outputsOnly: false)
    outputBlocks = batch.attentionBlocks(outputsOnly: true)
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
  func restBlocks(_ layer: Int) -> [AttentionBlock] { isLast(layer) ? outputBlocks : blocks }
  func matrix(_ layer: Int, _ projection: Projection) -> Int { layer * Projection.allCases.count + projection.rawValue }
}

// MARK: Forward

extension RecordedPass {
  /// The stream of the first layer = the embeddings of the tokens.
  func embed() {
    let hidden = shape.hidden
    for (row, token) in batch.tokens.enumerated() {
      unsafe (streams[0].pointer + row * hidden).update(from: weights.embedding + Int(token) * hidden, count: hidden)
    }
  }

  /// The phases that fill a layer's record.
  /// - Parameter goesOn: also computes what leaves the layer; false where the way back computes the layer again.
  func forward(layer: Int, goesOn: Bool = true) -> [Phase] {
    let rest = restPlan(layer)
    let blocks = restBlocks(layer)
    let heads = shape.keyValueHeads
    var phases = [
      Phase(tiles: plan.elementwise.count) { [self] tile, _ in
        unsafe norm(plan.elementwise[tile], of: streams[layer].pointer, weight: weights.inputNorm(layer))
      },
      phase(plan.headFactors) { [self] tile, _ in
        unsafe project(
          layer, [.query, .key, .value], tile, input: space.normed.pointer, width: shape.hidden,
          to: record(layer).headFactors)
      },
    ]
    phases += lowRankForward(layer: layer)
    phases += [
      phase(plan.heads) { [self] tile, scratch in projectHeads(layer, tile, scratch) },
      Phase(tiles: blocks.count * heads) { [self] tile, scratch in
        attend(layer, blocks[tile / heads], head: tile % heads, scratch)
      },
      phase(rest.outputFactors) { [self] tile, _ in
        unsafe project(
          layer, [.output], tile, input: space.attended.pointer, width: shape.queryWidth,
          to: record(layer).outputFactors)
      },
      phase(rest.hidden) { [self] tile, _ in
        // The stream has been put there by the attention.
        unsafe expand(layer, .output, tile, to: record(layer).middle, stride: shape.hidden, accumulate: true)
      },
      Phase(tiles: rest.elementwise.count) { [self] tile, _ in
        unsafe norm(rest.elementwise[tile], of: record(layer).middle, weight: weights.postNorm(layer))
      },
      phase(rest.gateFactors) { [self] tile, _ in
        unsafe project(
          layer, [.gate, .up], tile, input: space.normed.pointer, width: shape.hidden, to: record(layer).gateFactors)
      },
      phase(rest.intermediate) { [self] tile, _ in gateAndUp(layer, tile) },
      phase(rest.downFactors) { [self] tile, _ in
        unsafe project(
          layer, [.down], tile, input: space.activated.pointer, width: shape.intermediate,
          to: record(layer).downFactors)
      },
    ]
    if goesOn {
      phases.append(
        phase(rest.hidden) { [self] tile, _ in
          let out = isLast(layer) ? result : streams[layer + 1]
          unsafe copy(record(layer).middle, to: out.pointer, tile)
          unsafe expand(layer, .down, tile, to: out.pointer, stride: shape.hidden, accumulate: true)
        })
    }
    return phases
  }

  /// The input of the head. Logits are linear in it, so a temperature divides it.
  func finalNorm() {
    for row in outputRows.indices {
      let place = row * shape.hidden
      unsafe rmsNorm(
        normedResult.pointer + place, result.pointer + place, weight: weights.finalNorm, count: shape.hidden,
        epsilon: shape.epsilon)
      unsafe divideElements(normedResult.pointer + place, by: temperature, count: shape.hidden)
    }
  }

  func phase(_ tiles: [RecordTile], _ body: @escaping @Sendable (RecordTile, Scratch) -> Void) -> Phase {
    Phase(tiles: tiles.count) { tile, scratch in body(tiles[tile], scratch) }
  }

  func norm(_ rows: Range<Int>, of x: UnsafePointer<Float>, weight: UnsafePointer<Float>) {
    for row in rows {
      let place = row * shape.hidden
      unsafe rmsNorm(
        space.normed.pointer + place, x + place, weight: weight, count: shape.hidden, epsilon: shape.epsilon)
    }
  }

  private func copy(_ x: UnsafePointer<Float>, to out: UnsafeMutablePointer<Float>, _ tile: RecordTile) {
    for row in tile.rows {
      let place = row * shape.hidden + tile.columns.lowerBound
      unsafe (out + place).update(from: x + place, count: tile.columns.count)
    }
  }

  /// The first half for projections whose intermediates lie side by side: p = A x or Qᵀ x into `target`, and s ⊙ p into
  /// the factors of the space, which lie alike.
  private func project(
    _ layer: Int, _ projections: [Projection], _ tile: RecordTile, input: UnsafePointer<Float>, width: Int,
    to target: UnsafeMutablePointer<Float>
  ) {
    let stride = projections.reduce(0) { $0 + shape.rank($1) }
    let x = unsafe input + tile.rows.lowerBound * width
    var start = 0
    for projection in projections {
      let rank = shape.rank(projection)
      let part = tile.columns.clamped(to: start..<start + rank)
      let first = part.lowerBound - start
      start += rank
      guard !part.isEmpty else { continue }
      let index = matrix(layer, projection)
      let factored = table.factorization[index]
      let corner = tile.rows.lowerBound * stride + part.lowerBound
      unsafe factored.components(
        first..<first + part.count, of: x, rows: tile.rows.count, y: target + corner, yStride: stride)
      let s = unsafe table.values(0, index) + first
      for row in 0..<tile.rows.count {
        let place = corner + row * stride
        unsafe multiplyElements(space.factors.pointer + place, target + place, by: s, count: part.count)
      }
    }
  }

  /// The second half: y = Q or B times the factors, whose columns begin at `start` in rows of `factorStride`.
  private func expand(
    _ layer: Int, _ projection: Projection, rows: Range<Int>, columns: Range<Int>, start: Int = 0,
    factorStride: Int? = nil, to y: UnsafeMutablePointer<Float>, stride: Int, accumulate: Bool = false
  ) {
    let factorStride = factorStride ?? shape.rank(projection)
    unsafe table.factorization[matrix(layer, projection)].outputs(
      columns, of: space.factors.pointer + rows.lowerBound * factorStride + start, stride: factorStride,
      rows: rows.count, y: y, yStride: stride, accumulate: accumulate)
  }

  private func expand(
    _ layer: Int, _ projection: Projection, _ tile: RecordTile, to y: UnsafeMutablePointer<Float>, stride: Int,
    start: Int = 0, factorStride: Int? = nil, accumulate: Bool = false
  ) {
    unsafe expand(
      layer, projection, rows: tile.rows, columns: tile.columns, start: start, factorStride: factorStride,
      to: y + tile.rows.lowerBound * stride + tile.columns.lowerBound, stride: stride, accumulate: accumulate)
  }

  private func gateAndUp(_ layer: Int, _ tile: RecordTile) {
    let stride = shape.rank(.gate) + shape.rank(.up)
    let record = record(layer)
    unsafe expand(layer, .gate, tile, to: record.gate, stride: shape.intermediate, factorStride: stride)
    unsafe expand(
      layer, .up, tile, to: record.up, stride: shape.intermediate, start: shape.rank(.gate), factorStride: stride)
    for row in tile.rows {
      let place = row * shape.intermediate + tile.columns.lowerBound
      unsafe gatedSiLU(
        space.activated.pointer + place, gate: record.gate + place, up: record.up + place, count: tile.columns.count)
    }
  }

  /// Queries, keys and values of some heads, rotated and stored by head.
  private func projectHeads(_ layer: Int, _ tile: RecordTile, _ scratch: Scratch) {
    let size = shape.headDimension
    let width = tile.columns.count * size
    let out = unsafe scratch.floats(ScratchSlot.product, count: tile.rows.count * width)
    let projections: [Projection] = [.query, .key, .value]
    let factorStride = projections.reduce(0) { $0 + shape.rank($1) }
    var (start, firstHead) = (0, 0)
    for projection in projections {
      let heads = shape.rows(projection) / size
      let part = tile.columns.clamped(to: firstHead..<firstHead + heads)
      if !part.isEmpty {
        unsafe expand(
          layer, projection, rows: tile.rows,
          columns: (part.lowerBound - firstHead) * size..<(part.upperBound - firstHead) * size, start: start,
          factorStride: factorStride, to: out + (part.lowerBound - tile.columns.lowerBound) * size, stride: width)
        unsafe addLowRank(
          layer, projection, rows: tile.rows,
          columns: (part.lowerBound - firstHead) * size..<(part.upperBound - firstHead) * size,
          to: out + (part.lowerBound - tile.columns.lowerBound) * size, stride: width)
      }
      start += shape.rank(projection)
      firstHead += heads
    }
    for row in tile.rows {
      let (cosines, sines) = unsafe weights.rotary.angles(at: batch.positions[row])
      for unit in tile.columns {
        let x = unsafe out + (row - tile.rows.lowerBound) * width + (unit - tile.columns.lowerBound) * size
        if unit < shape.heads {
          let (head, place) = unit.quotientAndRemainder(dividingBy: shape.group)
          unsafe rotate(
            queries(layer, head: head, row: row) + place * size, x, cosines: cosines, sines: sines, half: size / 2)
        } else if unit < shape.heads + shape.keyValueHeads {
          unsafe rotate(
            keys(layer, head: unit - shape.heads, row: row), x, cosines: cosines, sines: sines, half: size / 2)
        } else {
          unsafe values(layer, head: unit - shape.heads - shape.keyValueHeads, row: row).update(from: x, count: size)
        }
      }
    }
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
