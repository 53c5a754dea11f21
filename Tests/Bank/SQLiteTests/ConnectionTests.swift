import Glibc
import SQLite
import SystemSupport
import Testing

let testID: Int32 = 0x5432_6431

/// A database in a directory of its own.
func withDatabase(_ body: (Connection, String) throws -> Void) throws {
  try withTemporaryDirectory { directory in
    let path = "\(directory)/catalog.sqlite"
    try body(try Connection(path, applicationID: testID, knownVersion: 100), path)
  }
}

struct ConnectionTests {
  @Test func theSettingsAreThoseOfOneDurableOwner() throws {
    try withDatabase { database, path in
      #expect(try database.pragma("locking_mode") == .text("exclusive"))
      #expect(try database.pragma("journal_mode") == .text("wal"))
      #expect(try database.pragma("synchronous") == .integer(2))
      #expect(try database.pragma("foreign_keys") == .integer(1))
      #expect(try database.pragma("trusted_schema") == .integer(0))
      #expect(try database.pragma("application_id") == .integer(Int64(testID)))
      try database.execute("CREATE TABLE t (a INTEGER) STRICT")
      let names = try FileSystem.entries(FileSystem.split(path).directory).compactMap(\.text).sorted()
      #expect(names == ["catalog.sqlite", "catalog.sqlite-wal"])
      // Defensive: SQLite takes no notice of this.
      try database.pragma("writable_schema=ON")
      #expect(throws: SQLiteError.self) { try database.execute("DELETE FROM sqlite_schema") }
    }
  }

  @Test(
    .enabled(
      if: (try? FileSystem.status("/usr/bin/sqlite3", followingLinks: true)) != nil,
      "sqlite3 is not installed; etc/test installs it"))
  func aSecondOpenerIsRefusedAndToldWhy() throws {
    try withDatabase { database, path in
      try database.execute("CREATE TABLE t (a INTEGER) STRICT")
      let (own, theirs) = try FileDescriptor.socketPair()
      let shell = try ChildProcess(
        "/bin/sh", arguments: ["sh", "-c", "sqlite3 '\(path)' 'SELECT * FROM t' >&3 2>&3 || true"],
        environment: ["PATH=/usr/bin:/bin"], socket: theirs)
      try theirs.close()
      let answer = String(decoding: try own.read(upTo: 1000), as: UTF8.self)
      _ = shell.waitForExit()
      #expect(answer.contains("database is locked"), "\(answer)")
    }
  }

  @Test func everyTypeComesBackAsItWent() throws {
    try withDatabase { database, _ in
      try database.execute("CREATE TABLE t (i INTEGER, r REAL, s TEXT, b BLOB, n TEXT) STRICT")
      let text = "naïve\0日本"
      try database.execute(
        "INSERT INTO t VALUES (?, ?, ?, ?, ?)", Int64.min, -0.1, text, [0, 255, 0] as [UInt8], String?.none)
      try database.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?)", true, 3.0, "", [] as [UInt8], Optional("x"))
      let first = try database.one("SELECT * FROM t") { (row) throws(SQLiteError) in
        [row.value(0), row.value(1), row.value(2), row.value(3), row.value(4)]
      }
      #expect(first == [.integer(.min), .real(-0.1), .text(text), .blob([0, 255, 0]), .null])
      let second = try database.one("SELECT i, s, b, n FROM t WHERE i = 1") { (row) throws(SQLiteError) in
        (try row.bool(0), try row.text(1), try row.blob(2), try row.optionalText(3))
      }
      #expect(second.0 && second.1 == "" && second.2 == [] && second.3 == "x")
    }
  }

  @Test func aColumnOfAnotherTypeIsAnErrorThatNamesIt() throws {
    try withDatabase { database, _ in
      let error = #expect(throws: SQLiteError.self) {
        try database.one("SELECT 'x' AS name") { (row) throws(SQLiteError) in try row.integer(0) }
      }
      #expect(error?.description == "column 'name' of \"SELECT 'x' AS name\" holds text, expected an integer")
      let null = #expect(throws: SQLiteError.self) {
        try database.one("SELECT NULL AS name") { (row) throws(SQLiteError) in try row.text(0) }
      }
      #expect(null?.description == "column 'name' of \"SELECT NULL AS name\" holds NULL, expected text")
      #expect(throws: SQLiteError.noRow(sql: "SELECT 1 WHERE 0")) {
        try database.one("SELECT 1 WHERE 0") { (row) throws(SQLiteError) in try row.int(0) }
      }
    }
  }

  @Test func anErrorShowsTheStatementTheFileAndTheExtendedCode() throws {
    try withDatabase { database, path in
      try database.execute("CREATE TABLE t (a TEXT PRIMARY KEY) STRICT")
      try database.execute("INSERT INTO t VALUES (?)", "x")
      let error = #expect(throws: SQLiteError.self) {
        try database.execute("INSERT INTO t\n  VALUES (?)", "x")
      }
      #expect(
        error?.description
          == "cannot run \"INSERT INTO t VALUES (?)\" on '\(path)': UNIQUE constraint failed: t.a "
          + "(SQLITE_CONSTRAINT_PRIMARYKEY 1555)")
      let syntax = #expect(throws: SQLiteError.self) { try database.execute("SELEKT 1") }
      #expect(syntax?.description.contains("(SQLITE_ERROR 1)") == true)
    }
  }

  @Test func aFailedTransactionLeavesNothing() throws {
    struct Stop: Error {}
    try withDatabase { database, _ in
      try database.execute("CREATE TABLE t (a INTEGER) STRICT")
      #expect(throws: Stop.self) {
        try database.transaction(mapping: { $0 as any Error }) {
          try database.execute("INSERT INTO t VALUES (1)")
          throw Stop()
        }
      }
      try database.transaction { () throws(SQLiteError) in
        try database.execute("INSERT INTO t VALUES (2)")
        do throws(SQLiteError) {
          try database.transaction { () throws(SQLiteError) in
            try database.execute("INSERT INTO t VALUES (3)")
            try database.execute("INSERT INTO nowhere VALUES (3)")
          }
        } catch {}
        try database.execute("INSERT INTO t VALUES (4)")
      }
      #expect(try database.query("SELECT a FROM t") { (row) throws(SQLiteError) in try row.int(0) } == [2, 4])
    }
  }

  @Test func aQueryInsideTheSameQueryHasItsOwnStatement() throws {
    try withDatabase { database, _ in
      try database.execute("CREATE TABLE t (a INTEGER) STRICT")
      for value in 0..<3 { try database.execute("INSERT INTO t VALUES (?)", value) }
      let sql = "SELECT a FROM t ORDER BY a"
      let pairs = try database.query(sql) { (row) throws(SQLiteError) in
        let inner = try database.query(sql) { (row) throws(SQLiteError) in try row.int(0) }
        return [try row.int(0)] + inner
      }
      #expect(pairs == [[0, 0, 1, 2], [1, 0, 1, 2], [2, 0, 1, 2]])
    }
  }

  @Test func foreignKeysHold() throws {
    try withDatabase { database, _ in
      try database.executeScript(
        """
        CREATE TABLE a (id INTEGER PRIMARY KEY) STRICT;
        CREATE TABLE b (a INTEGER NOT NULL REFERENCES a ON DELETE RESTRICT) STRICT;
        INSERT INTO a VALUES (1); INSERT INTO b VALUES (1);
        """)
      #expect(throws: SQLiteError.self) { try database.execute("DELETE FROM a") }
      try database.check(thorough: true)
      try database.pragma("foreign_keys=OFF")
      try database.execute("DELETE FROM a")
      let error = #expect(throws: SQLiteError.self) { try database.check() }
      #expect(error?.description.contains("a row of b points to no row of a") == true)
    }
  }

  @Test func aForeignFileIsRefusedUntouched() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/other"
      do {
        let other = try Connection(path, applicationID: 77, knownVersion: 1)
        try other.execute("CREATE TABLE t (a INTEGER) STRICT")
      }
      let before = try FileSystem.readAll(path, maximumBytes: 1 << 20)
      let error = #expect(throws: SQLiteError.self) {
        _ = try Connection(path, applicationID: testID, knownVersion: 1)
      }
      #expect(error == .foreignFile(path: path, applicationID: 77))
      #expect(try FileSystem.readAll(path, maximumBytes: 1 << 20) == before)
      #expect(try FileSystem.entries(directory).count == 1)
    }
  }

  @Test func aFileThatIsNoDatabaseIsRefusedUntouched() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/text"
      let bytes = Array(String(repeating: "this is not a database\n", count: 100).utf8)
      try FileSystem.writeAtomically(path, bytes)
      let error = #expect(throws: SQLiteError.self) {
        _ = try Connection(path, applicationID: testID, knownVersion: 1)
      }
      #expect(error?.description.contains("(SQLITE_NOTADB 26)") == true)
      #expect(try FileSystem.readAll(path, maximumBytes: 1 << 20) == bytes)
      let missing = #expect(throws: SQLiteError.self) {
        _ = try Connection("\(directory)/no/such", applicationID: testID, knownVersion: 1)
      }
      #expect(missing?.description.contains("check that its directory exists") == true)
    }
  }

  @Test func aBackupIsAWholeDatabase() throws {
    try withDatabase { database, path in
      try database.execute("CREATE TABLE t (a TEXT) STRICT")
      try database.execute("INSERT INTO t VALUES (?)", "kept")
      let directory = FileSystem.split(path).directory
      try database.backup(to: "\(directory)/copy")
      try database.backup(to: "\(directory)/copy")
      let copy = try Connection("\(directory)/copy", applicationID: testID, knownVersion: 100)
      #expect(try copy.one("SELECT a FROM t") { (row) throws(SQLiteError) in try row.text(0) } == "kept")
      #expect(throws: SQLiteError.self) { try database.backup(to: "\(directory)/no/such") }
      #expect(try FileSystem.entries(directory).contains { $0.text == "copy.tmp" } == false)
    }
  }
}
