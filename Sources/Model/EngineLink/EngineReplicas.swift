package import Digests
package import Settings
import SystemSupport

/// The engines of one model: the calls of the protocol on whichever of them is free, and again on another where one fails.
///
/// Any thread may call, several at once; each call blocks its thread. `score` deals its units to threads of its own, a few for
/// each replica, which end with the call. What is known of the replicas, and which mixtures each has, lies in a ``ReplicaPool``
/// under a lock; connections are kept between calls.
///
/// What comes back does not depend on how many replicas there are, nor on who answered: a unit is computed as one request
/// wherever it goes, and results have the places of their units.
package final class EngineReplicas: Sendable {
  /// Of the replica that answered first; the others agree with it in what numbers depend on.
  package let facts: RemoteFacts
  package let addresses: [EngineAddress]
  package let policy: ReplicaPolicy
  private let pool: Monitor<ReplicaPool>
  /// Connections that no thread uses, by replica.
  private let idle: Mutex<[[EngineConnection]]>

  private init(_ facts: RemoteFacts, _ pool: ReplicaPool, _ connections: [EngineConnection]) {
    self.facts = facts
    policy = pool.policy
    addresses = pool.replicas.map(\.address)
    self.pool = Monitor(pool)
    idle = Mutex(connections.map { [$0] })
  }

  /// Asks each for its facts, and compares them. One that does not answer is asked again later; where none does and one says that
  /// it is starting, it is waited for.
  ///
  /// - Parameter whileStarting: told again and again how far they are.
  package static func connect(
    _ addresses: [EngineAddress], policy: ReplicaPolicy = ReplicaPolicy(), _ patience: Patience,
    whileStarting: ([ReplicaState]) -> Void = { _ in }
  ) throws(ReplicasError) -> EngineReplicas {
    precondition(!addresses.isEmpty, "a model without an engine")
    var pool = ReplicaPool(addresses, policy)
    let attempt = "connect to the engines of the model"
    let waiting = Monitor(false)
    while true {
      let connections = addresses.map { EngineConnection($0) }
      for (index, connection) in connections.enumerated() {
        do throws(EngineFailure) {
          try connection.askFacts(patience.atMost(policy.shortRequest))
          pool.asked(index, nil, at: .now)
        } catch {
          switch error.cause {
          case .stopped: throw .stopped
          // Waiting does not mend it.
          case .otherProtocol: throw .failed(error)
          // What is known of it is better than that there was no time to ask again.
          case .deadline where patience.deadline.hasPassed && pool.states[index].lastFailure != nil: break
          default: pool.asked(index, error, at: .now)
          }
        }
      }
      if let first = connections.first(where: { $0.facts != nil }), let facts = first.facts {
        for other in connections {
          guard let difference = other.facts?.difference(from: facts) else { continue }
          throw .replicasDiffer(other.address, first.address, difference)
        }
        return EngineReplicas(
          facts, pool, connections.map { $0.facts == nil ? EngineConnection($0.address, facts: facts) : $0 })
      }
      let isStarting = pool.states.contains { if case .starting = $0.condition { true } else { false } }
      guard isStarting, !patience.deadline.hasPassed else { throw .noReplica(attempt: attempt, pool.states) }
      whileStarting(pool.states)
      let next = patience.atMost(policy.firstPause)
      while !next.deadline.hasPassed {
        if patience.shouldStop() { throw .stopped }
        _ = waiting.wait(until: next.nextQuestion) { $0 ? () : nil }
      }
    }
  }

  /// As far as the last calls tell.
  package var states: [ReplicaState] { pool.read { $0.states } }

  /// Asks every replica that is not being asked already, also one that is left alone for a time. For whoever wants to see them.
  package func look(_ patience: Patience) -> [ReplicaState] {
    for index in addresses.indices where pool.withLock({ $0.beginAsking(index) }) { ask(index, patience) }
    return states
  }

  // MARK: - Calls on one of them

  /// The singular values of the targets, flat by the layout.
  package func sigma(_ patience: Patience) throws(ReplicasError) -> [Double] {
    try once("read the singular values", [], policy.longRequest, patience) {
      connection, patience throws(EngineFailure) in try connection.sigma(patience)
    }
  }

  /// Nil where the engine has no such file.
  package func file(_ name: String, _ patience: Patience) throws(ReplicasError) -> [UInt8]? {
    try once("read the file '\(escaped(name, limit: 80))'", [], policy.shortRequest, patience) {
      connection, patience throws(EngineFailure) in try connection.file(name, patience)
    }
  }

  /// (vocabulary)
  package func logits(
    _ prompt: [Int32], _ mixture: EngineMixture?, _ patience: Patience
  ) throws(ReplicasError) -> [Float] {
    try once("compute logits", mixture.map { [$0] } ?? [], policy.longRequest, patience) {
      connection, patience throws(EngineFailure) in try connection.logits(prompt, mixture, patience)
    }
  }

  package func gradient(_ request: GradientRequest, _ patience: Patience) throws(ReplicasError) -> EngineGradient {
    try once("compute a gradient", request.mixture.map { [$0] } ?? [], policy.longRequest, patience) {
      connection, patience throws(EngineFailure) in try connection.gradient(request, patience)
    }
  }

  /// A stream that has begun. Once tokens come, an error ends it: they cannot be taken back to begin anew elsewhere.
  package func generate(
    _ call: GenerationCall, silence: Duration = .seconds(120), _ patience: Patience
  ) throws(ReplicasError) -> TokenStream {
    try once("generate", call.mixture.map { [$0] } ?? [], policy.longRequest, patience) {
      connection, patience throws(EngineFailure) in
      try connection.generate(call, silence: silence, patience)
    }
  }

  /// Lets every replica forget a mixture, as far as it can be reached: it would do so by itself.
  package func delete(_ mixture: Digest, _ patience: Patience) {
    for index in addresses.indices {
      let holds = pool.withLock { pool in
        defer { pool.forget([mixture], on: index) }
        return pool.replicas[index].held.contains(mixture) && pool.replicas[index].health.isUsable(at: .now)
      }
      guard holds else { continue }
      let connection = take(index)
      defer { put(connection, index) }
      try? connection.delete(mixture, patience.atMost(policy.shortRequest))
    }
  }

  // MARK: - Scores

  /// ln p of the tokens of each unit's items: (units, items, continuations, tokens).
  ///
  /// A unit is a request: its items are computed together, wherever.
  package func score(_ units: [[EngineItem]], _ patience: Patience) throws(ReplicasError) -> [[[[Float]]]] {
    if units.isEmpty { return [] }
    let run = pool.withLock { $0.begin("score \(units.count) units", units: units.count) }
    let box = ScoreRun(id: run, units: units)
    var threads: [OwnedThread] = []
    var failure: SystemCallError?
    starting: for _ in 0..<min(policy.requestsInFlight, units.count) {
      for replica in addresses.indices {
        do throws(SystemCallError) {
          threads.append(
            try OwnedThread(name: "engine \(replica)", stackBytes: 1 << 20) { self.work(box, replica) })
        } catch {
          failure = error
          break starting
        }
      }
    }
    // With fewer threads it takes longer; with none of one replica, that one is not asked.
    if threads.isEmpty, let failure { pool.withLock { $0.stop(run, .system(failure)) } }
    while pool.wait(until: .after(Patience.betweenQuestions), { $0.isOver(run) ? () : nil }) == nil {
      if let end = patience.end { pool.withLock { $0.stop(run, end) } }
    }
    for thread in threads { thread.join() }
    let error = pool.withLock { $0.end(run) }
    if let error { throw error }
    return box.results.withLock { results in
      units.indices.map { index in
        guard let scores = results[index] else { preconditionFailure("unit \(index) of \(units.count) has no scores") }
        return scores
      }
    }
  }

  private final class ScoreRun: Sendable {
    let id: ReplicaPool.RunID
    let units: [[EngineItem]]
    let results = Mutex<[Int: [[[Float]]]]>([:])

    init(id: ReplicaPool.RunID, units: [[EngineItem]]) { (self.id, self.units) = (id, units) }
  }

  /// A thread of one replica, for one run.
  private func work(_ run: ScoreRun, _ replica: Int) {
    while true {
      switch pool.wait(until: .after(Patience.betweenQuestions), { $0.step(run.id, replica, at: .now) }) {
      case nil: continue
      case .end: return
      case .ask(let replica): ask(replica, Patience(until: .never) { self.pool.read { $0.isOver(run.id) } })
      case .unit(let unit, let replica):
        let patience = Patience(policy.longRequest) { self.pool.read { !$0.isWanted(unit, of: run.id) } }
        let items = run.units[unit]
        do throws(EngineFailure) {
          let scores = try with(Self.mixtures(of: items), on: replica, patience) {
            connection, patience throws(EngineFailure) in try connection.score(items, patience)
          }
          run.results.withLock { $0[unit] = scores }
          pool.withLock { $0.finished(unit, of: run.id, on: replica) }
        } catch {
          pool.withLock { $0.failed(unit, of: run.id, on: replica, error, at: .now) }
        }
      }
    }
  }

  /// Each once, in the order in which the items name them.
  private static func mixtures(of items: [EngineItem]) -> [EngineMixture] {
    var seen: Set<Digest> = []
    return items.compactMap(\.mixture).filter { seen.insert($0.digest).inserted }
  }

  // MARK: - Parts

  /// Runs a call on one replica, and on others where it fails.
  private func once<Result>(
    _ attempt: String, _ mixtures: [EngineMixture], _ limit: Duration, _ patience: Patience,
    _ body: (EngineConnection, Patience) throws(EngineFailure) -> Result
  ) throws(ReplicasError) -> Result {
    let run = pool.withLock { $0.begin(attempt, units: 1) }
    while true {
      switch pool.wait(until: patience.nextQuestion, { $0.step(run, at: .now) }) {
      case nil:
        if let end = patience.end { pool.withLock { $0.stop(run, end) } }
      case .end:
        guard let error = pool.withLock({ $0.end(run) }) else {
          preconditionFailure("'\(attempt)' ended without a result")
        }
        throw error
      case .ask(let replica): ask(replica, patience)
      case .unit(let unit, let replica):
        do throws(EngineFailure) {
          let result = try with(mixtures, on: replica, patience.atMost(limit), body)
          pool.withLock {
            $0.finished(unit, of: run, on: replica)
            _ = $0.end(run)
          }
          return result
        } catch {
          // That the caller waits no longer says nothing of the replica.
          pool.withLock { pool in
            if let end = patience.end { pool.stop(run, end) }
            pool.failed(unit, of: run, on: replica, error, at: .now)
          }
        }
      }
    }
  }

  /// Runs a call on this replica, which has the mixtures then. Where it has forgotten one they are given anew, and the call is
  /// made again.
  private func with<Result>(
    _ mixtures: [EngineMixture], on replica: Int, _ patience: Patience,
    _ body: (EngineConnection, Patience) throws(EngineFailure) -> Result
  ) throws(EngineFailure) -> Result {
    let connection = take(replica)
    defer { put(connection, replica) }
    var rounds = 0
    while true {
      try give(mixtures, to: replica, connection, patience)
      do throws(EngineFailure) {
        return try body(connection, patience)
      } catch {
        rounds += 1
        guard case .refused(let refusal) = error.cause, refusal.code == .unknownMixture, rounds < Self.mostRounds
        else { throw error }
        pool.withLock { $0.forget(mixtures.map(\.digest), on: replica) }
      }
    }
  }

  /// Several threads may drive out each other's mixtures of an engine that keeps few.
  private static let mostRounds = 5

  private func give(
    _ mixtures: [EngineMixture], to replica: Int, _ connection: EngineConnection, _ patience: Patience
  ) throws(EngineFailure) {
    let digests = mixtures.map(\.digest)
    while true {
      switch pool.withLock({ $0.claim(digests, for: replica) }) {
      case .ready: return
      case .wait:
        // Another thread is giving them.
        _ = pool.wait(until: patience.nextQuestion) {
          $0.replicas[replica].onTheWay.isDisjoint(with: digests) ? () : nil
        }
        do throws(EngineFailure.Cause) { try patience.check(received: 0) } catch {
          throw EngineFailure(addresses[replica], "give \(digests.count) mixtures", error)
        }
      case .give(let mine):
        var rest = mine[...]
        defer { pool.withLock { $0.gaveNot(Array(rest), to: replica) } }
        while let digest = rest.first {
          guard let mixture = mixtures.first(where: { $0.digest == digest }) else {
            preconditionFailure("\(digest) was claimed by whoever has it not")
          }
          try connection.put(mixture, patience.atMost(policy.shortRequest))
          pool.withLock { $0.gave(digest, to: replica) }
          rest = rest.dropFirst()
        }
      }
    }
  }

  private func ask(_ replica: Int, _ patience: Patience) {
    let connection = take(replica)
    defer { put(connection, replica) }
    do throws(EngineFailure) {
      try connection.askFacts(patience.atMost(policy.shortRequest))
      pool.withLock { $0.asked(replica, nil, at: .now) }
    } catch {
      pool.withLock { $0.asked(replica, error, at: .now) }
    }
  }

  private func take(_ replica: Int) -> EngineConnection {
    idle.withLock { $0[replica].popLast() } ?? EngineConnection(addresses[replica], facts: facts)
  }

  private func put(_ connection: EngineConnection, _ replica: Int) {
    idle.withLock { $0[replica].append(connection) }
  }
}
