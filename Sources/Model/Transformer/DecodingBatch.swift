package import Engines
package import LinearAlgebra
internal import Multipliers
internal import Tokenizer

/// Requests that are decoded together, each under its own weights, and that come and go between steps: one that arrives
/// while others decode joins at the next step instead of waiting for their end (continuous batching).
///
/// A step is a forward pass of one row for each request that has its prompt behind it, and one of at most `prefillRows`
/// rows of prompts, so a long prompt holds up the others for one piece of it only. Keys and values belong to one request
/// and go with it: nothing that was computed under one mixture is ever seen under another. What the vector of a
/// long answer changes (``VectorChange``) is made while somebody waits for it, and kept by the model for the next request.
///
/// Not `Sendable`: the thread that steps it owns it.
package final class DecodingBatch: Decoding {
  /// Requests that are decoded together at most; more wait until one has ended.
  static let decodingLimit = 32

  private let model: LanguageModel
  private let priority: ComputePool.Priority
  private let prefillRows: Int
  /// In the order of arrival.
  private var waiting: [Sequence] = []
  private var active: [Sequence] = []
  private var cancelled: Set<Int> = []
  private var multipliers: MultiplierTable?
  private var nextNumber = 0

  /// - Parameter prefillRows: rows of prompts in one step; see ``LanguageModel/shortPassRows``.
  package init(_ model: LanguageModel, priority: ComputePool.Priority, prefillRows: Int) {
    precondition(prefillRows > 0, "a step takes \(prefillRows) rows of prompts")
    self.model = model
    self.priority = priority
    self.prefillRows = prefillRows
  }

  package var isEmpty: Bool { waiting.isEmpty && active.isEmpty }
  /// Requests that are being computed or wait for it.
  package var count: Int { waiting.count + active.count }

  /// Takes a request, or says what is wrong with it; returns the number by which events name it: 0, 1, ...
  package func add(_ request: GenerationRequest) throws(EngineError) -> Int {
    try model.check(request, index: nextNumber)
    waiting.append(
      Sequence(nextNumber, request, cache: KeyValueCache(shape: model.shape), model.tokenizer))
    nextNumber += 1
    return nextNumber - 1
  }

  /// Ends a request at the next step, with what it has so far; within an event, with the token that the event is about.
  package func cancel(_ number: Int) { cancelled.insert(number) }

  /// One step. `handle` is called in this thread, in the order of what happens, and may call `cancel`, not `add`.
  package func step(_ handle: (DecodingEvent) -> Void) {
    endCancelled(handle)
    admit(handle)
    advance(active.filter(\.isDecoding), handle)
    // One that has just got its first token waits for the next step, like all others.
    let before = Set(active.filter(\.isDecoding).map(\.number))
    advance(prompts(excluding: before, handle), handle)
  }

  // MARK: - Coming and going

  private func endCancelled(_ handle: (DecodingEvent) -> Void) {
    guard !cancelled.isEmpty else { return }
    for sequence in active + waiting where cancelled.contains(sequence.number) {
      handle(.ended(sequence.number, sequence.generation(.cancelled)))
    }
    active.removeAll { cancelled.contains($0.number) }
    waiting.removeAll { cancelled.contains($0.number) }
    cancelled = []
  }

  private func admit(_ handle: (DecodingEvent) -> Void) {
    guard !waiting.isEmpty, active.count < Self.decodingLimit else { return }
    let count = min(countThatFits(), Self.decodingLimit - active.count)
    guard count > 0 else { return failWhatNeverFits(handle) }
    active += waiting.prefix(count)
    waiting.removeFirst(count)
    // Members that wait for a place among the multipliers change only here; a vector that nobody uses any more is
    // forgotten at the next arrival.
    do throws(EngineError) {
      let (views, table, _) = try model.resolve(active.map(\.request.view))
      for (sequence, view) in zip(active, views) {
        sequence.view = view
        // Searches, checks and training find the same each time: what a vector changes may be kept from earlier, or not.
        sequence.wantsChange =
          priority == .interactive && view >= 0 && model.forms.changePays(tokens: sequence.request.maximumTokens)
      }
      multipliers = table
    } catch {
      preconditionFailure("a request was taken that cannot be computed: \(error)")
    }
  }

  /// How many of those that wait find room for all keys and values that they and those that are decoded may come to. One
  /// that finds none waits until others have ended: it is a request, and the process would end for all of them.
  private func countThatFits() -> Int {
    let room = model.room.bytes
    var needed = active.reduce(0) { $0 + bytes($1) - $1.cache.byteCount }
    for (place, sequence) in waiting.enumerated() {
      let (sum, overflow) = needed.addingReportingOverflow(bytes(sequence))
      guard !overflow, sum <= room else { return place }
      needed = sum
    }
    return waiting.count
  }

  private func bytes(_ sequence: Sequence) -> Int {
    KeyValueCache.byteCount(shape: model.shape, positions: positions(sequence))
  }

  /// That it may come to.
  private func positions(_ sequence: Sequence) -> Int {
    let context = model.shape.context
    return min(context, sequence.request.prompt.count + min(sequence.request.maximumTokens, context))
  }

  /// The first that waits, where it waits for nobody.
  private func failWhatNeverFits(_ handle: (DecodingEvent) -> Void) {
    guard active.isEmpty, let first = waiting.first else { return }
    waiting.removeFirst()
    handle(
      .failed(
        first.number,
        .notEnoughMemory(
          what: "a text of up to \(positions(first)) tokens", needed: bytes(first),
          room: model.room.bytes, advice: model.room.advice)))
  }

  // MARK: - Passes

  private struct Part {
    var sequence: Sequence
    var tokens: ArraySlice<Int32>
  }

  /// What of which prompts is computed in this step, in the order of arrival.
  private func prompts(excluding before: Set<Int>, _ handle: (DecodingEvent) -> Void) -> [Part] {
    var left = prefillRows
    var parts: [Part] = []
    for sequence in active where !before.contains(sequence.number) && left > 0 {
      if sequence.hasNotBegun {
        // What it waits for is given to it when it is there.
        if waits(sequence) { continue }
        sequence.hasNotBegun = false
        handle(.began(sequence.number))
      }
      let tokens = sequence.request.prompt[sequence.cache.count...].prefix(left)
      left -= tokens.count
      parts.append(Part(sequence: sequence, tokens: tokens))
    }
    return parts
  }

  /// Whether one that came before computes the same prompt under the same weights: several answers to a prompt compute
  /// it once.
  private func waits(_ sequence: Sequence) -> Bool {
    sequence.cache.count == 0
      && active.contains {
        $0.number < sequence.number && $0.cache.count < $0.request.prompt.count - 1 && $0.hasPrompt(of: sequence)
      }
  }

  /// Gives the prompt that a sequence has just computed to those that wait for it, but for its last token: what follows
  /// that one is theirs to choose.
  private func share(_ leader: Sequence) {
    for other in active where other.cache.count == 0 && other.number != leader.number && leader.hasPrompt(of: other) {
      other.cache.copy(leader.cache, positions: leader.request.prompt.count - 1)
    }
  }

  private func advance(_ decoding: [Sequence], _ handle: (DecodingEvent) -> Void) {
    let parts = decoding.map { Part(sequence: $0, tokens: $0.tokens.suffix(1)) }
    // Made while answers are under way, a part in each step, so that neither their first token nor others wait for it.
    if let change = change(parts), !change.isComplete {
      change.make(
        multiplications: model.forms.multiplicationsOfPass(rows: parts.count), pool: model.pool, priority: .job)
    }
    advance(parts, handle)
  }

  /// What the one vector of all parts that see any changes, if it is worth it for one of them and there is memory for it.
  private func change(_ parts: [Part]) -> VectorChange? {
    let factored = parts.map(\.sequence).filter { $0.view >= 0 }
    guard let view = factored.first?.view, factored.allSatisfy({ $0.view == view }),
      factored.contains(where: \.wantsChange), let vector = multipliers?.vectors[view]
    else { return nil }
    guard let change = model.change(of: vector) else {
      // Not asked again at every step.
      for sequence in factored { sequence.wantsChange = false }
      return nil
    }
    return change
  }

  /// Computes the parts in one pass; where that ends a prompt or follows a token, the next token is chosen.
  private func advance(_ parts: [Part], _ handle: (DecodingEvent) -> Void) {
    guard !parts.isEmpty else { return }
    // Rows of the base first, then vector by vector, as batches want them.
    let parts = parts.sorted { ($0.sequence.view, $0.sequence.number) < ($1.sequence.view, $1.sequence.number) }
    let logits = logits(parts)
    let vocabulary = model.shape.vocabulary
    var ended: Set<Int> = []
    for (place, part) in parts.enumerated() where part.sequence.cache.count >= part.sequence.request.prompt.count {
      let sequence = part.sequence
      if !sequence.isDecoding { share(sequence) }
      let row = unsafe UnsafeBufferPointer(start: logits.pointer + place * vocabulary, count: vocabulary)
      guard let id = unsafe sequence.request.sampling.choose(row, step: sequence.tokens.count) else {
        ended.insert(sequence.number)
        handle(.failed(sequence.number, .overflow(item: sequence.number)))
        continue
      }
      let token = sequence.take(id, context: model.shape.context)
      handle(.token(token))
      let ending = sequence.ending ?? (cancelled.remove(sequence.number) == nil ? nil : .cancelled)
      if let ending {
        ended.insert(sequence.number)
        handle(.ended(sequence.number, sequence.generation(ending)))
      }
    }
    active.removeAll { ended.contains($0.number) }
  }

  /// The logits after each part's last token, (parts, vocabulary); its keys and values go into its cache.
  private func logits(_ parts: [Part]) -> FloatBuffer {
    var batch = TokenBatch()
    for (place, part) in parts.enumerated() {
      let cache = part.sequence.cache
      cache.reserve(cache.count + part.tokens.count)
      _ = batch.append(part.tokens, start: cache.count, outputCount: 1, view: part.sequence.view, cache: place)
      batch.caches.append(cache)
    }
    let pass = ForwardPass(
      weights: model.weights, batch: batch, factored: model.factored(multipliers, batch, change: change(parts)),
      cut: model.cut)
    let logits = model.fullLogits(pass, priority)
    for part in parts { part.sequence.cache.count += part.tokens.count }
    return logits
  }
}

/// A request on its way.
private final class Sequence {
  let number: Int
  let request: GenerationRequest
  let cache: KeyValueCache
  /// -1 for the base, else the index of its vector among the batch's.
  var view = -1
  /// Whether making what its vector changes pays for the tokens that are asked for.
  var wantsChange = false
  private var answer: AnswerText

  init(_ number: Int, _ request: GenerationRequest, cache: KeyValueCache, _ tokenizer: Tokenizer?) {
    self.number = number
    self.request = request
    self.cache = cache
    answer = AnswerText(number, request, tokenizer)
  }

  var isDecoding: Bool { !tokens.isEmpty }
  var hasNotBegun = true

  func hasPrompt(of other: Sequence) -> Bool {
    view == other.view && request.prompt.count > 1 && request.prompt == other.request.prompt
  }

  var tokens: [Int32] { answer.tokens }
  var ending: Generation.Ending? { answer.ending }

  func take(_ id: Int32, context: Int) -> GeneratedToken { answer.take(id, isFull: cache.count >= context) }

  func generation(_ ending: Generation.Ending) -> Generation { answer.generation(ending) }
}
