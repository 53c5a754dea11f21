import SQLite
import SystemSupport
import Testing

struct MigrationTests {
  private let steps = [
    Migration("experts", "CREATE TABLE expert (name TEXT PRIMARY KEY) STRICT; INSERT INTO expert VALUES ('a')"),
    Migration("labels", "ALTER TABLE expert ADD COLUMN label TEXT"),
    Migration("tasks", "CREATE TABLE task (name TEXT PRIMARY KEY) STRICT"),
  ]

  private func open(_ path: String, known: Int) throws -> Connection {
    try Connection(path, applicationID: testID, knownVersion: known)
  }

  @Test(arguments: 0...3) func everyPastVersionComesToTheLast(past: Int) throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/db"
      do {
        let database = try open(path, known: 3)
        try database.migrate(Array(steps.prefix(past)), backup: { _ in nil }, now: 1, program: "old")
        #expect(try database.userVersion == past)
      }
      let database = try open(path, known: 3)
      let start = try database.migrate(
        steps, backup: { "\(directory)/before-\($0)" }, now: 2, program: "new")
      #expect(start == past)
      #expect(try database.userVersion == 3)
      let log = try database.query("SELECT version, program FROM migrations ORDER BY version") {
        (row) throws(SQLiteError) in "\(try row.int(0)) \(try row.text(1))"
      }
      #expect(log == (1...3).map { "\($0) \($0 <= past ? "old" : "new")" })
      #expect(try database.pragma("foreign_keys") == .integer(1))
      // A new database and one that is up to date need no backup.
      let backups = try FileSystem.entries(directory).compactMap(\.text).filter { $0.hasPrefix("before") }
      #expect(backups == (past == 1 || past == 2 ? ["before-\(past)"] : []))
      if past == 2 {
        let copy = try open("\(directory)/before-2", known: 3)
        #expect(try copy.userVersion == 2)
      }
    }
  }

  @Test func aFailedStepLeavesTheVersionBeforeIt() throws {
    try withTemporaryDirectory { directory in
      let database = try open("\(directory)/db", known: 3)
      let broken = steps.prefix(1) + [Migration("broken", "CREATE TABLE half (a INTEGER) STRICT; SELEKT 1")]
      let error = #expect(throws: SQLiteError.self) {
        try database.migrate(Array(broken), backup: { _ in nil }, now: 1, program: "x")
      }
      #expect(error?.description.contains("to version 2 (broken)") == true)
      #expect(error?.description.hasSuffix("it stays at version 1") == true)
      #expect(try database.userVersion == 1)
      let tables = try database.query("SELECT name FROM sqlite_schema WHERE name = 'half'") {
        (row) throws(SQLiteError) in try row.text(0)
      }
      #expect(tables.isEmpty)
      try database.migrate(steps, backup: { _ in nil }, now: 1, program: "x")
      #expect(try database.userVersion == 3)
    }
  }

  @Test func aNewerDatabaseIsRefusedUntouched() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/db"
      do {
        let database = try open(path, known: 3)
        try database.migrate(steps, backup: { _ in nil }, now: 1, program: "x")
      }
      let before = try FileSystem.readAll(path, maximumBytes: 1 << 20)
      let error = #expect(throws: SQLiteError.self) { _ = try open(path, known: 2) }
      #expect(error == .newerVersion(path: path, found: 3, known: 2))
      #expect(error?.description.contains("run the newer program") == true)
      #expect(try FileSystem.readAll(path, maximumBytes: 1 << 20) == before)
      #expect(try FileSystem.entries(directory).count == 1)
    }
  }

  @Test func aTableThatIsNotStrictIsRefused() throws {
    try withDatabase { database, path throws in
      let loose = [Migration("loose", "CREATE TABLE t (a)")]
      let error = #expect(throws: SQLiteError.self) {
        try database.migrate(loose, backup: { _ in nil }, now: 1, program: "x")
      }
      #expect(
        error
          == .migrationFailed(path: path, version: 1, name: "loose", reason: "tables are not STRICT: [\"t\"]"))
      #expect(try database.userVersion == 0)
    }
  }
}
