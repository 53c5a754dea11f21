import Digests
import Experts
import Multipliers
import Registry
import RPCProtocol
import SystemSupport
import TestSupport
import Testing

@testable import Daemon

@Suite struct AdapterStoreTests {
  private static let start = MonotonicInstant(nanoseconds: 1_000_000_000)

  private static let model = ModelSignature(
    name: "tiny", modelID: "tiny", digest: SHA256.digest([]), architecture: "LlamaForCausalLM",
    layout: MultiplierLayout(TinyModel.targets))

  private static func place(
    _ store: AdapterStore, _ value: Float, after seconds: Int
  ) throws -> String {
    let vector = MultiplierVector([Float](repeating: value, count: model.layout.count))
    return try store.place(
      vector, digest: vector.digest(in: model.layout), of: model, now: start + .seconds(seconds))
  }

  private static func isThere(_ path: String) throws -> Bool { try FileSystem.status(path) != nil }

  private static func bytes(_ directory: String) throws -> Int {
    let store = AdapterStore(directory: directory + "/measured", budget: 1 << 20, group: nil)
    _ = try place(store, 2, after: 0)
    return store.byteCount
  }

  @Test func whatWasResolvedLongestAgoGivesWay() throws {
    try withTemporaryDirectory { directory in
      let one = try Self.bytes(directory)
      // All have bytes alike, but for a digit or two of their configurations.
      let store = AdapterStore(directory: directory + "/adapters", budget: 2 * one + 64, group: nil)
      let (first, second) = (try Self.place(store, 1, after: 0), try Self.place(store, 2, after: 1))
      #expect(try Self.place(store, 1, after: 100) == first)
      let third = try Self.place(store, 3, after: 200)
      #expect(try Self.isThere(first) && !Self.isThere(second) && Self.isThere(third))
      #expect(store.byteCount <= 2 * one + 64)
    }
  }

  @Test func whatWasJustResolvedStaysAndTheNextIsToldToWait() throws {
    try withTemporaryDirectory { directory in
      let one = try Self.bytes(directory)
      let store = AdapterStore(directory: directory + "/adapters", budget: one + 64, group: nil)
      let first = try Self.place(store, 1, after: 0)
      let error = #expect(throws: RPCError.self) { try Self.place(store, 2, after: 10) }
      #expect(error?.kind == "overloaded" && error?.hint?.contains("adapter_budget") == true)
      #expect(try Self.isThere(first))
      _ = try Self.place(store, 2, after: 31)
      #expect(try !Self.isThere(first))
    }
  }

  @Test func anAdapterThatIsLargerThanTheBudgetIsRefused() throws {
    try withTemporaryDirectory { directory in
      let store = AdapterStore(directory: directory + "/adapters", budget: 100, group: nil)
      let error = #expect(throws: RPCError.self) { try Self.place(store, 1, after: 0) }
      #expect(error?.kind == "limit" && error?.message.contains("adapter_budget allows 100") == true)
      let isThere = try Self.isThere(directory + "/adapters")
      #expect(!isThere)
    }
  }

  @Test func aDirectoryThatSomebodyRemovedIsWrittenAgain() throws {
    try withTemporaryDirectory { directory in
      let store = AdapterStore(directory: directory + "/adapters", budget: 1 << 20, group: nil)
      let path = try Self.place(store, 1, after: 0)
      try FileSystem.removeTree(path)
      #expect(try Self.place(store, 1, after: 1) == path)
      let files = try FileSystem.entries(path).compactMap(\.text).sorted()
      #expect(files == ["adapter_config.json", "adapter_model.safetensors"])
    }
  }

  @Test func usersHaveSoManyMixturesOfTheirOwnAnHour() throws {
    let store = AdapterStore(directory: "/nowhere", budget: 1, group: nil)
    let limit = AdapterStore.maximumExpressionsOfUser
    for number in 0..<limit { try store.admit("m/\(number)", of: 1, now: Self.start) }
    let error = #expect(throws: RPCError.self) { try store.admit("m/new", of: 1, now: Self.start) }
    #expect(error?.kind == "limit" && error?.message.contains("uid 1 has had \(limit) different mixtures") == true)
    // What is known goes on, and so does everybody else, until all are too many.
    try store.admit("m/0", of: 1, now: Self.start + .seconds(1800))
    for user in UInt32(2)...4 {
      for number in 0..<limit { try store.admit("m/\(number)", of: user, now: Self.start) }
    }
    #expect(throws: RPCError.self) { try store.admit("m/0", of: 5, now: Self.start) }
    // An hour later they are forgotten, but for the one that was asked for again.
    let later = Self.start + .seconds(3601)
    for number in 1..<limit { try store.admit("n/\(number)", of: 1, now: later) }
    #expect(throws: RPCError.self) { try store.admit("n/0", of: 1, now: later) }
  }
}
