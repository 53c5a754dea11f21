package import Engines
package import Settings
package import LinearAlgebra
package import Multipliers

/// Items scored under a multiplier vector, with what is needed to say how any loss of their log-probabilities changes with
/// each multiplier.
///
/// A loss is asked for in two steps, since what it is may depend on the scores (a reward, the share of a choice among the
/// choices): ``LanguageModel/record(_:under:adding:temperature:divergence:memory:priority:shouldStop:)`` gives the scores
/// and this tape, and ``gradient(_:divergenceWeight:fromLayer:priority:shouldStop:)`` takes dL/d ln p of every token of
/// every continuation. Several losses may be asked of one tape, one after the other.
///
/// A loss may also have a part in how far the distributions are from the base's, which is exact over the vocabulary at
/// every token's place; the places themselves, the tokens before them, are taken as they are.
///
/// All of it may be of a tempered model, π_T = softmax(logits / T), from which answers are sampled at temperature T.
///
/// What is computed together depends on the arguments alone: neither threads nor the memory for activations change a bit
/// of the gradient.
package final class GradientTape: Sendable, GradientRecord {
  /// (items, continuations), as ``LanguageModel/score(_:under:priority:)-swift.method`` gives them.
  package let scores: [[ContinuationScore]]
  /// (items, continuations): the divergences at the places of its tokens, summed; nil where none was asked for.
  package let divergences: [[Double]]?
  private let model: LanguageModel
  private let adapters: LowRankAdapters?
  private let parts: [Part]

  /// Items of one pass.
  fileprivate struct Part: Sendable {
    var items: Range<Int>
    var batch: ItemBatch
    var pass: RecordedPass
    var head: RecordedHead
  }

  /// Activations of some 700 rows of SmolLM2; with more rows the first layers are computed again on the way back.
  package static let standardMemory = 800_000_000

  fileprivate init(
    model: LanguageModel, adapters: LowRankAdapters?, parts: [Part], scores: [[ContinuationScore]],
    divergences: [[Double]]?
  ) {
    self.model = model
    self.adapters = adapters
    self.parts = parts
    self.scores = scores
    self.divergences = divergences
  }

  /// Bytes of activations and logits that are kept, what every tape needs (the stream that enters each layer) aside.
  package var recordBytes: Int { parts.reduce(0) { $0 + $1.pass.recordBytes + $1.head.recordBytes } }
  /// Rows of all passes.
  package var rowCount: Int { parts.reduce(0) { $0 + $1.pass.rowCount } }

  /// dL/ds, flat by the model's layout, where `derivatives` (items, continuations, tokens) holds dL/d ln p.
  /// - Parameters:
  ///   - divergenceWeight: dL/dKL, the same for every token of every continuation.
  ///   - fromLayer: multipliers of lower layers are not wanted and have the gradient 0; the way back ends there.
  ///   - shouldStop: asked before each layer; where it says true, throws ``EngineError/stopped``.
  package func gradient(
    _ derivatives: [[[Float]]], divergenceWeight: Float = 0, fromLayer: Int = 0, priority: ComputePool.Priority,
    shouldStop: () -> Bool = { false }
  ) throws(EngineError) -> [Float] {
    var sums = [Double](repeating: 0, count: model.layout.count)
    try backward(derivatives, divergenceWeight, fromLayer, priority, shouldStop) { $0.add(to: &sums) }
    let gradient = sums.map { Float($0) }
    for (index, matrix) in model.layout.matrices.enumerated()
    where !gradient[model.layout.range(of: index)].allSatisfy(\.isFinite) {
      throw .gradientOverflow(matrix: matrix.name)
    }
    return gradient
  }

  /// As ``gradient(_:divergenceWeight:fromLayer:priority:shouldStop:)``, with respect to every number of the adapters that
  /// were recorded with.
  package func adapterGradient(
    _ derivatives: [[[Float]]], divergenceWeight: Float = 0, fromLayer: Int = 0, priority: ComputePool.Priority,
    shouldStop: () -> Bool = { false }
  ) throws(EngineError) -> [Float] {
    guard let layout = adapters?.layout else { preconditionFailure("nothing was recorded with adapters") }
    var sums = [Double](repeating: 0, count: layout.count)
    try backward(derivatives, divergenceWeight, fromLayer, priority, shouldStop) { state in
      for i in sums.indices { sums[i] += unsafe Double(state.lowRank.pointer[i]) }
    }
    let gradient = sums.map { Float($0) }
    for (number, matrix) in layout.matrices.enumerated() {
      let ranges = layout.ranges(of: number)
      guard gradient[ranges.a.lowerBound..<ranges.b.upperBound].allSatisfy(\.isFinite) else {
        throw .gradientOverflow(matrix: model.layout.matrices[matrix].name)
      }
    }
    return gradient
  }

  /// Shows what each part's way back has collected.
  private func backward(
    _ derivatives: [[[Float]]], _ divergenceWeight: Float, _ fromLayer: Int, _ priority: ComputePool.Priority,
    _ shouldStop: () -> Bool, _ collect: (BackwardState) -> Void
  ) throws(EngineError) {
    precondition((0..<model.shape.layers).contains(fromLayer), "layer \(fromLayer) of \(model.shape.layers)")
    precondition(divergenceWeight == 0 || divergences != nil, "a divergence that was not recorded has a weight")
    try check(derivatives)
    for part in parts {
      let mine = part.batch.outputs(Array(derivatives[part.items]))
      // A part that the loss does not look at says nothing.
      guard divergenceWeight != 0 || mine.contains(where: { $0.contains { $0 != 0 } }) else { continue }
      collect(try part.backward(mine, divergenceWeight, model, fromLayer, priority, shouldStop))
    }
  }

  private func check(_ derivatives: [[[Float]]]) throws(EngineError) {
    guard derivatives.count == scores.count else {
      throw .countMismatch(what: "items' derivatives", found: derivatives.count, expected: scores.count)
    }
    for (item, (mine, scores)) in zip(derivatives, scores).enumerated() {
      guard mine.count == scores.count else {
        throw .countMismatch(what: "derivatives of item \(item)", found: mine.count, expected: scores.count)
      }
      for (continuation, (mine, score)) in zip(mine, scores).enumerated() {
        guard mine.count == score.logprobs.count else {
          throw .countMismatch(
            what: "derivatives of continuation \(continuation) of item \(item)", found: mine.count,
            expected: score.logprobs.count)
        }
        guard mine.allSatisfy(\.isFinite) else { throw .derivativeNotFinite(item: item, continuation: continuation) }
      }
    }
  }
}

extension GradientTape.Part {
  fileprivate func backward(
    _ derivatives: [[Float]], _ divergenceWeight: Float, _ model: LanguageModel, _ fromLayer: Int,
    _ priority: ComputePool.Priority, _ shouldStop: () -> Bool
  ) throws(EngineError) -> BackwardState {
    guard !shouldStop() else { throw .stopped }
    let state = BackwardState(pass, multipliers: model.layout.count)
    let normGradient = FloatBuffer(count: pass.outputRows.count * pass.shape.hidden)
    pass.begin()
    defer { pass.end() }
    model.pool.run(
      head.backward(derivatives, divergenceWeight: divergenceWeight, to: normGradient)
        + [Phase(tiles: 1) { [pass] _, _ in pass.finalNormBackward(normGradient, state) }], priority: priority)
    for layer in (fromLayer..<pass.shape.layers).reversed() {
      guard !shouldStop() else { throw .stopped }
      let again = pass.isKept(layer) ? [] : pass.forward(layer: layer, goesOn: false)
      model.pool.run(again + pass.backward(layer: layer, state, goesOn: layer > fromLayer), priority: priority)
    }
    return state
  }
}

extension LanguageModel {
  /// Scores items under one vector and keeps what a gradient needs.
  /// - Parameters:
  ///   - adapters: additions of low rank beside the multipliers.
  ///   - temperature: of the model and, where its distance is wanted, of the base.
  ///   - divergence: which distance from the base is wanted beside the scores, which costs a pass of the base.
  ///   - memory: bytes for activations; more memory saves time only.
  ///   - shouldStop: asked before each layer; where it says true, throws ``EngineError/stopped``.
  package func record(
    _ items: [ScoringItem], under multipliers: MultiplierVector, adding adapters: LowRankAdapters? = nil,
    temperature: Float = 1, divergence: DivergenceDirection? = nil, memory: Int = GradientTape.standardMemory,
    priority: ComputePool.Priority,
    shouldStop: () -> Bool = { false }
  ) throws(EngineError) -> GradientTape {
    for (index, item) in items.enumerated() { try item.check(index: index, shape: shape) }
    precondition(temperature > 0 && temperature.isFinite, "a model at the temperature \(temperature)")
    guard multipliers.values.count == layout.count else {
      throw .wrongMultiplierCount(found: multipliers.values.count, expected: layout.count)
    }
    // The factored form even of a vector of ones: the gradient there is as good as anywhere.
    let table = MultiplierTable([multipliers], factorization: factorization)
    let rows = items.reduce(0) { $0 + $1.rowCount }
    let longest = items.reduce(0) { max($0, $1.rowCount) }
    let least = shape.gradientBytes(rows: rows, longest: longest, memory: 0)
    try room.require(least, for: "a gradient over \(rows) tokens, \(longest) of one row")
    // What is not kept is computed again.
    var left = min(memory, room.bytes - least)
    var parts: [GradientTape.Part] = []
    var scores: [[ContinuationScore]] = []
    var divergences: [[Double]]? = divergence == nil ? nil : []
    for range in chunks(items, rowLimit: Self.batchRows) {
      let batch = ItemBatch(Array(items[range]), views: range.map { _ in 0 })
      guard !batch.targets.isEmpty else {
        scores += batch.scores([])
        divergences? += batch.sums([])
        continue
      }
      let vocabularyBytes = batch.targets.count * shape.vocabulary * MemoryLayout<Float>.stride
      let pass = RecordedPass(
        weights: weights, batch: batch.batch, factored: factored(table, rows: batch.batch.tokens.count),
        adapters: adapters,
        temperature: temperature,
        memory: max(0, left - vocabularyBytes))
      let head = RecordedHead(pass: pass, targets: batch.targets, memory: left - pass.recordBytes)
      left -= pass.recordBytes + head.recordBytes
      try run(pass, head, priority, shouldStop)
      scores += batch.scores(head.finish())
      if let divergence {
        guard !shouldStop() else { throw .stopped }
        divergences? += batch.sums(measure(divergence, Array(items[range]), head, priority))
      }
      parts.append(GradientTape.Part(items: range, batch: batch, pass: pass, head: head))
    }
    for (index, scores) in scores.enumerated() where !scores.allSatisfy({ $0.logprobs.allSatisfy(\.isFinite) }) {
      throw .overflow(item: index)
    }
    return GradientTape(model: self, adapters: adapters, parts: parts, scores: scores, divergences: divergences)
  }

  /// A pass of the base over the same rows, and by output row how far what was recorded is from it.
  private func measure(
    _ direction: DivergenceDirection, _ items: [ScoringItem], _ recorded: RecordedHead, _ priority: ComputePool.Priority
  ) -> [Double] {
    let batch = ItemBatch(items, views: items.map { _ in -1 })
    let pass = ForwardPass(
      weights: weights, batch: batch.batch, temperature: recorded.temperature, cut: cut)
    let head = OutputHead(pass: pass, targets: batch.targets)
    run(pass, then: Phase(tiles: head.tileCount) { tile, scratch in head.run(tile: tile, scratch) }, priority)
    let divergence = HeadDivergence(
      direction, pass, normalizers: batch.targets.indices.map { head.normalizer($0) })
    pool.run([recorded.measure(divergence)], priority: priority)
    divergence.finish()
    return divergence.values
  }

  private func run(
    _ pass: RecordedPass, _ head: RecordedHead, _ priority: ComputePool.Priority, _ shouldStop: () -> Bool
  ) throws(EngineError) {
    pass.embed()
    pass.begin()
    defer { pass.end() }
    for layer in 0..<shape.layers {
      guard !shouldStop() else { throw .stopped }
      pool.run(pass.forward(layer: layer), priority: priority)
    }
    pool.run([Phase(tiles: 1) { _, _ in pass.finalNorm() }, head.forward()], priority: priority)
  }
}

extension ItemBatch {
  /// Numbers of (items, continuations, tokens) by output row and target: the way back of ``scores(_:)``.
  func outputs(_ values: [[[Float]]]) -> [[Float]] {
    var result = targets.map { [Float](repeating: 0, count: $0.count) }
    for (indices, values) in zip(logProbIndices, values) {
      for (indices, values) in zip(indices, values) {
        for (index, value) in zip(indices, values) { result[index.row][index.index] = value }
      }
    }
    return result
  }

  /// Numbers of output rows, summed over the places of each continuation's tokens: (items, continuations).
  func sums(_ values: [Double]) -> [[Double]] {
    logProbIndices.map { $0.map { $0.reduce(0) { $0 + values[$1.row] } } }
  }
}
