internal import LinearAlgebra
internal import ModelFormats

/// One forward pass of a ``TokenBatch``: its geometry, its memory, and the phases of each layer.
///
/// Read `NaiveDecoder` first (Tests/Model/TransformerTests/NaiveDecoder.swift): the same mathematics as one loop over rows,
/// in double, without blocks and tiles. The tests compare the two. What a family does differently is a fact of the
/// configuration, looked up for a phase or a tile; nothing here knows a family.
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
  let factored: FactoredRows?
  let logitForm: LogitForm
  let rowCount: Int
  let outputRows: [Int]
  private let rowTiles: TilePlan
  private let outputTiles: TilePlan
  /// For each of the model's windows; and for the last layer's.
  private let blocks: [[AttentionBlock]]
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
  ///   - factored: the vectors that rows with a view refer to; nil where all rows see dense weights.
  ///   - temperature: what the logits are divided by.
  init(
    weights: ModelWeights, batch: TokenBatch, source: WeightSource = .base, factored: FactoredRows? = nil,
    temperature: Float = 1, cut: TileShape
  ) {
    self.weights = weights
    self.shape = weights.shape
    self.batch = batch
    self.source = source
    self.factored = factored
    logitForm = LogitForm(cap: weights.shape.configuration.logitCap, temperature: temperature)
    rowCount = batch.tokens.count
    outputRows = batch.outputRows
    rowTiles = TilePlan(groups: TokenBatch.groups(views: batch.views), shape: weights.shape, cut: cut)
    outputViews = outputRows.map { batch.views[$0] }
    outputTiles = TilePlan(groups: TokenBatch.groups(views: outputViews), shape: weights.shape, cut: cut)
    blocks = weights.shape.windows.map { batch.attentionBlocks(outputsOnly: false, window: $0) }
    outputBlocks = batch.attentionBlocks(outputsOnly: true, window: weights.shape.lastWindow)
    rowCaches = batch.segments.flatMap { repeatElement($0.cache, count: $0.rows.count) }
    stream = FloatBuffer(count: rowCount * weights.shape.hidden)
    gathered = FloatBuffer(count: outputRows.count * weights.shape.hidden)
    weights.reserve(positions: (batch.positions.max() ?? 0) + 1)
  }

  /// x = the embeddings of the tokens.
  func embed() { weights.embed(batch.tokens, into: stream) }

  /// The phases of a layer, in order; ``space`` must be there when they run.
  func phases(layer: Int) -> [Phase] {
    let isLast = layer == shape.layers - 1
    let x = isLast ? gathered : stream
    let all = rowTiles
    let rest = isLast ? outputTiles : rowTiles
    let restBlocks = isLast ? outputBlocks : blocks[shape.windowOfLayer[layer]]
    let restViews = isLast ? outputViews : batch.views
    let heads = shape.keyValueHeads
    var phases: [Phase] = []

    phases.append(
      Phase(tiles: all.elementwise.count) { [self] tile, _ in
        norm(layer, .beforeAttention, all.elementwise[tile], of: stream)
      })
    add(&phases, layer, shape.headStage, all.heads, batch.views) { [self] tile, views, scratch in
      project(layer, heads: tile, views: views, scratch)
    }
    phases.append(
      Phase(tiles: restBlocks.count * heads) { [self] tile, scratch in
        attend(layer, restBlocks[tile / heads], head: tile % heads, gather: isLast, scratch)
      })
    add(&phases, layer, shape.outputStage, rest.output, restViews) { [self] tile, views, scratch in
      addOutputs(layer, shape.outputStage, tile, views: views, to: x, scratch)
    }
    phases.append(
      Phase(tiles: rest.elementwise.count) { [self] tile, _ in
        addNormed(layer, .afterAttention, rest.elementwise[tile], to: x)
        norm(layer, .beforeMLP, rest.elementwise[tile], of: x)
      })
    add(&phases, layer, shape.gateUpStage, rest.gateUp, restViews) { [self] tile, views, scratch in
      gateAndUp(layer, tile, views: views, scratch)
    }
    add(&phases, layer, shape.downStage, rest.down, restViews) { [self] tile, views, scratch in
      addOutputs(layer, shape.downStage, tile, views: views, to: x, scratch)
    }
    if hasNormsBehind {
      phases.append(
        Phase(tiles: rest.elementwise.count) { [self] tile, _ in
          addNormed(layer, .afterMLP, rest.elementwise[tile], to: x)
        })
    }
    return phases
  }

  /// gathered = rms norm of gathered: the input of the head.
  func finalNorm() {
    for row in outputRows.indices {
      let x = unsafe gathered.pointer + row * shape.hidden
      unsafe rmsNorm(x, x, weight: weights.finalNorm, count: shape.hidden, epsilon: shape.epsilon)
      unsafe divideElements(x, by: logitForm.inputDivisor, count: shape.hidden)
    }
  }

  /// A phase of the dense rows' whole product and the factored rows' first ones; and where there are factored rows those of
  /// their other products. `body` does what comes with the outputs of a tile.
  /// - Parameter views: of the rows that tiles count.
  private func add(
    _ phases: inout [Phase], _ layer: Int, _ stage: Stage, _ tiles: StageTiles, _ views: [Int],
    _ body: @escaping @Sendable (Tile, _ views: [Int]?, Scratch) -> Void
  ) {
    let (dense, factors, factored) = (tiles.dense, tiles.factors, tiles.factored)
    phases.append(
      Phase(tiles: dense.count + factors.count) { [self] tile, scratch in
        if tile < dense.count {
          body(dense[tile], nil, scratch)
        } else {
          first(layer, stage, factors[tile - dense.count], views, scratch)
        }
      })
    guard !factored.isEmpty else { return }
    if hasSecond(layer, stage) {
      phases.append(
        Phase(tiles: factors.count) { [self] tile, scratch in
          second(layer, stage, factors[tile], views, scratch)
        })
    }
    phases.append(Phase(tiles: factored.count) { tile, scratch in body(factored[tile], views, scratch) })
  }
}

// MARK: Memory

extension ForwardPass {
  var workspace: Workspace {
    guard let space else { preconditionFailure("a forward pass of \(rowCount) rows runs without a workspace") }
    return space
  }

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

// MARK: What comes with the products

extension ForwardPass {
  /// Whether what attention and MLP give is normed before it is added to the stream.
  private var hasNormsBehind: Bool { shape.configuration.norms == .around }

  private func norm(_ layer: Int, _ place: LayerNorm, _ rows: Range<Int>, of x: FloatBuffer) {
    guard let weight = unsafe weights.norm(layer, place) else { return }
    for row in rows {
      unsafe rmsNorm(
        workspace.normed.pointer + row * shape.hidden, x.pointer + row * shape.hidden, weight: weight,
        count: shape.hidden, epsilon: shape.epsilon)
    }
  }

  /// x += norm(branch), where the model has that norm.
  private func addNormed(_ layer: Int, _ place: LayerNorm, _ rows: Range<Int>, to x: FloatBuffer) {
    guard let weight = unsafe weights.norm(layer, place) else { return }
    for row in rows {
      unsafe addRMSNorm(
        x.pointer + row * shape.hidden, workspace.branch.pointer + row * shape.hidden, weight: weight,
        count: shape.hidden, epsilon: shape.epsilon)
    }
  }

  /// Queries, keys and values of some heads: product, norm, rotation, and storing by head.
  private func project(_ layer: Int, heads tile: Tile, views: [Int]?, _ scratch: Scratch) {
    let size = shape.headDimension
    let width = tile.columns.count * size
    let out = unsafe scratch.floats(ScratchSlot.product, count: tile.rows.count * width)
    unsafe outputs(
      layer, shape.headStage, rows: tile.rows, outputs: tile.columns.lowerBound * size..<tile.columns.upperBound * size,
      views: views, to: out, stride: width, scratch)
    unsafe store(layer, heads: tile, out)
  }

  /// Norms and rotates queries and keys of a tile and stores them, and the values, where attention reads them. `out` is
  /// (rows of the tile, its heads x components); heads count queries, then keys, then values.
  private func store(_ layer: Int, heads tile: Tile, _ out: UnsafeMutablePointer<Float>) {
    let size = shape.headDimension
    let rotary = weights.rotary(layer)
    let (queryNorm, keyNorm) = unsafe (
      weights.headNorm(layer, ofKeys: false), weights.headNorm(layer, ofKeys: true)
    )
    for row in tile.rows {
      let position = batch.positions[row]
      let angles = rotary?.angles(at: position)
      let cache = rowCaches[row].map { batch.caches[$0] }
      for unit in tile.columns {
        let x = unsafe out + ((row - tile.rows.lowerBound) * tile.columns.count + unit - tile.columns.lowerBound) * size
        if unit < shape.heads {
          let (head, place) = unit.quotientAndRemainder(dividingBy: shape.group)
          if let queryNorm = unsafe queryNorm {
            unsafe rmsNorm(x, x, weight: queryNorm, count: size, epsilon: shape.epsilon)
          }
          unsafe turn(queries(head: head, row: row) + place * size, x, angles, count: size)
          continue
        }
        let isKey = unit < shape.heads + shape.keyValueHeads
        let head = (unit - shape.heads) % shape.keyValueHeads
        let target = unsafe isKey ? keys(head: head, row: row) : values(head: head, row: row)
        if isKey {
          if let keyNorm = unsafe keyNorm {
            unsafe rmsNorm(x, x, weight: keyNorm, count: size, epsilon: shape.epsilon)
          }
          unsafe turn(target, x, angles, count: size)
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

  /// The outputs of o or down for a tile: added to x, or put into the branch that is normed before that.
  private func addOutputs(
    _ layer: Int, _ stage: Stage, _ tile: Tile, views: [Int]?, to x: FloatBuffer, _ scratch: Scratch
  ) {
    let target = hasNormsBehind ? workspace.branch : x
    unsafe outputs(
      layer, stage, rows: tile.rows, outputs: tile.columns, views: views,
      to: target.pointer + tile.rows.lowerBound * shape.hidden + tile.columns.lowerBound, stride: shape.hidden,
      accumulate: !hasNormsBehind, scratch)
  }

  /// gate = activation(gate) * up for the tile's rows and channels.
  private func gateAndUp(_ layer: Int, _ tile: Tile, views: [Int]?, _ scratch: Scratch) {
    let width = shape.intermediate
    let corner = tile.rows.lowerBound * width + tile.columns.lowerBound
    for (first, target) in [(0, workspace.gate), (width, workspace.up)] {
      unsafe outputs(
        layer, shape.gateUpStage, rows: tile.rows,
        outputs: first + tile.columns.lowerBound..<first + tile.columns.upperBound, views: views,
        to: target.pointer + corner, stride: width, scratch)
    }
    let activation = shape.configuration.activation
    for row in tile.rows {
      let place = row * width + tile.columns.lowerBound
      unsafe activation.gated(
        workspace.gate.pointer + place, gate: workspace.gate.pointer + place, up: workspace.up.pointer + place,
        count: tile.columns.count)
    }
  }
}
