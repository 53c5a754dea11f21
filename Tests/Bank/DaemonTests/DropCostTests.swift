import Digests
import Glibc
import StrictJSON
import SystemSupport
import TestSupport
import Testing

@testable import Daemon
@testable import Registry
@testable import Watcher

/// The coordinator by itself, on this thread: what it reads from the catalogue for a dropped file can be counted.
@Suite struct DropCostTests {
  private final class Bank {
    let prefix: String
    let paths: DaemonPaths
    let snapshots = CurrentSnapshot(Snapshot.empty)
    let coordinator: Coordinator
    let directory: FileDescriptor
    private let mailbox: Mailbox<DirectoryWatcher.Command>

    init(_ prefix: String) throws {
      self.prefix = prefix
      paths = DaemonPaths(prefix: prefix, socket: "t2d.sock")
      try paths.prepare()
      coordinator = try Coordinator(
        paths: paths, configuration: .forTests, adapterGroup: nil, snapshots: snapshots, board: StatusBoard(),
        log: .silent,
        post: { _ in })
      directory = try FileDescriptor.open(paths.experts, O_RDONLY | O_DIRECTORY)
      mailbox = try Mailbox()
      let file = "\(prefix)/tiny.gguf"
      try FileSystem.writeAtomically(file, Array("GGUF tiny".utf8))
      let model = ModelRecord(
        name: "tiny", path: file, identity: "1", state: .ready, facts: try TinyModel.facts(ofFile: file), problem: nil,
        added: .now, addedBy: "uid 0")
      let coordinator = coordinator
      try coordinator.writer.change { () throws(RegistryError) in try coordinator.catalogue.store(model) }
    }

    func item(_ name: String, _ bytes: [UInt8]) throws -> DropItem {
      let file = name + ".safetensors"
      try FileSystem.writeAtomically("\(paths.experts)/\(file)", bytes, mode: 0o644)
      let status = try #require(try FileSystem.status(name: Array(file.utf8), in: directory))
      return DropItem(
        label: "experts", name: file, isDirectory: false, directory: directory,
        identity: DropIdentity(
          isDirectory: false, files: [.init(name: Array(file.utf8), identity: status.identity)]),
        mailbox: mailbox)
    }

    func take(_ items: [DropItem]) {
      var left = items[...]
      while !left.isEmpty { coordinator.dropped { left.popFirst().map { .due($0) } } }
    }

    func take(_ count: Int, named stem: String) throws {
      try take(
        (0..<count).map { try item("\(stem)\($0)", expertBytes("\(stem)\($0)", value: 1 + Float($0) / 4096)) })
    }

    /// What the watcher was told.
    func outcomes() -> [DropOutcome] {
      mailbox.takeAll().compactMap { if case .finished(_, let outcome) = $0 { outcome } else { nil } }
    }

    func cost(_ body: () throws -> Void) throws -> Int {
      let before = try coordinator.catalogue.database.operations
      try body()
      return try coordinator.catalogue.database.operations - before
    }
  }

  private func withBank(_ body: (Bank) throws -> Void) throws {
    try withTemporaryDirectory { prefix in
      let bank = try Bank(prefix)
      defer { bank.coordinator.end() }
      try body(bank)
    }
  }

  /// In operations of SQLite, so that a machine that is busy changes nothing.
  @Test func aDroppedFileCostsAsMuchBesideManyExpertsAsBesideFew() throws {
    try withBank { bank in
      var accepted: [Int] = []
      var refused: [Int] = []
      for (index, count) in [10, 600].enumerated() {
        try bank.take(count, named: "group\(index)-")
        let good = try bank.item("good\(index)", expertBytes("good\(index)", value: 1.5))
        accepted.append(try bank.cost { bank.take([good]) })
        let bad = try bank.item("bad\(index)", expertBytes("bad\(index)", value: .nan))
        refused.append(try bank.cost { bank.take([bad]) })
        // The same file again costs nothing.
        #expect(try bank.cost { bank.take([good]) } == 0)
      }
      #expect(bank.coordinator.snapshot.experts.count == 612)
      #expect(Double(accepted[1]) <= 1.02 * Double(accepted[0]), "\(accepted)")
      #expect(Double(refused[1]) <= 1.02 * Double(refused[0]), "\(refused)")
    }
  }

  @Test func aBatchIsOneSnapshotAndIsToldWhenItIsPublic() throws {
    try withBank { bank in
      let items = try (0..<20).map { number in
        try bank.item("expert\(number)", expertBytes("expert\(number)", value: number == 7 ? .nan : 1.5))
      }
      var left = items[...]
      var seen: Set<Int> = []
      bank.coordinator.dropped {
        // Nothing is public, and the watcher is told nothing, before all of it is durable.
        seen.insert(bank.snapshots.get().experts.count)
        #expect(bank.outcomes() == [])
        return left.popFirst().map { .due($0) }
      }
      let taken = items.count - left.count
      #expect(seen == [0] && taken > 1)
      #expect(bank.outcomes() == Array(repeating: .settled, count: taken))
      #expect(bank.snapshots.get().experts.count == taken - (taken > 7 ? 1 : 0))
      #expect(bank.snapshots.get() === bank.coordinator.snapshot)
    }
  }

  @Test func aFileThatGoesAndComesWithinABatchHasItsState() throws {
    try withBank { bank in
      let item = try bank.item("science", expertBytes("science", value: 1.5))
      bank.take([item])
      for gone in [DropEvent.vanished(label: "experts", name: item.name), .listed(label: "experts", names: [])] {
        var events = [gone, .due(item)][...]
        bank.coordinator.dropped { events.popFirst() }
        #expect(events.isEmpty)
        #expect(bank.coordinator.snapshot.ingested(.experts, item.name)?.version == 1)
      }
    }
  }

  @Test func aPartOfABatchFailsAloneAndABatchThatFailsLeavesNothing() throws {
    try withBank { bank in
      let (writer, catalogue) = (bank.coordinator.writer, bank.coordinator.catalogue)
      func record(_ name: String) -> IngestRecord {
        IngestRecord(directory: .experts, file: name, state: .ignored, identity: "", time: .now)
      }
      func store(_ name: String, fails: Bool) {
        _ = try? writer.change { () throws(RegistryError) in
          try catalogue.store(record(name))
          _ = try catalogue.record("test", name, now: .now)
          if fails { throw .conflict("on purpose") }
        }
      }
      try writer.batch {
        store("a", fails: false)
        store("b", fails: true)
        store("c", fails: false)
        #expect(writer.snapshot.ingested.map(\.file) == ["a", "c"])
        #expect(bank.snapshots.get().ingested.isEmpty)
      }
      #expect(bank.snapshots.get().ingested.map(\.file) == ["a", "c"])
      #expect(try catalogue.events(after: 0, limit: 9, kinds: ["test"]).map(\.subject) == ["a", "c"])
      // The commit itself fails: a reference that is checked then points nowhere.
      #expect(throws: RegistryError.self) {
        try writer.batch {
          store("d", fails: false)
          try? catalogue.run("INSERT INTO experts (name, active) VALUES ('nobody', 1)")
        }
      }
      #expect(bank.snapshots.get().ingested.map(\.file) == ["a", "c"])
      #expect(writer.snapshot === bank.snapshots.get())
      #expect(try catalogue.ingested().map(\.file) == ["a", "c"])
    }
  }
}
