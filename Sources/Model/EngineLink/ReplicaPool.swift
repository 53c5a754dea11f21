import Digests
import Settings
import SystemSupport

/// Who of the replicas gets what next. No clock, no lock, no I/O: tested with invented instants.
///
/// A *run* is a call of the caller's, of one or many units. Units are dealt in their order; one that failed goes back to its
/// place, and to another replica where one is usable. What is computed together is the caller's choice, so which replica answers,
/// and when, changes nothing but the time.
struct ReplicaPool: Sendable {
  typealias RunID = Int

  struct Replica: Sendable {
    let address: EngineAddress
    var health = ReplicaHealth()
    /// A thread is asking for the facts.
    var isBeingAsked = false
    /// Units on the way to it, of all runs.
    var inFlight = 0
    /// Mixtures that it has, as far as this end knows; it may have forgotten them since.
    var held: Set<Digest> = []
    /// Mixtures that a thread is giving it.
    var onTheWay: Set<Digest> = []

    init(_ address: EngineAddress) { self.address = address }
  }

  private struct Run: Sendable {
    let attempt: String
    /// Ascending.
    var waiting: [Int]
    var inFlight: Set<Int> = []
    /// Why units failed until now, and where last.
    var failures: [Int: [EngineFailure]] = [:]
    var lastReplica: [Int: Int] = [:]
    /// What the run fails with: that of the first unit which cannot be had.
    var failure: (unit: Int, error: ReplicasError)?
    /// What the caller had enough of it for.
    var stop: ReplicasError?
    /// Since when no replica is ready.
    var unreadySince: MonotonicInstant?

    var isOver: Bool { stop != nil || (waiting.isEmpty && inFlight.isEmpty) }

    mutating func fail(_ unit: Int, _ error: ReplicasError) {
      if let failure, failure.unit <= unit { return }
      failure = (unit, error)
      // Those before it are still tried: which unit a run fails with is not a matter of who was quicker.
      waiting.removeAll { $0 > unit }
      inFlight = inFlight.filter { $0 < unit }
    }
  }

  enum Step: Equatable {
    case unit(Int, on: Int)
    /// Ask this replica for its facts; `asked` is to be called then.
    case ask(Int)
    case end
  }

  /// A long search has more; the engine has forgotten the first of them by then, or is given them once more.
  private static let mostHeld = 4096

  let policy: ReplicaPolicy
  private(set) var replicas: [Replica]
  private var runs: [RunID: Run] = [:]
  private var nextRun = 0

  init(_ addresses: [EngineAddress], _ policy: ReplicaPolicy) {
    self.policy = policy
    replicas = addresses.map { Replica($0) }
  }

  var states: [ReplicaState] {
    replicas.map {
      ReplicaState(address: $0.address, condition: $0.health.condition, lastFailure: $0.health.lastFailure)
    }
  }

  // MARK: - Runs

  /// - Parameter attempt: what follows "cannot", for an error that is of no unit.
  mutating func begin(_ attempt: String, units: Int) -> RunID {
    defer { nextRun += 1 }
    runs[nextRun] = Run(attempt: attempt, waiting: Array(0..<units))
    return nextRun
  }

  /// Whether the caller has something to be told; threads of the run may be about to end.
  func isOver(_ run: RunID) -> Bool { runs[run]?.isOver ?? true }

  /// Whether anybody waits for this unit.
  func isWanted(_ unit: Int, of run: RunID) -> Bool {
    guard let run = runs[run], run.stop == nil else { return false }
    return run.failure.map { unit < $0.unit } ?? true
  }

  mutating func stop(_ run: RunID, _ reason: ReplicasError) { runs[run]?.stop = reason }

  /// Forgets the run. What it failed with; nil where all its units were answered.
  mutating func end(_ run: RunID) -> ReplicasError? {
    guard let run = runs.removeValue(forKey: run) else { preconditionFailure("a run ends twice") }
    return run.stop ?? run.failure?.error
  }

  // MARK: - Dealing

  /// What a thread of this replica does next for the run; nil where it waits for a change or for time to pass.
  mutating func step(_ id: RunID, _ replica: Int, at now: MonotonicInstant) -> Step? {
    guard var run = runs[id], !run.isOver else { return .end }
    defer { if runs[id] != nil { runs[id] = run } }
    if giveUpWithoutReplica(&run, at: now) { return .end }
    guard replicas[replica].health.isUsable(at: now) else { return ask(replica, at: now) }
    guard replicas[replica].inFlight < policy.requestsInFlight else { return nil }
    return take(&run, replica, at: now)
  }

  /// The same for a thread that has the whole run: on whichever replica has least to do.
  mutating func step(_ id: RunID, at now: MonotonicInstant) -> Step? {
    guard var run = runs[id], !run.isOver else { return .end }
    defer { if runs[id] != nil { runs[id] = run } }
    if giveUpWithoutReplica(&run, at: now) { return .end }
    let usable = replicas.indices.filter { replicas[$0].health.isUsable(at: now) }
    for replica in usable.sorted(by: { (replicas[$0].inFlight, $0) < (replicas[$1].inFlight, $1) }) {
      if let step = take(&run, replica, at: now) { return step }
    }
    for replica in replicas.indices {
      if let step = ask(replica, at: now) { return step }
    }
    return nil
  }

  private mutating func take(_ run: inout Run, _ replica: Int, at now: MonotonicInstant) -> Step? {
    let others = replicas.indices.contains { $0 != replica && replicas[$0].health.isUsable(at: now) }
    guard let place = run.waiting.firstIndex(where: { !others || run.lastReplica[$0] != replica }) else { return nil }
    let unit = run.waiting.remove(at: place)
    run.inFlight.insert(unit)
    replicas[replica].inFlight += 1
    return .unit(unit, on: replica)
  }

  private mutating func ask(_ replica: Int, at now: MonotonicInstant) -> Step? {
    replicas[replica].health.isDue(at: now) && beginAsking(replica) ? .ask(replica) : nil
  }

  /// One that is only paused counts as ready: it will answer.
  private func giveUpWithoutReplica(_ run: inout Run, at now: MonotonicInstant) -> Bool {
    guard !replicas.contains(where: { $0.health.condition == .ready }), run.inFlight.isEmpty else {
      run.unreadySince = nil
      return false
    }
    let since = run.unreadySince ?? now
    run.unreadySince = since
    guard now - since >= policy.waitForReplica else { return false }
    run.fail(run.waiting.first ?? 0, .noReplica(attempt: run.attempt, states))
    run.waiting = []
    return true
  }

  // MARK: - What became of it

  mutating func finished(_ unit: Int, of run: RunID, on replica: Int) {
    replicas[replica].inFlight -= 1
    replicas[replica].health.succeeded()
    runs[run]?.inFlight.remove(unit)
  }

  mutating func failed(
    _ unit: Int, of run: RunID, on replica: Int, _ failure: EngineFailure, at now: MonotonicInstant
  ) {
    replicas[replica].inFlight -= 1
    let isWanted = isWanted(unit, of: run)
    runs[run]?.inFlight.remove(unit)
    // Where the caller has had enough, or a unit before it has failed, nobody waits for this one, and that it was cut off is no
    // fault of the replica.
    guard isWanted else { return }
    replicas[replica].health.failed(failure, at: now, policy)
    guard failure.cause.isRepeatable else {
      runs[run]?.fail(unit, .failed(failure))
      return
    }
    // An engine that starts has not tried; how long it is waited for is bounded by time.
    var failures = runs[run]?.failures[unit] ?? []
    if case .starting = failure.cause.meaning {} else { failures.append(failure) }
    guard failures.count < policy.tries else {
      runs[run]?.fail(unit, .gaveUp(failures))
      return
    }
    runs[run]?.failures[unit] = failures
    runs[run]?.lastReplica[unit] = replica
    let place = runs[run]?.waiting.firstIndex { $0 > unit } ?? runs[run]?.waiting.count ?? 0
    runs[run]?.waiting.insert(unit, at: place)
  }

  /// Whether the caller may ask it now; then `asked` is to be called.
  mutating func beginAsking(_ replica: Int) -> Bool {
    if replicas[replica].isBeingAsked { return false }
    replicas[replica].isBeingAsked = true
    return true
  }

  /// - Parameter failure: nil where it answered with the facts that were agreed on.
  mutating func asked(_ replica: Int, _ failure: EngineFailure?, at now: MonotonicInstant) {
    replicas[replica].isBeingAsked = false
    if let failure {
      replicas[replica].health.failed(failure, at: now, policy)
    } else if replicas[replica].health.condition != .ready {
      replicas[replica].health.answersAgain()
      // It may be another process.
      replicas[replica].held = []
    }
  }

  // MARK: - Mixtures

  enum Giving: Equatable {
    /// The caller gives these, and says so with `gave` or `gaveNot`.
    case give([Digest])
    /// All are there or on the way of other threads.
    case wait
    case ready
  }

  mutating func claim(_ mixtures: [Digest], for replica: Int) -> Giving {
    let missing = mixtures.filter { !replicas[replica].held.contains($0) }
    if missing.isEmpty { return .ready }
    let mine = missing.filter { !replicas[replica].onTheWay.contains($0) }
    if mine.isEmpty { return .wait }
    replicas[replica].onTheWay.formUnion(mine)
    return .give(mine)
  }

  mutating func gave(_ mixture: Digest, to replica: Int) {
    replicas[replica].onTheWay.remove(mixture)
    if replicas[replica].held.count >= Self.mostHeld { replicas[replica].held = [] }
    replicas[replica].held.insert(mixture)
  }

  mutating func gaveNot(_ mixtures: [Digest], to replica: Int) { replicas[replica].onTheWay.subtract(mixtures) }

  /// The engine has forgotten one of these; it may have forgotten all.
  mutating func forget(_ mixtures: [Digest], on replica: Int) { replicas[replica].held.subtract(mixtures) }
}
