internal import LinearAlgebra
internal import Multipliers
internal import SVF

/// One forward pass of a ``TokenBatch``: its geometry, its memory, and the phases of each layer.
///
/// Read `NaiveLlama` first (Tests/Model/TransformerTests/NaiveLlama.swift): the same mathematics as one loop over rows,
/// in double, without blocks and tiles. The tests compare the two.
///
/// A layer is a sequence of phases of tiles. The same phases run on the threads of a pool (one batch, cut finely), or one
/// after the other within a single tile of something larger (a candidate of a population, see ``CandidateScoring``).
///
/// The residual stream x is (rows, hidden). Queries, keys and values lie by the head of keys, so that the query heads of
/// a group are rows of one matrix. In the last layer everything after the keys and values is computed for the rows
/// that need logits only, in `gathered`.
///
/// `@unchecked Sendable`: `space` is set before the phases run and by the one tile that runs them; buffers are written by
/// tiles of disjoint rows or columns, phase by phase.
final class ForwardPass: @unchecked Sendable {
  let weights: ModelWeights
  let shape: ModelShape
  let batch: TokenBatch
  let source: WeightSource
  let multipliers: MultiplierTable?
  let temperature: Float
  let rowCount: Int
  let outputRows: [Int]
  private let rowTiles: TilePlan
  private let outputTiles: TilePlan
  private let blocks: [AttentionBlock]
  private let outputBlocks: [AttentionBlock]
  /// The cache that takes a row's keys and values, where its segment has one.
  let rowCaches: [Int?]
  let outputViews: [Int]

  /// (rows, hidden)
  let stream: FloatBuffer
  /// (output rows, hidden)
  let gathered: FloatBuffer
  var space: Workspace?

  /// - Parameters:
  ///   - multipliers: the vectors that rows with a view refer to; nil where all rows see dense weights.
  ///   - temperature: what the logits are divided by.
  init(
    weights: ModelWeights, batch: TokenBatch, source: WeightSource = .base, multipliers: MultiplierTable? = nil,
    temperature: Float = 1, cut: TileShape
  ) {
    self.weights = weights
    self.shape = weights.shape
    self.batch = batch
    self.source = source
    self.multipliers = multipliers
    self.temperature = temperature
    rowCount = batch.tokens.count
    outputRows = batch.outputRows
    rowTiles = TilePlan(groups: TokenBatch.groups(views: batch.views), shape: weights.shape, cut: cut)
    outputViews = outputRows.map { batch.views[$0] }
    outputTiles = TilePlan(groups: TokenBatch.groups(views: outputViews), shape: weights.shape, cut: cut)
    blocks = batch.attentionBlocks(outputsOnly: false)
    outputBlocks = batch.attentionBlocks(outputsOnly: true)
    rowCaches = batch.segments.flatMap { repeatElement($0.cache, count: $0.rows.count) }
    stream = FloatBuffer(count: rowCount * weights.shape.hidden)
    gathered = FloatBuffer(count: outputRows.count * weights.shape.hidden)
  }

  /// x = the embeddings of the tokens.
  func embed() {
    let hidden = shape.hidden
    for (row, token) in batch.tokens.enumerated() {
      unsafe (stream.pointer + row * hidden).update(from: weights.embedding + Int(token) * hidden, count: hidden)
    }
  }

  /// The phases of a layer, in order; ``space`` must be there when they run.
  func phases(layer: Int) -> [Phase] {
    let isLast = layer == shape.layers - 1
    let x = isLast ? gathered : stream
    let all = rowTiles
    let rest = isLast ? outputTiles : rowTiles
    let restBlocks = isLast ? outputBlocks : blocks
    let restViews = isLast ? outputViews : batch.views
    let heads = shape.keyValueHeads
    var phases: [Phase] = []

    phases.append(
      Phase(tiles: all.elementwise.count) { [self] tile, _ in
        unsafe norm(all.elementwise[tile], of: stream, weight: weights.inputNorm(layer))
      })
    add(&phases, dense: all.heads, factored: all.headFactors) { [self] tile, scratch in
      project(layer, heads: tile, scratch)
    } firstHalf: { [self] tile, _ in
      unsafe factor(layer, [.query, .key, .value], tile, batch.views, input: normed, width: shape.hidden)
    }
    add(&phases, factored: all.factoredHeads) { [self] tile, scratch in
      projectFactored(layer, heads: tile, scratch)
    }
    phases.append(
      Phase(tiles: restBlocks.count * heads) { [self] tile, scratch in
        attend(layer, restBlocks[tile / heads], head: tile % heads, gather: isLast, scratch)
      })
    add(&phases, dense: rest.hidden, factored: rest.outputFactors) { [self] tile, scratch in
      let w = unsafe source.weights(weights, layer: layer, .output, through: .output, scratch)
      unsafe addProduct(tile, w, input: attended, width: shape.queryWidth, to: x)
    } firstHalf: { [self] tile, _ in
      unsafe factor(layer, [.output], tile, restViews, input: attended, width: shape.queryWidth)
    }
    add(&phases, factored: rest.factoredHidden) { [self] tile, _ in
      addFactored(layer, .output, tile, to: x)
    }
    phases.append(
      Phase(tiles: rest.elementwise.count) { [self] tile, _ in
        unsafe norm(rest.elementwise[tile], of: x, weight: weights.postNorm(layer))
      })
    add(&phases, dense: rest.intermediate, factored: rest.gateFactors) { [self] tile, scratch in
      gateAndUp(layer, tile, scratch)
    } firstHalf: { [self] tile, _ in
      unsafe factor(layer, [.gate, .up], tile, restViews, input: normed, width: shape.hidden)
    }
    add(&phases, factored: rest.factoredIntermediate) { [self] tile, _ in
      gateAndUpFactored(layer, tile)
    }
    add(&phases, dense: rest.hidden, factored: rest.downFactors) { [self] tile, scratch in
      let w = unsafe source.weights(weights, layer: layer, .down, through: .down, scratch)
      unsafe addProduct(tile, w, input: gate, width: shape.intermediate, to: x)
    } firstHalf: { [self] tile, _ in
      unsafe factor(layer, [.down], tile, restViews, input: gate, width: shape.intermediate)
    }
    add(&phases, factored: rest.factoredHidden) { [self] tile, _ in
      addFactored(layer, .down, tile, to: x)
    }
    return phases
  }

  /// gathered = rms norm of gathered: the input of the head. Logits are linear in it, so a temperature divides it.
  func finalNorm() {
    for row in outputRows.indices {
      let x = unsafe gathered.pointer + row * shape.hidden
      unsafe rmsNorm(x, x, weight: weights.finalNorm, count: shape.hidden, epsilon: shape.epsilon)
      unsafe divideElements(x, by: temperature, count: shape.hidden)
    }
  }

  /// A phase of the dense rows' whole product and the factored rows' first half.
  private func add(
    _ phases: inout [Phase], dense: [Tile], factored: [Tile], _ whole: @escaping @Sendable (Tile, Scratch) -> Void,
    firstHalf: @escaping @Sendable (Tile, Scratch) -> Void
  ) {
    phases.append(
      Phase(tiles: dense.count + factored.count) { tile, scratch in
        if tile < dense.count {
          whole(dense[tile], scratch)
        } else {
          firstHalf(factored[tile - dense.count], scratch)
        }
      })
  }

  /// A phase of the factored rows' second half, where there are any.
  private func add(
    _ phases: inout [Phase], factored: [Tile], _ body: @escaping @Sendable (Tile, Scratch) -> Void
  ) {
    guard !factored.isEmpty else { return }
    phases.append(Phase(tiles: factored.count) { tile, scratch in body(factored[tile], scratch) })
  }
}

// MARK: Memory

extension ForwardPass {
  var workspace: Workspace {
    guard let space else { preconditionFailure("a forward pass of \(rowCount) rows runs without a workspace") }
    return space
  }
  var normed: UnsafeMutablePointer<Float> { unsafe workspace.normed.pointer }
  var attended: UnsafeMutablePointer<Float> { unsafe workspace.attended.pointer }
  var gate: UnsafeMutablePointer<Float> { unsafe workspace.gate.pointer }

  /// The queries of a row's group at a head of keys, (group, component); consecutive rows follow each other.
  func queries(head: Int, row: Int) -> UnsafeMutablePointer<Float> {
    unsafe workspace.queries.pointer + (head * rowCount + row) * shape.group * shape.headDimension
  }

  func keys(head: Int, row: Int) -> UnsafeMutablePointer<Float> {
    unsafe workspace.keys.pointer + (head * rowCount + row) * shape.headDimension
  }

  func values(head: Int, row: Int) -> UnsafeMutablePointer<Float> {
    unsafe workspace.values.pointer + (head * rowCount + row) * shape.headDimension
  }
}

// MARK: Dense rows

extension ForwardPass {
  func norm(_ rows: Range<Int>, of x: FloatBuffer, weight: UnsafePointer<Float>) {
    for row in rows {
      unsafe rmsNorm(
        normed + row * shape.hidden, x.pointer + row * shape.hidden, weight: weight, count: shape.hidden,
        epsilon: shape.epsilon)
    }
  }

  /// Queries, keys and values of some heads: product, rotation, and storing by head.
  func project(_ layer: Int, heads tile: Tile, _ scratch: Scratch) {
    let width = tile.columns.count * shape.headDimension
    let out = unsafe scratch.floats(ScratchSlot.product, count: tile.rows.count * width)
    let w = unsafe source.weights(weights, layer: layer, .query, through: .value, scratch)
    unsafe multiplyTransposed(
      rows: tile.rows.count, columns: width, inner: shape.hidden, x: normed + tile.rows.lowerBound * shape.hidden,
      xStride: shape.hidden, weights: w + tile.columns.lowerBound * shape.headDimension * shape.hidden, y: out,
      yStride: width)
    unsafe store(layer, heads: tile, out)
  }

  /// Rotates queries and keys of a tile and stores them, and the values, where attention reads them. `out` is (rows of
  /// the tile, its heads x components); heads count queries, then keys, then values.
  func store(_ layer: Int, heads tile: Tile, _ out: UnsafePointer<Float>) {
    let size = shape.headDimension
    for row in tile.rows {
      let position = batch.positions[row]
      let (cosines, sines) = unsafe weights.rotary.angles(at: position)
      let cache = rowCaches[row].map { batch.caches[$0] }
      for unit in tile.columns {
        let x = unsafe out + ((row - tile.rows.lowerBound) * tile.columns.count + unit - tile.columns.lowerBound) * size
        if unit < shape.heads {
          let (head, place) = unit.quotientAndRemainder(dividingBy: shape.group)
          unsafe rotate(
            queries(head: head, row: row) + place * size, x, cosines: cosines, sines: sines, half: size / 2)
          continue
        }
        let isKey = unit < shape.heads + shape.keyValueHeads
        let head = (unit - shape.heads) % shape.keyValueHeads
        let target = unsafe isKey ? keys(head: head, row: row) : values(head: head, row: row)
        if isKey {
          unsafe rotate(target, x, cosines: cosines, sines: sines, half: size / 2)
        } else {
          unsafe target.update(from: x, count: size)
        }
        if let cache {
          let (block, place) = position.quotientAndRemainder(dividingBy: KeyValueCache.blockPositions)
          let kept =
            unsafe isKey
            ? cache.keys(layer: layer, head: head, block: block) : cache.values(layer: layer, head: head, block: block)
          unsafe (kept + place * size).update(from: target, count: size)
        }
      }
    }
  }

  /// x += input Wᵀ for the tile's rows and outputs.
  func addProduct(
    _ tile: Tile, _ w: UnsafePointer<Float>, input: UnsafeMutablePointer<Float>, width: Int, to x: FloatBuffer
  ) {
    unsafe multiplyTransposed(
      rows: tile.rows.count, columns: tile.columns.count, inner: width, x: input + tile.rows.lowerBound * width,
      xStride: width, weights: w + tile.columns.lowerBound * width,
      y: x.pointer + tile.rows.lowerBound * shape.hidden + tile.columns.lowerBound, yStride: shape.hidden,
      accumulate: true)
  }

  /// gate = silu(normed Wgᵀ) * (normed Wuᵀ) for the tile's rows and outputs.
  func gateAndUp(_ layer: Int, _ tile: Tile, _ scratch: Scratch) {
    let corner = tile.rows.lowerBound * shape.intermediate + tile.columns.lowerBound
    for (projection, target) in [(Projection.gate, workspace.gate), (.up, workspace.up)] {
      let w = unsafe source.weights(weights, layer: layer, projection, through: projection, scratch)
      unsafe multiplyTransposed(
        rows: tile.rows.count, columns: tile.columns.count, inner: shape.hidden,
        x: normed + tile.rows.lowerBound * shape.hidden, xStride: shape.hidden,
        weights: w + tile.columns.lowerBound * shape.hidden, y: target.pointer + corner, yStride: shape.intermediate)
    }
    activate(tile)
  }

  func activate(_ tile: Tile) {
    for row in tile.rows {
      let place = row * shape.intermediate + tile.columns.lowerBound
      unsafe gatedSiLU(gate + place, workspace.up.pointer + place, count: tile.columns.count)
    }
  }
}
