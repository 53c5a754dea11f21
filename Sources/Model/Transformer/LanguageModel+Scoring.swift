package import Engines
package import LinearAlgebra
internal import Multipliers

extension LanguageModel {
  /// Rows of one batch at most: bounds its memory; more rows no longer make products faster.
  package static let batchRows = 1024

  /// How passes for all threads are cut.
  var cut: TileShape { .pooled(threads: pool.threadCount) }

  /// The log-probability of every token of every continuation, (items, continuations), each item under its own weights.
  ///
  /// Items that see the same weights share the beginning that their prompts have in common. What is computed together
  /// depends on the arguments alone.
  package func score(
    _ items: [ScoringItem], under views: [WeightView], priority: ComputePool.Priority,
    shouldStop: @escaping @Sendable () -> Bool = { false }
  ) throws(EngineError) -> [[ContinuationScore]] {
    guard views.count == items.count else {
      throw .countMismatch(what: "weight views", found: views.count, expected: items.count)
    }
    for (index, item) in items.enumerated() { try item.check(index: index, shape: shape) }
    if case .prepared(let weights)? = views.first, let basis = weights as? ExpertBasis {
      precondition(views.allSatisfy { $0 == views[0] }, "sequences under prepared weights share a batch with others")
      return try score(items, basis, priority, shouldStop)
    }
    let (indices, multipliers, source) = try resolve(views)

    // Items of the base first, then vector by vector: rows that see the same weights lie together.
    let order = items.indices.sorted { (indices[$0], $0) < (indices[$1], $1) }
    var results = [[ContinuationScore]](repeating: [], count: items.count)
    for chunk in chunks(order.map { items[$0] }, rowLimit: Self.batchRows) {
      let members = order[chunk]
      let chunkBatch = ItemBatch(members.map { items[$0] }, views: members.map { indices[$0] })
      try require(passOf: chunkBatch.batch)
      for (member, scores) in zip(members, score(chunkBatch, multipliers, source, priority)) {
        results[member] = scores
      }
    }
    for (index, scores) in results.enumerated() where !scores.allSatisfy({ $0.logprobs.allSatisfy(\.isFinite) }) {
      throw .overflow(item: index)
    }
    return results
  }

  private func score(
    _ items: ItemBatch, _ multipliers: MultiplierTable?, _ source: WeightSource, _ priority: ComputePool.Priority
  ) -> [[ContinuationScore]] {
    guard !items.targets.isEmpty else { return items.scores([]) }
    let pass = ForwardPass(
      weights: weights, batch: items.batch, source: source, factored: factored(multipliers, items.batch), cut: cut)
    let head = OutputHead(pass: pass, targets: items.targets)
    run(pass, then: Phase(tiles: head.tileCount) { tile, scratch in head.run(tile: tile, scratch) }, priority)
    return items.scores(head.logprobs())
  }

  /// As ``score(_:under:priority:)-swift.method`` for one item, in passes of about `pieceRows` rows: for requests that
  /// others do not wait long for. A long prompt is computed piece by piece into a cache, and its continuations after the
  /// last piece, at once.
  package func score(
    _ item: ScoringItem, under view: WeightView, inPiecesOf pieceRows: Int, priority: ComputePool.Priority
  ) throws(EngineError) -> [ContinuationScore] {
    guard item.rowCount > pieceRows, !item.continuations.isEmpty else {
      return try score([item], under: view, priority: priority)[0]
    }
    try item.check(index: 0, shape: shape)
    let (views, multipliers, source) = try resolve([view])
    // The last piece is left to the pass that answers: it ends the prompt.
    let cache = try keep(item.prompt, upTo: pieceRows, views[0], multipliers, source, priority)
    let last = ItemBatch(item, after: cache, view: views[0])
    try require(passOf: last.batch)
    let scores = score(last, multipliers, source, priority)[0]
    guard scores.allSatisfy({ $0.logprobs.allSatisfy(\.isFinite) }) else { throw .overflow(item: 0) }
    return scores
  }

  /// The keys and values of the beginning of a prompt, in passes of `pieceRows` rows, but for the last so many tokens.
  private func keep(
    _ prompt: [Int32], upTo pieceRows: Int, _ view: Int, _ multipliers: MultiplierTable?, _ source: WeightSource,
    _ priority: ComputePool.Priority
  ) throws(EngineError) -> KeyValueCache {
    let cache = KeyValueCache(shape: shape)
    try room.require(
      KeyValueCache.byteCount(shape: shape, positions: prompt.count), for: "a prompt of \(prompt.count) tokens")
    cache.reserve(prompt.count)
    while prompt.count - cache.count > pieceRows {
      var batch = TokenBatch()
      let piece = prompt[cache.count...].prefix(pieceRows)
      _ = batch.append(piece, start: cache.count, outputCount: 1, view: view, cache: 0)
      batch.caches = [cache]
      let pass = ForwardPass(
        weights: weights, batch: batch, source: source, factored: factored(multipliers, batch), cut: cut)
      _ = fullLogits(pass, priority)
      cache.count += piece.count
    }
    return cache
  }

  /// Refuses a pass that works in more memory than there is: one sequence that is not cut may have a model's whole context.
  private func require(passOf batch: TokenBatch) throws(EngineError) {
    let rows = batch.tokens.count
    guard rows > Self.batchRows else { return }
    try room.require(shape.passBytes(rows: rows), for: "a pass over \(rows) tokens")
  }

  /// The logits after the prompt's last token, (vocabulary), in passes of about `pieceRows` rows.
  package func logits(
    prompt: [Int32], under view: WeightView = .base, inPiecesOf pieceRows: Int = LanguageModel.batchRows,
    priority: ComputePool.Priority = .interactive
  ) throws(EngineError) -> [Float] {
    try ScoringItem(prompt: prompt, continuations: []).check(index: 0, shape: shape)
    let (indices, multipliers, source) = try resolve([view])
    var batch = TokenBatch()
    if prompt.count > pieceRows {
      let cache = try keep(prompt, upTo: pieceRows, indices[0], multipliers, source, priority)
      _ = batch.append(prompt[cache.count...], start: cache.count, outputCount: 1, view: indices[0], cache: 0)
      batch.caches = [cache]
    } else {
      _ = batch.append(prompt, outputCount: 1, view: indices[0])
    }
    let pass = ForwardPass(
      weights: weights, batch: batch, source: source, factored: factored(multipliers, batch), cut: cut)
    let logits = fullLogits(pass, priority)
    guard unsafe allFinite(logits.pointer, count: shape.vocabulary) else { throw .overflow(item: 0) }
    return unsafe Array(UnsafeBufferPointer(start: logits.pointer, count: shape.vocabulary))
  }

  /// Runs a pass and its head; returns the logits of all output rows, (output rows, vocabulary).
  func fullLogits(_ pass: ForwardPass, _ priority: ComputePool.Priority) -> FloatBuffer {
    let vocabulary = shape.vocabulary
    let logits = FloatBuffer(count: pass.outputRows.count * vocabulary)
    let blocks = OutputHead.vocabularyBlocks(shape)
    let head = Phase(tiles: blocks.count) { [weights] tile, scratch in
      let columns = blocks[tile]
      unsafe weights.logits(
        of: pass.gathered.pointer, rows: pass.outputRows.count, tokens: columns, pass.logitForm,
        to: logits.pointer + columns.lowerBound, stride: vocabulary, scratch)
    }
    run(pass, then: head, priority)
    return logits
  }

  /// All layers of a pass, the final norm, and what follows it.
  func run(_ pass: ForwardPass, then head: Phase, _ priority: ComputePool.Priority) {
    pass.embed()
    let space = spaces.take(rows: pass.rowCount)
    pass.space = space
    var phases: [Phase] = []
    for layer in 0..<shape.layers { phases += pass.phases(layer: layer) }
    phases.append(Phase(tiles: 1) { _, _ in pass.finalNorm() })
    phases.append(head)
    pool.run(phases, priority: priority)
    pass.space = nil
    spaces.give(space)
  }

  /// For each view -1 for dense weights or the index of its vector, each distinct vector once; and the dense weights.
  func resolve(
    _ views: [WeightView]
  ) throws(EngineError) -> (indices: [Int], MultiplierTable?, WeightSource) {
    var source = WeightSource.base
    var vectors: [MultiplierVector] = []
    var indices: [Int] = []
    for view in views {
      switch view {
      case .base: indices.append(-1)
      case .prepared(let weights):
        guard let weights = weights as? LowRankWeights else {
          preconditionFailure("weights that another engine prepared, or that are scored elsewhere: \(weights)")
        }
        precondition(views.allSatisfy { $0 == view }, "sequences under prepared weights share a batch with others")
        source = .lowRank(weights)
        indices.append(-1)
      case .factored(let vector):
        guard vector.values.count == layout.count else {
          throw .wrongMultiplierCount(found: vector.values.count, expected: layout.count)
        }
        if let known = vectors.firstIndex(of: vector) {
          indices.append(known)
        } else if vector.isIdentity {
          indices.append(-1)
        } else {
          indices.append(vectors.count)
          vectors.append(vector)
        }
      }
    }
    return (indices, vectors.isEmpty ? nil : MultiplierTable(vectors, factorization: factorization), source)
  }
}
