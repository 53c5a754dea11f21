package import Engines
import Glibc
package import LinearAlgebra
import SystemSupport

extension RemoteEngine {
  package func generate(
    _ requests: [GenerationRequest], priority: ComputePool.Priority, onToken: (GeneratedToken) -> Bool
  ) throws(EngineError) -> [Generation] {
    try RemoteDecoding(self).finish(requests, onToken: onToken)
  }

  package func decoding() -> any Decoding { RemoteDecoding(self) }
}

/// Requests that engines continue, a stream each. What stops a text is found here, as for the built-in engine: the engine is
/// told the stop tokens and the length, and its stream is cancelled at a stop string.
private final class RemoteDecoding: Decoding {
  private let engine: RemoteEngine
  private var waiting: [(number: Int, request: GenerationRequest)] = []
  private var active: [Answer] = []
  private var cancelled: Set<Int> = []
  private var nextNumber = 0

  /// Streams at a time; more wait until one has ended.
  private static let limit = 32
  /// How long a step waits for a token.
  private static let moment = Duration.milliseconds(20)
  /// How long an engine may take to begin a stream.
  private static let patience = Duration.seconds(600)

  private final class Answer {
    let request: GenerationRequest
    let stream: TokenStream
    var text: AnswerText

    init(_ number: Int, _ request: GenerationRequest, _ stream: TokenStream, _ engine: RemoteEngine) {
      self.request = request
      self.stream = stream
      text = AnswerText(number, request, engine.facts.tokenizer)
    }
  }

  init(_ engine: RemoteEngine) { self.engine = engine }

  var isEmpty: Bool { waiting.isEmpty && active.isEmpty }

  func add(_ request: GenerationRequest) throws(EngineError) -> Int {
    try engine.check(request, index: nextNumber)
    waiting.append((nextNumber, request))
    nextNumber += 1
    return nextNumber - 1
  }

  func cancel(_ number: Int) { cancelled.insert(number) }

  func step(_ handle: (DecodingEvent) -> Void) {
    endCancelled(handle)
    admit(handle)
    guard !active.isEmpty else { return }
    let didAdvance = advance(handle)
    if !didAdvance { wait() }
  }

  private func endCancelled(_ handle: (DecodingEvent) -> Void) {
    guard !cancelled.isEmpty else { return }
    for answer in active where cancelled.contains(answer.text.number) {
      answer.stream.cancel()
      handle(.ended(answer.text.number, answer.text.generation(.cancelled)))
    }
    active.removeAll { cancelled.contains($0.text.number) }
    for (number, _) in waiting where cancelled.contains(number) {
      handle(.ended(number, Generation(tokens: [], text: "", ending: .cancelled)))
    }
    waiting.removeAll { cancelled.contains($0.number) }
    cancelled = []
  }

  private func admit(_ handle: (DecodingEvent) -> Void) {
    while active.count < Self.limit, !waiting.isEmpty {
      let (number, request) = waiting.removeFirst()
      do throws(EngineError) {
        let stream = try begin(request)
        active.append(Answer(number, request, stream, engine))
        handle(.began(number))
      } catch {
        handle(.failed(number, error))
      }
    }
  }

  private func begin(_ request: GenerationRequest) throws(EngineError) -> TokenStream {
    let mixture: EngineMixture? =
      switch request.view {
      case .base: nil
      case .factored(let vector): try engine.mixture(of: vector)
      case .prepared: preconditionFailure("weights that another engine has made ready")
      }
    var call = GenerationCall(
      prompt: request.prompt, mixture: mixture, maximumTokens: request.maximumTokens, stopIDs: request.stopIDs)
    if case .sampled(let temperature, let topP, let seed, let stream) = request.sampling {
      call.temperature = Double(temperature)
      call.topP = Double(topP)
      call.seed = mixed(seed, stream)
    }
    let asked = call
    return try RemoteEngine.reaching { try engine.replicas.generate(asked, Patience(Self.patience)) }
  }

  /// Requests with one seed have streams of their own.
  private func mixed(_ seed: UInt64, _ stream: UInt64) -> UInt64 {
    (seed &+ (stream &+ 1) &* 0x9E37_79B9_7F4A_7C15) & UInt64(Int64.max)
  }

  /// Whether anything has come.
  private func advance(_ handle: (DecodingEvent) -> Void) -> Bool {
    var didAdvance = false
    var ended: Set<Int> = []
    for answer in active {
      do throws(EngineError) {
        guard let event = try RemoteEngine.reaching({ try answer.stream.next(until: .after(.zero)) }) else { continue }
        didAdvance = true
        if let ending = take(event, answer, handle) {
          ended.insert(answer.text.number)
          // Where the engine ends here too its last line is on the way, and the connection can be used again.
          if ending != .cancelled, ending != .stopString { _ = try? answer.stream.next(until: .after(Self.moment)) }
          answer.stream.cancel()
          handle(.ended(answer.text.number, answer.text.generation(ending)))
        }
      } catch {
        didAdvance = true
        ended.insert(answer.text.number)
        handle(.failed(answer.text.number, error))
      }
    }
    active.removeAll { ended.contains($0.text.number) }
    return didAdvance
  }

  /// The answer's ending, where this was its last event.
  private func take(
    _ event: TokenStream.Event, _ answer: Answer, _ handle: (DecodingEvent) -> Void
  ) -> Generation.Ending? {
    switch event {
    case .token(let id):
      let length = answer.request.prompt.count + answer.text.tokens.count + 1
      let token = answer.text.take(id, isFull: length >= engine.facts.context)
      handle(.token(token))
      return answer.text.ending ?? (cancelled.remove(answer.text.number) == nil ? nil : .cancelled)
    // The engine ended what was not seen to end here.
    case .end(.length): return .maximumTokens
    case .end(.context), .end(.stop): return .context
    }
  }

  /// For a token of any, for a moment.
  private func wait() {
    var descriptors = active.compactMap { answer in
      answer.stream.descriptor.map { pollfd(fd: $0.number, events: Int16(POLLIN), revents: 0) }
    }
    let milliseconds = Int32(Self.moment.inNanoseconds / 1_000_000)
    _ = unsafe poll(&descriptors, nfds_t(descriptors.count), milliseconds)
  }
}
