package import LinearAlgebra
package import Multipliers
package import Settings
package import SystemSupport

/// A base model in something that computes with it: all that searches, evaluations, checks, trainings, dispatch and
/// answers ask of one. The built-in engine is ``Transformer/LanguageModel``; others run in processes of their own.
///
/// Every operation blocks its caller, which is a thread of the worker's own and no compute thread, and several callers may
/// be active at once. An answer is a pure function of the arguments: what else is asked at the same time may change its last
/// bits in an engine that says so (``EngineFacts/tag``), and never more.
///
/// `shouldStop` is asked while something computes; where it says true, ``EngineError/stopped`` is thrown.
package protocol Engine: AnyObject, Sendable {
  var facts: EngineFacts { get }
  /// What is asked before much memory of this process is taken.
  var room: MemoryRoom { get }
  /// Rows of one pass at most, about, where nobody waits for its end, and where somebody does.
  var passRows: Int { get }
  var shortPassRows: Int { get }

  /// What is wrong with what it computes with, as far as this process can know. Read as a whole `thoroughly`, else only
  /// where it has reason to look. Nil: nothing.
  func damage(thoroughly: Bool, shouldStop: @escaping @Sendable () -> Bool) -> String?

  /// The log-probability of every token of every continuation, (items, continuations), each item under its own weights.
  func score(
    _ items: [ScoringItem], under views: [WeightView], priority: ComputePool.Priority,
    shouldStop: @escaping @Sendable () -> Bool
  ) throws(EngineError) -> [[ContinuationScore]]

  /// The same for one item, in passes of about `pieceRows` rows: for requests that others do not wait long for.
  func score(
    _ item: ScoringItem, under view: WeightView, inPiecesOf pieceRows: Int, priority: ComputePool.Priority
  ) throws(EngineError) -> [ContinuationScore]

  /// The logits after the prompt's last token, (vocabulary), in passes of about `pieceRows` rows.
  func logits(
    prompt: [Int32], under view: WeightView, inPiecesOf pieceRows: Int, priority: ComputePool.Priority
  ) throws(EngineError) -> [Float]

  /// What scores mixtures of the mixer's experts.
  /// - Parameter many: many mixtures will be compared, so what makes each of them cheaper may be built beforehand.
  func mixtureScorer(
    _ mixer: Mixer, many: Bool, priority: ComputePool.Priority, shouldStop: @escaping @Sendable () -> Bool
  ) throws(EngineError) -> any MixtureScorer

  /// The weights of a vector for many rows: made ready, where that pays.
  func weights(
    forManyRowsUnder vector: MultiplierVector, priority: ComputePool.Priority
  ) throws(EngineError) -> WeightView

  /// Scores items under one vector and keeps what a gradient needs.
  /// - Parameters:
  ///   - temperature: of the model and, where its distance is wanted, of the base.
  ///   - divergence: which distance from the base is wanted beside the scores.
  ///   - gradientFollows: false where only the scores and divergences are wanted.
  func record(
    _ items: [ScoringItem], under multipliers: MultiplierVector, temperature: Float, divergence: DivergenceDirection?,
    gradientFollows: Bool, priority: ComputePool.Priority, shouldStop: () -> Bool
  ) throws(EngineError) -> any GradientRecord

  /// Bytes that this process holds at a gradient's height.
  /// - Parameters:
  ///   - rows: of one record.
  ///   - longest: of its longest item.
  func gradientBytes(rows: Int, longest: Int) -> Int

  /// Bytes of this process for sequences of that length that are decoded together.
  func decodingBytes(positions: Int, sequences: Int) -> Int

  /// Continues all prompts together, each under its own weights.
  /// - Parameter onToken: called on the calling thread for every token; false ends that request.
  func generate(
    _ requests: [GenerationRequest], priority: ComputePool.Priority, onToken: (GeneratedToken) -> Bool
  ) throws(EngineError) -> [Generation]

  /// What continues prompts that come and go.
  func decoding() -> any Decoding
}

extension Engine {
  package var layout: MultiplierLayout { facts.layout }

  /// As ``score(_:under:priority:shouldStop:)``, all under the same weights.
  package func score(
    _ items: [ScoringItem], under view: WeightView = .base, priority: ComputePool.Priority,
    shouldStop: @escaping @Sendable () -> Bool = { false }
  ) throws(EngineError) -> [[ContinuationScore]] {
    try score(
      items, under: [WeightView](repeating: view, count: items.count), priority: priority, shouldStop: shouldStop)
  }

  /// Throws where a request cannot be computed; `index` is its number in messages.
  package func check(_ request: GenerationRequest, index: Int) throws(EngineError) {
    try ScoringItem(prompt: request.prompt, continuations: [])
      .check(index: index, vocabulary: facts.vocabulary, context: facts.context)
    try request.sampling.check()
    guard request.maximumTokens > 0 else {
      throw .invalidSampling(
        "at most \(request.maximumTokens) tokens of request \(index) are wanted; ask for one or more")
    }
    guard request.stopStrings.isEmpty || facts.tokenizer != nil else {
      throw .invalidSampling("request \(index) has stop strings, but the model has no tokenizer; use stop tokens")
    }
    switch request.view {
    case .base: break
    case .factored(let vector):
      guard vector.values.count == layout.count else {
        throw .wrongMultiplierCount(found: vector.values.count, expected: layout.count)
      }
    case .prepared(let weights):
      guard weights.vector != nil else { throw .lowRankGeneration }
    }
  }
}

/// Scores mixtures of one set of experts, as a search does thousands of times.
package protocol MixtureScorer: Sendable {
  /// The score of each piece of work, in their order: (work, items, continuations). Each depends on its mixture and its
  /// items alone. Under weights that leave the range of float log-probabilities are −∞.
  func score(
    _ work: [MixtureWork], priority: ComputePool.Priority, shouldStop: @escaping @Sendable () -> Bool
  ) throws(EngineError) -> [[[ContinuationScore]]]
}

/// Some items under one mixture: what is computed together.
package struct MixtureWork: Sendable {
  package var mixture: MixtureCoefficients
  package var items: [ScoringItem]

  package init(_ mixture: MixtureCoefficients, _ items: [ScoringItem]) {
    self.mixture = mixture
    self.items = items
  }
}

/// Items scored under a multiplier vector, with what is needed to say how any loss of their log-probabilities changes with
/// each multiplier.
package protocol GradientRecord: AnyObject, Sendable {
  /// (items, continuations)
  var scores: [[ContinuationScore]] { get }
  /// (items, continuations): the divergences at the places of its tokens, summed; nil where none was asked for.
  var divergences: [[Double]]? { get }

  /// dL/ds, flat by the model's layout, where `derivatives` (items, continuations, tokens) holds dL/d ln p.
  /// - Parameters:
  ///   - divergenceWeight: dL/dKL, the same for every token of every continuation.
  ///   - fromLayer: multipliers of lower layers are not wanted and have the gradient 0.
  func gradient(
    _ derivatives: [[[Float]]], divergenceWeight: Float, fromLayer: Int, priority: ComputePool.Priority,
    shouldStop: () -> Bool
  ) throws(EngineError) -> [Float]
}

/// Requests that are decoded together, each under its own weights, and that come and go between steps.
///
/// The thread that steps it owns it.
package protocol Decoding: AnyObject {
  var isEmpty: Bool { get }

  /// Takes a request, or says what is wrong with it; returns the number by which events name it: 0, 1, ...
  func add(_ request: GenerationRequest) throws(EngineError) -> Int

  /// Ends a request at the next step, with what it has so far; within an event, with the token that the event is about.
  func cancel(_ number: Int)

  /// One step. `handle` is called in this thread, in the order of what happens, and may call `cancel`, not `add`. An engine
  /// elsewhere waits for a moment where nothing has come.
  func step(_ handle: (DecodingEvent) -> Void)
}

extension Decoding {
  /// Continues all of them to their ends, in their order; the decoding has had no other request.
  /// - Parameter onToken: false ends that request.
  package func finish(
    _ requests: [GenerationRequest], onToken: (GeneratedToken) -> Bool
  ) throws(EngineError) -> [Generation] {
    for request in requests { _ = try add(request) }
    var results = [Generation?](repeating: nil, count: requests.count)
    var failure: EngineError?
    while !isEmpty, failure == nil {
      step { event in
        switch event {
        case .began: break
        case .token(let token): if !onToken(token) { cancel(token.request) }
        case .ended(let number, let generation): results[number] = generation
        case .failed(_, let error): failure = error
        }
      }
    }
    if let failure { throw failure }
    return results.compactMap { $0 }
  }
}

package enum DecodingEvent: Sendable {
  /// The first rows of its prompt are about to be computed.
  case began(Int)
  case token(GeneratedToken)
  case ended(Int, Generation)
  case failed(Int, EngineError)
}
