package import LinearAlgebra
internal import Multipliers
internal import Tokenizer

extension LanguageModel {
  /// Requests that are decoded together at most; more wait until one has ended.
  private static let decodingLimit = 32

  /// Continues all prompts together, each under its own weights: one step is one forward pass of a row for each request
  /// that has not ended. Prompts are computed as batches of whole sequences.
  ///
  /// Sampled tokens depend on the logits, and those in their last bits on what is decoded together.
  /// - Parameter onToken: called on the calling thread for every token, in order of steps; false ends that request.
  package func generate(
    _ requests: [GenerationRequest], priority: ComputePool.Priority,
    onToken: (GeneratedToken) -> Bool = { _ in true }
  ) throws(TransformerError) -> [Generation] {
    for (index, request) in requests.enumerated() { try check(request, index: index) }
    let (views, multipliers) = try resolve(requests.map(\.view))
    var results = [Generation?](repeating: nil, count: requests.count)
    // Base first, then vector by vector, as batches want them.
    var waiting = requests.indices.sorted { (views[$0], $0) < (views[$1], $1) }[...]
    var active: [Answer] = []

    while !waiting.isEmpty || !active.isEmpty {
      let admitted = admit(&waiting, room: Self.decodingLimit - active.count, requests)
      // New requests get their first token from their prompts, the others theirs from the last one.
      var groups = [active.filter { $0.ending == nil }]
      if !admitted.isEmpty {
        groups.append(
          admitted.map { Answer($0, requests[$0], view: views[$0], cache: KeyValueCache(shape: shape), tokenizer) })
      }
      active = []
      for group in groups where !group.isEmpty {
        var group = group
        let logits = step(group, multipliers, priority)
        for place in group.indices {
          let row = unsafe UnsafeBufferPointer(
            start: logits.pointer + place * shape.vocabulary, count: shape.vocabulary)
          guard let id = unsafe group[place].request.sampling.choose(row, step: group[place].tokens.count) else {
            throw .overflow(item: group[place].index)
          }
          let token = group[place].take(id, context: shape.context)
          if !onToken(token), group[place].ending == nil { group[place].ending = .cancelled }
        }
        for answer in group {
          if let result = answer.result { results[answer.index] = result } else { active.append(answer) }
        }
      }
      active.sort { ($0.view, $0.index) < ($1.view, $1.index) }
    }
    return results.compactMap { $0 }
  }

  private func check(_ request: GenerationRequest, index: Int) throws(TransformerError) {
    try ScoringItem(prompt: request.prompt, continuations: []).check(index: index, shape: shape)
    try request.sampling.check()
    guard request.maximumTokens > 0 else {
      throw .invalidSampling(
        "at most \(request.maximumTokens) tokens of request \(index) are wanted; ask for one or more")
    }
    guard request.stopStrings.isEmpty || tokenizer != nil else {
      throw .invalidSampling("request \(index) has stop strings, but the model has no tokenizer; use stop tokens")
    }
  }

  /// Takes waiting requests, as many as have room and as are a batch of sensible size.
  private func admit(_ waiting: inout ArraySlice<Int>, room: Int, _ requests: [GenerationRequest]) -> [Int] {
    var rows = 0
    var admitted: [Int] = []
    while let next = waiting.first, admitted.count < room {
      rows += requests[next].prompt.count
      if !admitted.isEmpty, rows > Self.batchRows { break }
      admitted.append(next)
      waiting.removeFirst()
    }
    return admitted
  }

  /// The logits after each answer's last token, (answers, vocabulary); its keys and values go into its cache.
  private func step(_ answers: [Answer], _ multipliers: MultiplierTable?, _ priority: ComputePool.Priority)
    -> FloatBuffer
  {
    var batch = TokenBatch()
    for (place, answer) in answers.enumerated() {
      let new = answer.tokens.last.map { [$0] } ?? answer.request.prompt
      answer.cache.reserve(answer.cache.count + new.count)
      _ = batch.append(new, start: answer.cache.count, outputCount: 1, view: answer.view, cache: place)
      batch.caches.append(answer.cache)
    }
    let pass = ForwardPass(weights: weights, batch: batch, multipliers: multipliers, cut: .pooled)
    let logits = fullLogits(pass, priority)
    for segment in batch.segments {
      guard let cache = segment.cache else { continue }
      batch.caches[cache].count += segment.rows.count
    }
    return logits
  }
}

/// A request on its way.
private struct Answer {
  let index: Int
  let request: GenerationRequest
  let view: Int
  let cache: KeyValueCache
  private(set) var tokens: [Int32] = []
  private var text = ""
  private var decoder: StreamingDecoder?
  private var filter: StopFilter
  var ending: Generation.Ending?

  init(_ index: Int, _ request: GenerationRequest, view: Int, cache: KeyValueCache, _ tokenizer: Tokenizer?) {
    self.index = index
    self.request = request
    self.view = view
    self.cache = cache
    decoder = tokenizer.map { StreamingDecoder($0, skipSpecial: true) }
    filter = StopFilter(request.stopStrings)
  }

  /// Appends a token, and decides whether it was the last.
  mutating func take(_ id: Int32, context: Int) -> GeneratedToken {
    tokens.append(id)
    var piece = ""
    if request.stopIDs.contains(id) {
      ending = .stopToken(id)
    } else {
      piece = filter.push(decoder?.push(id) ?? "")
      if filter.hasStopped {
        ending = .stopString
      } else if tokens.count >= request.maximumTokens {
        ending = .maximumTokens
      } else if cache.count >= context {
        ending = .context
      }
    }
    if ending != nil, !filter.hasStopped {
      piece += filter.push(decoder?.finish() ?? "") + filter.finish()
    }
    text += piece
    return GeneratedToken(request: index, id: id, text: piece, ending: ending)
  }

  var result: Generation? { ending.map { Generation(tokens: tokens, text: text, ending: $0) } }
}
