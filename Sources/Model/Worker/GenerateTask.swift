import SystemSupport
import Engines
import WorkerProtocol

/// A `generate` on its way: what the requests of one call have come to, and the one answer to it.
///
/// It is begun in the thread of short requests and ends in whatever thread its last request ends in.
final class GenerateTask: Sendable {
  private let call: GenerateCall
  private let arrived: MonotonicInstant
  private let generator: Generator
  private let later: @Sendable (@escaping @Sendable () -> Void) -> Void
  /// Text and decisions as they come.
  private let tell: @Sendable (StreamEvent) -> Void
  private let finish: @Sendable (Result<GenerateAnswer, WorkerFault>) -> Void
  private let state: Mutex<State>

  enum StreamEvent: Sendable {
    case decided(request: Int, Decision)
    case token(request: Int, id: Int32, text: String)
  }

  private struct State {
    var generations: [GenerateAnswer.Generation?]
    var marks: [Marks]
    var tickets: [Generator.Ticket] = []
    var isCancelled = false
    var isFinished = false
  }

  /// When the parts of a request began and ended.
  private struct Marks {
    var dispatch = 0.0
    var began: MonotonicInstant?
    var firstToken: MonotonicInstant?
    var lastToken: MonotonicInstant?

    /// What is in none of the passes was waiting.
    func seconds(since arrived: MonotonicInstant, until end: MonotonicInstant) -> GenerateAnswer.Seconds {
      let first = firstToken ?? end
      let prefill = began.map { (first - $0).inSeconds } ?? 0
      let decode = ((lastToken ?? first) - first).inSeconds
      let total = (end - arrived).inSeconds
      return .init(
        queue: max(0, total - dispatch - prefill - decode), dispatch: dispatch, prefill: prefill, decode: decode)
    }
  }

  init(
    _ call: GenerateCall, arrived: MonotonicInstant, generator: Generator,
    later: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void,
    tell: @escaping @Sendable (StreamEvent) -> Void,
    finish: @escaping @Sendable (Result<GenerateAnswer, WorkerFault>) -> Void
  ) {
    self.call = call
    self.arrived = arrived
    self.generator = generator
    self.later = later
    self.tell = tell
    self.finish = finish
    let count = call.requests.count
    state = Mutex(
      State(
        generations: [GenerateAnswer.Generation?](repeating: nil, count: count),
        marks: [Marks](repeating: Marks(), count: count)))
  }

  /// In the thread of short requests; the model may be loaded here.
  func begin(_ models: ModelStore) {
    do throws(WorkerFault) {
      guard (1...65_536).contains(call.maximumTokens) else {
        throw WorkerFault(.badRequest, "max_tokens is \(call.maximumTokens), 1 to 65536 are possible")
      }
      if isCancelled { throw .requestCancelled }
      let lease = try models.lease(call.model)
      if call.requests.isEmpty { return end(.success(GenerateAnswer(generations: []))) }
      // Everything that can be refused is looked at before anything is computed: the prompt, its length, the weights.
      var prepared: [GenerationRequest] = []
      for (index, request) in call.requests.enumerated() {
        prepared.append(try lease.model.generationRequest(request, call, stream: UInt64(index)))
      }
      for (index, request) in call.requests.enumerated() {
        if let spec = request.dispatch {
          try decide(index, spec, request.input, prepared[index], lease)
        } else {
          answer(index, prepared[index], nil, lease)
        }
      }
    } catch {
      end(.failure(error))
    }
  }

  /// Nobody waits for it any more.
  func cancel() {
    let tickets = state.withLock { state in
      state.isCancelled = true
      return state.tickets
    }
    for ticket in tickets { ticket.cancel() }
  }

  private var isCancelled: Bool { state.withLock { $0.isCancelled } }

  private func decide(
    _ index: Int, _ spec: DispatchSpec, _ input: GenerateCall.Request.Input, _ prepared: GenerationRequest,
    _ lease: ModelStore.Lease
  ) throws(WorkerFault) {
    guard let prompt = input.words else {
      throw WorkerFault(
        .badRequest, "token ids cannot be put into the dispatch template; give a text, or choose the weights")
    }
    let pass = DispatchPass(prompt: prompt, spec: spec, lease: lease, generator: generator, later: later)
    pass.run(decoding: { hold($0) }) { [self] result in
      do throws(WorkerFault) {
        let outcome = try result.get()
        if isCancelled { throw .requestCancelled }
        state.withLock { $0.marks[index].dispatch = outcome.seconds }
        if call.stream { tell(.decided(request: index, outcome.decision)) }
        let weights = spec.labels.first { $0.label == outcome.decision.label }?.weights ?? .base
        var request = prepared
        request.view = try lease.model.view(weights)
        answer(index, request, outcome.decision, lease)
      } catch {
        end(.failure(error))
      }
    }
  }

  private func hold(_ ticket: Generator.Ticket) {
    let isCancelled = state.withLock { state in
      state.tickets.append(ticket)
      return state.isCancelled
    }
    if isCancelled { ticket.cancel() }
  }

  /// The second pass, or the only one.
  private func answer(
    _ index: Int, _ request: GenerationRequest, _ decision: Decision?, _ lease: ModelStore.Lease
  ) {
    let digest = lease.model.digest(of: request.view)
    let ticket = generator.add(lease, request) { [self] event in
      switch event {
      case .began: state.withLock { $0.marks[index].began = .now }
      case .token(let token):
        state.withLock { state in
          let now = MonotonicInstant.now
          state.marks[index].firstToken = state.marks[index].firstToken ?? now
          state.marks[index].lastToken = now
        }
        if call.stream { tell(.token(request: index, id: token.id, text: token.text)) }
      case .failed(_, let error): end(.failure(WorkerFault(error)))
      case .ended(_, let generation):
        guard generation.ending != .cancelled else { return end(.failure(.requestCancelled)) }
        if let problem = lease.model.damage() { return end(.failure(lease.model.damaged(problem))) }
        ended(
          index,
          .init(
            text: generation.text, promptTokens: request.prompt.count, ids: generation.tokens,
            finish: generation.ending.wireName, decision: decision, digest: digest))
      }
    }
    hold(ticket)
  }

  private func ended(_ index: Int, _ generation: GenerateAnswer.Generation) {
    let all = state.withLock { state -> [GenerateAnswer.Generation]? in
      var generation = generation
      generation.seconds = state.marks[index].seconds(since: arrived, until: MonotonicInstant.now)
      state.generations[index] = generation
      let done = state.generations.compactMap { $0 }
      return done.count == state.generations.count ? done : nil
    }
    if let all { end(.success(GenerateAnswer(generations: all))) }
  }

  /// Once: the other requests of a call that fails are cancelled.
  private func end(_ result: Result<GenerateAnswer, WorkerFault>) {
    let isFirst = state.withLock { state in
      defer { state.isFinished = true }
      return !state.isFinished
    }
    guard isFirst else { return }
    if case .failure = result { cancel() }
    finish(result)
  }
}

extension GenerateCall.Request.Input {
  /// What is sorted by a dispatch: the prompt, or the user's last words. Nil for token ids.
  fileprivate var words: String? {
    switch self {
    case .prompt(let text): text
    case .messages(let messages): messages.last { $0.role == "user" }?.content ?? messages.last?.content
    case .ids: nil
    }
  }
}

extension Generation.Ending {
  /// `finish` of the protocol.
  fileprivate var wireName: String {
    switch self {
    case .stopToken: "eos"
    case .stopString: "stop"
    case .maximumTokens: "length"
    case .context: "context"
    case .cancelled: "cancelled"
    }
  }
}
