import Digests
import Settings
import SystemSupport
import Testing

@testable import EngineLink

/// With invented instants: seconds since the beginning.
@Suite struct ReplicaPoolTests {
  private static func at(_ seconds: Double) -> MonotonicInstant {
    MonotonicInstant(nanoseconds: 1_000_000_000 + Int64(seconds * 1e9))
  }

  private static func address(_ index: Int) throws -> EngineAddress { try EngineAddress(text: "unix:/e\(index)") }

  private static func pool(_ count: Int, inFlight: Int = 1, tries: Int = 3) throws -> ReplicaPool {
    var policy = ReplicaPolicy()
    (policy.requestsInFlight, policy.tries) = (inFlight, tries)
    return ReplicaPool(try (0..<count).map { try address($0) }, policy)
  }

  private static func failure(_ cause: EngineFailure.Cause, _ replica: Int = 0) throws -> EngineFailure {
    EngineFailure(try address(replica), "score 1 item", cause)
  }

  private static let lost = EngineFailure.Cause.closed(received: 0)
  private static func refused(_ code: EngineRefusal.Code) -> EngineFailure.Cause {
    .refused(EngineRefusal(status: 500, code: code, message: "m"))
  }

  @Test func unitsAreDealtInTheirOrderAndAFewAtATime() throws {
    var pool = try Self.pool(2, inFlight: 2)
    let run = pool.begin("score", units: 5)
    let now = Self.at(0)
    #expect(pool.step(run, 0, at: now) == .unit(0, on: 0))
    #expect(pool.step(run, 1, at: now) == .unit(1, on: 1))
    #expect(pool.step(run, 0, at: now) == .unit(2, on: 0))
    #expect(pool.step(run, 0, at: now) == nil)
    #expect(pool.step(run, 1, at: now) == .unit(3, on: 1))
    pool.finished(2, of: run, on: 0)
    #expect(pool.step(run, 0, at: now) == .unit(4, on: 0))
    pool.finished(0, of: run, on: 0)
    #expect(pool.step(run, 0, at: now) == nil)
    for (unit, replica) in [(1, 1), (3, 1), (4, 0)] { pool.finished(unit, of: run, on: replica) }
    #expect(pool.step(run, 0, at: now) == .end && pool.step(run, 1, at: now) == .end)
    #expect(pool.isOver(run))
    #expect(pool.end(run) == nil)
  }

  @Test func aUnitThatFailedGoesToAnotherReplicaFirst() throws {
    var pool = try Self.pool(2)
    let run = pool.begin("score", units: 2)
    #expect(pool.step(run, 0, at: Self.at(0)) == .unit(0, on: 0))
    pool.failed(0, of: run, on: 0, try Self.failure(Self.refused(.internal)), at: Self.at(0))
    // Paused, but not dead.
    #expect(pool.states[0].condition == .ready)
    #expect(pool.step(run, 0, at: Self.at(0.5)) == nil)
    #expect(pool.step(run, 1, at: Self.at(0.5)) == .unit(0, on: 1))
    #expect(pool.step(run, 0, at: Self.at(1)) == .unit(1, on: 0))
    pool.failed(0, of: run, on: 1, try Self.failure(Self.refused(.internal), 1), at: Self.at(1))
    pool.finished(1, of: run, on: 0)
    #expect(pool.step(run, 1, at: Self.at(2)) == nil)
    #expect(pool.step(run, 0, at: Self.at(2)) == .unit(0, on: 0))
  }

  @Test func aUnitIsTriedSoOftenAndNoOftener() throws {
    var pool = try Self.pool(1, tries: 3)
    let run = pool.begin("score", units: 1)
    var now = 0.0
    var failures: [EngineFailure] = []
    for text in ["a", "b", "c"] {
      #expect(pool.step(run, 0, at: Self.at(now)) == .unit(0, on: 0))
      failures.append(try Self.failure(.refused(EngineRefusal(status: 500, code: .internal, message: text))))
      pool.failed(0, of: run, on: 0, failures[failures.count - 1], at: Self.at(now))
      now += 100
    }
    #expect(pool.step(run, 0, at: Self.at(now)) == .end)
    let ended = pool.end(run)
    let error = try #require(ended)
    #expect(error == .gaveUp(failures))
    #expect(
      error.description.hasPrefix("cannot score 1 item: tried 3 times; unix:/e0: the engine answers 500 internal: a"))
  }

  @Test func aDeadReplicaIsAskedAgainAfterATimeThatGrows() throws {
    var pool = try Self.pool(2)
    let run = pool.begin("score", units: 9)
    var now = 0.0
    for (number, pause) in [1.0, 2, 4, 8, 16, 32, 60, 60].enumerated() {
      if number == 0 {
        #expect(pool.step(run, 0, at: Self.at(now)) == .unit(0, on: 0))
        pool.failed(0, of: run, on: 0, try Self.failure(Self.lost), at: Self.at(now))
      } else {
        pool.asked(0, try Self.failure(.nobodyListens), at: Self.at(now))
      }
      #expect(pool.states[0].condition == .dead(since: Self.at(0)))
      #expect(pool.step(run, 0, at: Self.at(now + pause - 0.1)) == nil)
      now += pause
      #expect(pool.step(run, 0, at: Self.at(now)) == .ask(0))
      #expect(pool.step(run, 0, at: Self.at(now)) == nil, "one thread asks")
    }
    pool.asked(0, nil, at: Self.at(now))
    #expect(pool.states[0].condition == .ready)
    let last = try Self.failure(.nobodyListens)
    #expect(pool.states[0].lastFailure == last)
    // The first was its own failure, and the other replica is free for it.
    #expect(pool.step(run, 0, at: Self.at(now)) == .unit(1, on: 0))
  }

  @Test func severalRequestsOnTheWayToOneThatDiedAreOneFailure() throws {
    var pool = try Self.pool(1, inFlight: 3)
    let run = pool.begin("score", units: 3)
    for unit in 0..<3 { #expect(pool.step(run, 0, at: Self.at(0)) == .unit(unit, on: 0)) }
    for unit in 0..<3 { pool.failed(unit, of: run, on: 0, try Self.failure(Self.lost), at: Self.at(0)) }
    #expect(pool.step(run, 0, at: Self.at(1)) == .ask(0))
  }

  @Test func aRunFailsWithItsFirstUnitWhoeverWasQuicker() throws {
    var pool = try Self.pool(3)
    let run = pool.begin("score", units: 4)
    let now = Self.at(0)
    for unit in 0..<3 { #expect(pool.step(run, unit, at: now) == .unit(unit, on: unit)) }
    let bad = try Self.failure(Self.refused(.tooLong), 2)
    pool.failed(2, of: run, on: 2, bad, at: now)
    // The fourth is not begun; the first two are waited for.
    #expect(pool.step(run, 2, at: now) == nil)
    #expect(pool.isWanted(0, of: run) && !pool.isWanted(2, of: run) && !pool.isOver(run))
    let first = try Self.failure(Self.refused(.badRequest), 1)
    pool.failed(1, of: run, on: 1, first, at: now)
    pool.finished(0, of: run, on: 0)
    #expect(pool.step(run, 0, at: now) == .end)
    #expect(pool.end(run) == .failed(first))
    #expect(
      pool.states.allSatisfy { $0.condition == .ready && $0.lastFailure == nil }, "it is no fault of the replicas")
  }

  @Test func aRunIsGivenUpWhereNoReplicaIsReadyForSoLong() throws {
    var pool = try Self.pool(2)
    let run = pool.begin("score 2 units", units: 2)
    for replica in 0..<2 { #expect(pool.step(run, replica, at: Self.at(0)) == .unit(replica, on: replica)) }
    for replica in 0..<2 {
      pool.failed(replica, of: run, on: replica, try Self.failure(.noSocket, replica), at: Self.at(0))
    }
    #expect(pool.step(run, 0, at: Self.at(0.1)) == nil)
    #expect(pool.step(run, 0, at: Self.at(30)) == .ask(0))
    pool.asked(0, try Self.failure(.nobodyListens, 0), at: Self.at(30))
    #expect(pool.step(run, 1, at: Self.at(30.2)) == .end)
    let ended = pool.end(run)
    let error = try #require(ended)
    #expect(
      error.description.contains("cannot score 2 units: no engine of the model is ready; unix:/e0 is dead: ")
        && error.description.contains("nobody listens there") && error.description.contains("; unix:/e1 is dead: ")
        && error.description.contains("there is no such socket"), "\(error)")
  }

  @Test func anEngineThatStartsIsWaitedForAndCostsNoTries() throws {
    var pool = try Self.pool(1, tries: 1)
    let run = pool.begin("score", units: 1)
    let starting = try Self.failure(
      .refused(EngineRefusal(status: 503, code: .notReady, message: "reads weights", progress: 0.5)))
    #expect(pool.step(run, 0, at: Self.at(0)) == .unit(0, on: 0))
    pool.failed(0, of: run, on: 0, starting, at: Self.at(0))
    #expect(pool.states[0].condition == .starting(message: "reads weights", progress: 0.5))
    #expect(pool.states[0].description == "unix:/e0 is starting: reads weights (50 %)")
    for second in 1...9 {
      #expect(pool.step(run, 0, at: Self.at(Double(second))) == .ask(0))
      pool.asked(0, starting, at: Self.at(Double(second)))
    }
    #expect(pool.step(run, 0, at: Self.at(10)) == .ask(0))
    pool.asked(0, nil, at: Self.at(10))
    #expect(pool.step(run, 0, at: Self.at(10)) == .unit(0, on: 0))
  }

  @Test func aCallGoesToWhicheverHasLeastToDo() throws {
    var pool = try Self.pool(2, inFlight: 1)
    let run = pool.begin("score", units: 3)
    #expect(pool.step(run, 0, at: Self.at(0)) == .unit(0, on: 0))
    let call = pool.begin("logits", units: 1)
    #expect(pool.step(call, at: Self.at(0)) == .unit(0, on: 1))
    // It does not wait for others to end.
    let other = pool.begin("logits", units: 1)
    #expect(pool.step(other, at: Self.at(0)) == .unit(0, on: 0))
  }

  @Test func whatIsCutOffIsNoFaultOfTheReplica() throws {
    var pool = try Self.pool(1)
    let run = pool.begin("score", units: 1)
    #expect(pool.step(run, 0, at: Self.at(0)) == .unit(0, on: 0))
    pool.stop(run, .stopped)
    pool.failed(0, of: run, on: 0, try Self.failure(.stopped), at: Self.at(0))
    let state = ReplicaState(address: try Self.address(0), condition: .ready, lastFailure: nil)
    #expect(pool.states[0] == state)
    #expect(pool.step(run, 0, at: Self.at(0)) == .end)
    #expect(pool.end(run) == .stopped)
  }

  @Test func aMixtureIsGivenByOneThread() throws {
    var pool = try Self.pool(2)
    let (a, b) = (SHA256.digest([1]), SHA256.digest([2]))
    #expect(pool.claim([a], for: 0) == .give([a]))
    #expect(pool.claim([a, b], for: 0) == .give([b]))
    #expect(pool.claim([a, b], for: 0) == .wait)
    #expect(pool.claim([a], for: 1) == .give([a]))
    pool.gave(a, to: 0)
    pool.gaveNot([b], to: 0)
    #expect(pool.claim([a], for: 0) == .ready)
    #expect(pool.claim([a, b], for: 0) == .give([b]))
    pool.gave(b, to: 0)
    pool.forget([a], on: 0)
    #expect(pool.claim([a, b], for: 0) == .give([a]))
    // Another process knows nothing of it.
    pool.asked(0, try Self.failure(.nobodyListens), at: Self.at(0))
    pool.asked(0, nil, at: Self.at(1))
    #expect(pool.claim([b], for: 0) == .give([b]))
  }
}
