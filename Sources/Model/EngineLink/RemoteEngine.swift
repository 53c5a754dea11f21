package import Engines
package import LinearAlgebra
import ModelFormats
package import Multipliers
package import Results
package import Settings
package import SystemSupport
import Tokenizer

/// A model that engines elsewhere compute: the seam of ``Engines`` over the engine protocol.
///
/// What is computed together is decided here, by the arguments alone: a *unit* is a request, some items that lie next to each
/// other. So neither the number of replicas nor who answered first changes a result. What else an engine computes at the same
/// time may change its last bits, where it batches what comes from several requests.
package final class RemoteEngine: Engine {
  package let facts: EngineFacts
  package let room = MemoryRoom.unlimited
  package let replicas: EngineReplicas
  /// Says that nobody needs it any more.
  private let isOver = Monitor(false)

  /// Tokens of a unit, about: enough for a batch that pays, and few enough that replicas share an evaluation.
  package let passRows = 2048
  package var shortPassRows: Int { passRows }

  /// Asks the engines what they are, and for all that is needed of the model here: singular values, tokenizer, template.
  /// - Parameters:
  ///   - kind: what was registered; an engine of another name is refused.
  ///   - lookEvery: how often engines are asked whether they are there, where nobody asks them for anything else.
  ///   - whileStarting: told again and again how far engines are that have just been started.
  package init(
    _ kind: EngineKind, at addresses: [EngineAddress], policy: ReplicaPolicy = ReplicaPolicy(),
    lookEvery: Duration = .seconds(10), shouldStop: @escaping @Sendable () -> Bool,
    whileStarting: (_ progress: Double?, _ message: String) -> Void
  ) throws(EngineError) {
    var policy = policy
    // What vLLM is asked at the same time it computes together; torch computes request by request.
    if kind == .vllm { policy.requestsInFlight = 8 }
    let patience = Patience(until: .never, shouldStop: shouldStop)
    let (replicas, sigma, text) = try Self.reaching { () throws in
      let replicas = try EngineReplicas.connect(addresses, policy: policy, patience) { states in
        for state in states {
          if case .starting(let message, let progress) = state.condition { whileStarting(progress, message) }
        }
      }
      guard replicas.facts.engine.name == kind.rawValue else {
        throw EngineError.untrusted(
          "the engine at \(addresses[0].text) is '\(replicas.facts.engine.name)', and '\(kind.rawValue)' was asked for; "
            + "correct --engine or --at")
      }
      let path = addresses.map(\.text).joined(separator: ",")
      let description = try TokenizerDescription.huggingFace(at: path) { (name) throws(ModelFormatError) in
        let bytes: [UInt8]?
        do throws(ReplicasError) { bytes = try replicas.file(name, patience) } catch {
          throw .malformed(path: path, place: name, problem: error.description)
        }
        guard let bytes, bytes.starts(with: [0xEF, 0xBB, 0xBF]) else { return bytes }
        return Array(bytes.dropFirst(3))
      }
      return (replicas, try replicas.sigma(patience), try ModelText(description, path: path))
    }
    self.replicas = replicas
    let remote = replicas.facts
    facts = EngineFacts(
      tag: EngineTag(
        name: remote.engine.name, version: remote.engine.version, type: remote.engine.type,
        parallelism: remote.engine.parallelism),
      path: addresses.map(\.text).joined(separator: ","), modelID: remote.model.id,
      architecture: remote.model.architecture, parameters: remote.model.parameters, layers: remote.model.layers,
      hidden: remote.model.hidden, vocabulary: remote.model.vocabulary, context: remote.model.context,
      quantization: remote.model.stored, digest: remote.digest.description, layout: remote.layout,
      sigma: sigma.map { Float($0) }, tokenizer: text.tokenizer, chatTemplate: text.chatTemplate,
      eosIDs: remote.model.endIDs, hasGradients: remote.abilities.gradients, warnings: remote.warnings)
    // Without it the engines are seen when they are used.
    _ = try? OwnedThread(name: "look at engines", stackBytes: 1 << 20) { [isOver, replicas] in
      while isOver.wait(until: .after(lookEvery), { $0 ? () : nil }) == nil {
        _ = replicas.look(Patience(.seconds(5)) { isOver.read { $0 } })
      }
    }
  }

  deinit { isOver.withLock { $0 = true } }

  /// How they are, as far as the last calls tell.
  package var health: [EngineReplica] {
    replicas.states.map { state in
      switch state.condition {
      case .ready: EngineReplica(at: state.address.text, state: .ready)
      case .starting(let message, _): EngineReplica(at: state.address.text, state: .starting, detail: message)
      case .dead:
        EngineReplica(
          at: state.address.text, state: .dead,
          detail: state.lastFailure.map { "cannot \($0.attempt): \($0.cause)" } ?? "no answer")
      }
    }
  }

  /// What the engine has loaded it has loaded: each answer says under which multipliers it is, and that is compared.
  package func damage(thoroughly: Bool, shouldStop: @escaping @Sendable () -> Bool) -> String? { nil }

  // MARK: - Scores

  package func score(
    _ items: [ScoringItem], under views: [WeightView], priority: ComputePool.Priority,
    shouldStop: @escaping @Sendable () -> Bool
  ) throws(EngineError) -> [[ContinuationScore]] {
    guard views.count == items.count else {
      throw .countMismatch(what: "weight views", found: views.count, expected: items.count)
    }
    try check(items)
    let mixtures = try distinct(views)
    let asked = items.indices.filter { !items[$0].continuations.isEmpty }
    let units = units(of: asked.map { items[$0] }).map { range in asked[range] }
    let wire = units.map { $0.map { EngineItem(items[$0], mixtures[$0]) } }
    let found = try Self.reaching { try replicas.score(wire, Patience(until: .never, shouldStop: shouldStop)) }
    var results = [[ContinuationScore]](repeating: [], count: items.count)
    for (unit, scores) in zip(units, found) {
      for (index, scores) in zip(unit, scores) {
        results[index] = items[index].scores(scores)
        guard scores.allSatisfy({ $0.allSatisfy(\.isFinite) }) else { throw .overflow(item: index) }
      }
    }
    return results
  }

  /// In one request, however long: what others wait for is the engine's to order.
  package func score(
    _ item: ScoringItem, under view: WeightView, inPiecesOf pieceRows: Int, priority: ComputePool.Priority
  ) throws(EngineError) -> [ContinuationScore] {
    try score([item], under: [view], priority: priority, shouldStop: { false })[0]
  }

  package func logits(
    prompt: [Int32], under view: WeightView, inPiecesOf pieceRows: Int, priority: ComputePool.Priority
  ) throws(EngineError) -> [Float] {
    try check([ScoringItem(prompt: prompt, continuations: [])])
    let mixture = try distinct([view])[0]
    let logits = try Self.reaching { try replicas.logits(prompt, mixture, Patience(until: .never)) }
    guard logits.allSatisfy(\.isFinite) else { throw .overflow(item: 0) }
    return logits
  }

  /// A mixture is a name there: nothing is made ready for many of them.
  package func mixtureScorer(
    _ mixer: Mixer, many: Bool, priority: ComputePool.Priority, shouldStop: @escaping @Sendable () -> Bool
  ) throws(EngineError) -> any MixtureScorer {
    RemoteMixtures(engine: self, mixer: mixer)
  }

  package func weights(
    forManyRowsUnder vector: MultiplierVector, priority: ComputePool.Priority
  ) throws(EngineError) -> WeightView {
    vector.isIdentity ? .base : .factored(vector)
  }

  /// Nothing is computed in this process.
  package func gradientBytes(rows: Int, longest: Int) -> Int { 0 }
  package func decodingBytes(positions: Int, sequences: Int) -> Int { 0 }

  // MARK: - Parts

  func check(_ items: [ScoringItem]) throws(EngineError) {
    for (index, item) in items.enumerated() {
      try item.check(index: index, vocabulary: facts.vocabulary, context: facts.context)
    }
  }

  /// Items that lie next to each other, of about ``passRows`` tokens together, under no more mixtures than the engine takes.
  func units(of items: [ScoringItem]) -> [Range<Int>] {
    var units: [Range<Int>] = []
    var (start, rows) = (0, 0)
    for (index, item) in items.enumerated() {
      let mine = item.continuations.reduce(0) { $0 + item.prompt.count + $1.count }
      let isFull = rows + mine > passRows || index - start >= replicas.facts.abilities.mixtures
      if index > start, isFull {
        units.append(start..<index)
        (start, rows) = (index, 0)
      }
      rows += mine
    }
    if start < items.count { units.append(start..<items.count) }
    return units
  }

  /// Of each view its mixture, equal ones hashed once; nil for the base.
  func distinct(_ views: [WeightView]) throws(EngineError) -> [EngineMixture?] {
    var known: [(vector: MultiplierVector, mixture: EngineMixture?)] = []
    var mixtures: [EngineMixture?] = []
    for view in views {
      switch view {
      case .base: mixtures.append(nil)
      case .factored(let vector):
        if let mixture = known.first(where: { $0.vector == vector }) {
          mixtures.append(mixture.mixture)
        } else {
          let mixture = try mixture(of: vector)
          known.append((vector, mixture))
          mixtures.append(mixture)
        }
      case .prepared: preconditionFailure("weights that another engine has made ready")
      }
    }
    return mixtures
  }

  /// Nil for a vector of ones, which is the base.
  func mixture(of vector: MultiplierVector) throws(EngineError) -> EngineMixture? {
    guard vector.values.count == facts.layout.count else {
      throw .wrongMultiplierCount(found: vector.values.count, expected: facts.layout.count)
    }
    return vector.isIdentity ? nil : EngineMixture(vector.values, of: facts.layout)
  }

  /// Runs calls on the replicas; what goes wrong there becomes what the rest knows.
  static func reaching<Result>(_ body: () throws -> Result) throws(EngineError) -> Result {
    do { return try body() } catch let error as EngineError {
      throw error
    } catch let error as ReplicasError {
      throw EngineError(error)
    } catch let error as ModelFormatError {
      throw .unreadable(error)
    } catch {
      throw .unavailable("\(error)")
    }
  }
}

/// Mixtures as names: each piece of work is a unit of its own, so what else is asked, a cache hit or a resume changes nothing.
private struct RemoteMixtures: MixtureScorer {
  let engine: RemoteEngine
  let mixer: Mixer

  func score(
    _ work: [MixtureWork], priority: ComputePool.Priority, shouldStop: @escaping @Sendable () -> Bool
  ) throws(EngineError) -> [[[ContinuationScore]]] {
    var units: [[EngineItem]] = []
    for piece in work {
      try engine.check(piece.items)
      let vector: MultiplierVector
      do throws(MixtureError) { vector = try mixer.multipliers(piece.mixture) } catch { throw .mixture(error) }
      let mixture = try engine.mixture(of: vector)
      units.append(piece.items.filter { !$0.continuations.isEmpty }.map { EngineItem($0, mixture) })
    }
    let asked = units.indices.filter { !units[$0].isEmpty }
    let found = try RemoteEngine.reaching {
      try engine.replicas.score(asked.map { units[$0] }, Patience(until: .never, shouldStop: shouldStop))
    }
    let byPiece = Dictionary(uniqueKeysWithValues: zip(asked, found))
    return work.indices.map { index in
      var scores = (byPiece[index] ?? [])[...]
      return work[index].items.map { item in
        guard !item.continuations.isEmpty, let mine = scores.popFirst() else { return [] }
        guard mine.allSatisfy({ $0.allSatisfy(\.isFinite) }) else { return item.outOfRange }
        return item.scores(mine)
      }
    }
  }
}

extension EngineItem {
  init(_ item: ScoringItem, _ mixture: EngineMixture?) {
    self.init(prompt: item.prompt, continuations: item.continuations, mixture: mixture)
  }
}

extension ScoringItem {
  /// What an engine found of its continuations, (continuations, tokens).
  func scores(_ logprobs: [[Float]]) -> [ContinuationScore] {
    logprobs.enumerated().map { place, logprobs in
      ContinuationScore(logprobs: logprobs, lead: leads.isEmpty ? 0 : leads[place])
    }
  }
}

extension EngineError {
  init(_ error: ReplicasError) {
    switch error {
    case .stopped: self = .stopped
    case .failed(let failure):
      switch failure.cause {
      case .stopped: self = .stopped
      case .unable, .unsendable: self = .unsupported(error.description)
      case .wrongMixture, .otherProtocol, .otherFacts: self = .untrusted(error.description)
      case .refused(let refusal):
        switch refusal.code {
        case .badRequest, .tooLong, .noGradients, .noImages, .noLogits, .notFound:
          self = .unsupported(error.description)
        case .wrongMixture, .notArmed: self = .untrusted(error.description)
        case .unknownMixture, .notReady, .overloaded, .outOfMemory, .diskFull, .dead, .internal, nil:
          self = .unavailable(error.description)
        }
      case .noSocket, .notASocket, .nobodyListens, .noPermission, .system, .deadline, .closed, .notHTTP, .tooLarge,
        .notTheProtocol:
        self = .unavailable(error.description)
      }
    case .replicasDiffer: self = .untrusted(error.description)
    case .gaveUp, .noReplica, .timedOut, .system: self = .unavailable(error.description)
    }
  }
}
