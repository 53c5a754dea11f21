import SQLite
import StrictJSON
import SystemSupport
import TestSupport
import Testing

@testable import Registry

/// The catalogue beside its redo log: whatever becomes of one of them, nothing that was acknowledged is lost.
@Suite struct RedoLogTests {
  // MARK: - A disk that refuses

  @Test func aCommitThatTheDatabaseRefusesChangesNothingAndTheNextOneWorks() throws {
    try withBank { bank in
      try bank.addVersion()
      let before = try bank.catalogue.dump()
      let broken = try ReadOnlyFiles(bank.path + "-wal")
      let error = #expect(throws: RegistryError.self) { try bank.addVersion() }
      #expect(error?.isOfTheDisk == true, "\(String(describing: error))")
      broken.mend()
      #expect(try bank.catalogue.dump() == before)
      #expect(bank.catalogue.takeEvents().count == 1, "nobody hears of what was not committed")
      #expect(try bank.addVersion() == 2)
      let after = try bank.catalogue.dump()
      try bank.reopen()
      #expect(try bank.catalogue.dump() == after && bank.catalogue.findings.isEmpty)
      try bank.loseCatalogue()
      #expect(try bank.catalogue.dump() == after)
    }
  }

  @Test func aRedoLogThatCannotBeWrittenRefusesChangesUntilItCan() throws {
    try withBank { bank in
      try bank.addVersion()
      let before = try bank.catalogue.dump()
      let broken = try ReadOnlyFiles(try bank.logPath)
      for _ in 1...2 {
        let error = #expect(throws: RegistryError.self) { try bank.addVersion() }
        #expect(error?.isOfTheDisk == true, "\(String(describing: error))")
      }
      #expect(try bank.catalogue.dump() == before, "what is there can be read")
      broken.mend()
      #expect(try bank.addVersion() == 2)
      let after = try bank.catalogue.dump()
      try bank.loseCatalogue()
      #expect(try bank.catalogue.dump() == after)
    }
  }

  // MARK: - A database that lost something

  @Test func whatTheDatabaseLostIsMadeAgainAndNoNumberIsUsedTwice() throws {
    try withBank { bank in
      try bank.addVersion()
      var all: [String] = []
      try bank.loseChanges {
        for _ in 1...2 { try bank.addVersion() }
        all = try bank.catalogue.dump()
      }
      try bank.open()
      #expect(try bank.catalogue.dump() == all)
      let finding = try #require(bank.catalogue.findings.first)
      #expect("\(finding)".contains("lacked its changes 2 to 3"), "\(finding)")
      #expect(try bank.addVersion() == 4)
    }
  }

  /// As after kill -9: the database's own log is there, and holds everything.
  @Test func everyDamageOfTheWriteAheadLogIsMadeGood() throws {
    var cases = 0
    try withTemporaryDirectory { place in
      try withBank { bank in
        for _ in 1...4 { try bank.addVersion() }
        let all = try bank.catalogue.dump()
        let log = try FileSystem.readAll(bank.path + "-wal", maximumBytes: 1 << 24)
        try #require(log.count > 4096)
        for damage in Damage.all(of: log.count, pieces: 48) {
          let copy = "\(place)/\(cases)"
          try bank.copy(to: copy)
          try damage.apply(to: copy + "/catalogue.sqlite-wal", log)
          let catalogue = try Catalogue(in: copy)
          #expect(try catalogue.dump() == all, "\(damage)")
          catalogue.close()
          try FileSystem.removeTree(copy)
          cases += 1
        }
      }
    }
    print("damages of the write-ahead log: \(cases)")
    #expect(cases > 50)
  }

  @Test func everyDamageOfTheRedoLogLeavesTheDatabaseAsItWasAndANewLog() throws {
    var (cases, said) = (0, 0)
    try withTemporaryDirectory { place in
      try withBank { bank in
        for _ in 1...4 { try bank.addVersion() }
        let all = try bank.catalogue.dump()
        let name = FileSystem.split(try bank.logPath).name
        let log = try FileSystem.readAll(try bank.logPath, maximumBytes: 1 << 24)
        for damage in Damage.all(of: log.count, pieces: 24) {
          let copy = "\(place)/\(cases)"
          try bank.copy(to: copy)
          try damage.apply(to: "\(copy)/redo/\(name)", log)
          let damaged = Bank(copy)
          try damaged.open()
          #expect(try damaged.catalogue.dump() == all, "\(damage)")
          said += damaged.catalogue.findings.count
          #expect(try damaged.addVersion() == 5)
          let after = try damaged.catalogue.dump()
          try damaged.reopen()
          #expect(try damaged.catalogue.dump() == after, "\(damage)")
          damaged.catalogue.close()
          try FileSystem.removeTree(copy)
          cases += 1
        }
      }
    }
    print("damages of the redo log: \(cases), of which \(said) were noticed at the next start")
    #expect(cases > 25 && said > 4)
  }

  @Test func whereBothAreDamagedTheStartIsRefused() throws {
    try withBank { bank in
      try bank.addVersion()
      let path = try bank.logPath
      try bank.loseChanges { try bank.addVersion() }
      var log = try FileSystem.readAll(path, maximumBytes: 1 << 24)
      log[log.count - 10] ^= 1
      try FileSystem.writeAtomically(path, log)
      let error = #expect(throws: RegistryError.self) { try bank.open() }
      #expect(error?.isDamage == true)
      #expect(error?.description.contains("does not fit its checksum; start with 't2d fsck --rebuild'") == true)
    }
  }

  /// The machine stopped while the line was written: nobody was told of that change.
  @Test func aLineWithoutItsEndIsCutOff() throws {
    try withBank { bank in
      try bank.addVersion()
      let all = try bank.catalogue.dump()
      let path = try bank.logPath
      bank.catalogue.close()
      let log = try FileSystem.readAll(path, maximumBytes: 1 << 24)
      try FileSystem.writeAtomically(path, log + Array(#"0123456789abcdef {"commit":3,"ru"#.utf8))
      try bank.open()
      #expect(try bank.catalogue.dump() == all && bank.catalogue.findings.isEmpty)
      #expect(try FileSystem.readAll(path, maximumBytes: 1 << 24) == log)
      #expect(try bank.addVersion() == 2)
      try bank.loseCatalogue()
      #expect(try bank.catalogue.experts().first?.versions.count == 2)
    }
  }

  // MARK: - A database that is gone

  @Test func aStoreWithoutItsCatalogueIsNeverTakenForANewOne() throws {
    try withBank { bank in
      try bank.addVersion()
      bank.catalogue.close()
      for content in [nil, [UInt8]()] {
        _ = try FileSystem.remove(bank.path)
        if let content { try FileSystem.writeAtomically(bank.path, content) }
        let error = #expect(throws: RegistryError.self) { try bank.open() }
        #expect(error?.isDamage == true)
        #expect(error?.description.contains("is missing or empty, and its redo log is there") == true)
      }
    }
    try withTemporaryDirectory { directory in
      let store = BlobStore(root: directory)
      try store.prepare()
      try FileSystem.writeAtomically("\(directory)/blobs/ab/cd", [1])
      let error = #expect(throws: RegistryError.self) { try Catalogue(in: directory) }
      #expect(error?.description.contains("holds files that only it can name") == true)
    }
  }

  @Test func aLongLogIsReplacedByACopyAndTheStoreGoesOn() throws {
    try withBank { bank in
      for _ in 1...3 { try bank.addVersion() }
      let before = try bank.logPath
      try bank.catalogue.shortenRedoLog(longerThan: 1 << 20)
      #expect(try bank.logPath == before)
      try bank.catalogue.shortenRedoLog(longerThan: 100)
      #expect(try bank.logPath != before)
      #expect(try FileSystem.entries(bank.directory + "/redo").count == 2)
      try bank.addVersion()
      let all = try bank.catalogue.dump()
      try bank.loseCatalogue()
      #expect(try bank.catalogue.dump() == all)
    }
  }

  /// What the statements of the log make of its copy is the catalogue, whatever was done to it.
  @Test(arguments: 0..<8) func theCopyAndItsLogAreTheCatalogueAfterAnyChanges(seed: UInt64) throws {
    try withBank { bank in
      var random = SplitMix(seed: seed)
      for step in 0..<60 { try bank.doAnything(random.next() % 8, step) }
      let all = try bank.catalogue.dump()
      #expect(!bank.catalogue.takeEvents().contains { $0.kind == "gone" })
      try bank.loseCatalogue()
      #expect(try bank.catalogue.dump() == all)
    }
  }
}

/// A store whose catalogue is closed, damaged and opened again.
private final class Bank {
  let directory: String
  private(set) var catalogue: Catalogue!
  private var added = 0

  init(_ directory: String) { self.directory = directory }

  var path: String { directory + "/catalogue.sqlite" }
  var logPath: String { get throws { try #require(catalogue.redo).path } }

  func open() throws { catalogue = try Catalogue(in: directory) }

  func reopen() throws {
    catalogue.close()
    try open()
  }

  /// Makes changes that the database, which is closed then, has lost again, and the redo log has not.
  func loseChanges(_ changes: () throws -> Void) throws {
    catalogue.close()
    let old = try FileSystem.readAll(path, maximumBytes: 1 << 24)
    try open()
    try changes()
    catalogue.close()
    try FileSystem.writeAtomically(path, old)
  }

  /// What `t2d fsck --rebuild` does when the catalogue is gone.
  func loseCatalogue() throws {
    catalogue.close()
    _ = try FileSystem.remove(path)
    try Catalogue.rebuild(path: path, store: BlobStore(root: directory), aside: directory + "/backups/aside")
    try open()
  }

  /// A new version of the one expert; returns its number.
  @discardableResult
  func addVersion() throws -> Int {
    added += 1
    let hex = String(added, radix: 16)
    var version = Sample.version()
    version.digest = "sha256:" + String(repeating: "0", count: 64 - hex.count) + hex
    // A store that was copied knows digests that this object did not make.
    if let newest = try catalogue.experts().first?.newest?.version, newest >= added {
      added = newest
      return try addVersion()
    }
    return try catalogue.change { () throws in
      try catalogue.store(Sample.model())
      let number = try catalogue.addVersion(version)
      try catalogue.record("expert.version", "science", ["version": JSONValue(number)], now: Sample.now)
      return number
    }
  }

  func doAnything(_ choice: UInt64, _ step: Int) throws {
    switch choice {
    case 0: try reopen()
    case 1: #expect(throws: RegistryError.self) { try failingChange() }
    case 2:
      try catalogue.change { () throws in
        try catalogue.record("kept", "\(step)", now: Sample.now)
        // A part that fails leaves nothing of itself.
        #expect(throws: RegistryError.self) { try failingChange() }
      }
    case 3: try catalogue.beginRedoLog()
    case 4:
      try catalogue.change { () throws in
        let job = try catalogue.add(Sample.job("t\(step)"))
        try catalogue.appendJournal(job, ["n": JSONValue(step)])
        if step % 2 == 0 { try catalogue.setState(job, .done, attempts: 1, result: ["ok": true], now: Sample.now) }
      }
    default: try addVersion()
    }
  }

  private func failingChange() throws {
    try catalogue.change { () throws in
      try catalogue.record("gone", "x", now: Sample.now)
      throw RegistryError.conflict("no")
    }
  }

  /// As it lies on the disk at this moment, as after kill -9.
  func copy(to place: String) throws {
    try FileSystem.createDirectories(place + "/redo")
    for name in ["catalogue.sqlite", "catalogue.sqlite-wal"] { try copy(name, to: place) }
    for entry in try FileSystem.entries(directory + "/redo") { try copy("redo/" + (entry.text ?? ""), to: place) }
  }

  private func copy(_ name: String, to place: String) throws {
    let bytes = try FileSystem.readAll("\(directory)/\(name)", maximumBytes: 1 << 26)
    try FileSystem.writeAtomically("\(place)/\(name)", bytes)
  }
}

private func withBank(_ body: (Bank) throws -> Void) throws {
  try withTemporaryDirectory { directory in
    let bank = Bank(directory)
    try bank.open()
    defer { bank.catalogue.close() }
    try body(bank)
  }
}

/// What can become of a file.
private enum Damage: CustomStringConvertible {
  case flip(byte: Int)
  case cut(to: Int)
  case zeros(from: Int)
  case deleted

  static func all(of size: Int, pieces: Int) -> [Damage] {
    let places = (0..<pieces).map { $0 * (size - 1) / (pieces - 1) }
    return places.map { .flip(byte: $0) } + places.map { .cut(to: $0) } + places.map { .zeros(from: $0) } + [.deleted]
  }

  func apply(to path: String, _ content: [UInt8]) throws {
    var bytes = content
    switch self {
    case .flip(let byte): bytes[byte] ^= 0x10
    case .cut(let size): bytes.removeLast(bytes.count - size)
    case .zeros(let start): for index in start..<bytes.count { bytes[index] = 0 }
    case .deleted:
      try FileSystem.remove(path)
      return
    }
    try FileSystem.writeAtomically(path, bytes)
  }

  var description: String {
    switch self {
    case .flip(let byte): "a flipped bit in byte \(byte)"
    case .cut(let size): "cut to \(size) bytes"
    case .zeros(let start): "zeros from byte \(start)"
    case .deleted: "deleted"
    }
  }
}

extension Catalogue {
  /// All rows of all tables but the position in the log, in an order of their own.
  fileprivate func dump() throws -> [String] {
    let tables = try database.query(
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'last_commit' ORDER BY name"
    ) { (row) throws(SQLiteError) in try row.text(0) }
    return try tables.flatMap { table in
      try database.query("SELECT * FROM \"\(table)\"") { row in
        "\(table): " + (0..<row.columnCount).map { "\(row.value($0))" }.joined(separator: " | ")
      }.sorted()
    }
  }
}
