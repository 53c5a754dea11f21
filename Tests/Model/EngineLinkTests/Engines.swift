import EngineLink
import FakeEngine
import Multipliers
import Settings
import SystemSupport
import Testing

/// Runs `body` with so many engines of one model, each behind a socket of its own; none is left behind.
func withEngines(
  _ count: Int = 1, _ model: FakeModel = FakeModel(), _ body: ([FakeEngine]) throws -> Void
) throws {
  try withTemporaryDirectory { directory in
    var engines: [FakeEngine] = []
    defer { for engine in engines { engine.stop() } }
    for index in 0..<count { engines.append(try FakeEngine(.unix(path: "\(directory)/e\(index)"), model)) }
    try body(engines)
  }
}

func withEngine(_ model: FakeModel = FakeModel(), _ body: (FakeEngine, EngineConnection) throws -> Void) throws {
  try withEngines(1, model) { engines in
    try body(engines[0], EngineConnection(try EngineAddress(text: engines[0].address)))
  }
}

func addresses(_ engines: [FakeEngine]) throws -> [EngineAddress] {
  try engines.map { try EngineAddress(text: $0.address) }
}

/// Long enough for a machine that does other things too.
var patience: Patience { Patience(.seconds(30)) }

extension FakeModel {
  var layout: MultiplierLayout {
    MultiplierLayout(
      targets.map { target in
        TargetMatrix(
          name: target.name, rows: target.rows, columns: target.columns,
          layer: Int(String(target.name.split(separator: ".")[2])))
      })
  }

  /// The n-th of many different ones.
  func vector(_ n: Int) -> [Float] { (0..<multiplierCount).map { 1 + Float((n * 7 + $0 * 3) % 11) / 16 } }
  func mixture(_ n: Int) -> EngineMixture { EngineMixture(vector(n), of: layout) }

  /// By the definition: (items, continuations, tokens).
  func scores(_ items: [EngineItem]) -> [[[Float]]] {
    items.map { item in
      let s = item.mixture?.multipliers ?? [Float](repeating: 1, count: multiplierCount)
      return item.continuations.map { continuation in
        continuation.indices.map { logprob(item.prompt + continuation[..<$0], continuation[$0], s) }
      }
    }
  }

  /// Units of a few items each, under several mixtures and the base.
  func units(_ count: Int) -> [[EngineItem]] {
    (0..<count).map { unit in
      (0..<3).map { item in
        EngineItem(
          prompt: [Int32(unit % 40), Int32(item), 7], continuations: [[3], [Int32((unit + item) % 50), 4, 5]],
          mixture: (unit + item) % 4 == 0 ? nil : mixture((unit + item) % 4))
      }
    }
  }
}

/// The failure that `body` throws; an issue where it throws none.
func failure<Value>(
  _ body: () throws -> Value, sourceLocation: SourceLocation = #_sourceLocation
) throws -> EngineFailure {
  do {
    let value = try body()
    Issue.record("there is no failure, but \(value)", sourceLocation: sourceLocation)
  } catch let error as EngineFailure {
    return error
  }
  throw NoFailure()
}

func error<Value>(
  _ body: () throws -> Value, sourceLocation: SourceLocation = #_sourceLocation
) throws -> ReplicasError {
  do {
    let value = try body()
    Issue.record("there is no error, but \(value)", sourceLocation: sourceLocation)
  } catch let error as ReplicasError {
    return error
  }
  throw NoFailure()
}

struct NoFailure: Error {}

extension ReplicaPolicy {
  /// Pauses that a test can wait for.
  static var quick: ReplicaPolicy {
    var policy = ReplicaPolicy()
    policy.firstPause = .milliseconds(5)
    policy.longestPause = .milliseconds(40)
    policy.waitForReplica = .milliseconds(200)
    return policy
  }
}
