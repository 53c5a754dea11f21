/// One step of a schema. Steps form an append-only list: the one at index i leads from version i to i + 1, and a step
/// that was released is never edited.
package struct Migration: Sendable {
  /// What it does, in a few words.
  package var name: String
  /// Statements; new tables are STRICT.
  package var sql: String

  package init(_ name: String, _ sql: String) {
    self.name = name
    self.sql = sql
  }
}

extension Connection {
  /// Brings the schema to the end of the list, each step in a transaction of its own, and returns the version it began
  /// with. Before the first step on a database that has content, a copy is written to `backup`.
  ///
  /// A table `migrations` records what was done when (Unix milliseconds) and by which program.
  @discardableResult
  package func migrate(
    _ steps: [Migration], backup: (_ version: Int) -> String?, now: Int64, program: String
  ) throws(SQLiteError) -> Int {
    let start = try userVersion
    guard start < steps.count else {
      guard start == steps.count else { throw .newerVersion(path: path, found: start, known: steps.count) }
      return start
    }
    if start > 0, let file = backup(start) { try self.backup(to: file) }
    // A step may rebuild a table that others point to; the check below finds what it broke.
    try pragma("foreign_keys=OFF")
    defer { _ = try? pragma("foreign_keys=ON") }
    for version in start..<steps.count {
      let step = steps[version]
      do throws(SQLiteError) {
        try transaction { () throws(SQLiteError) in
          try executeScript(step.sql)
          try executeScript(
            """
            CREATE TABLE IF NOT EXISTS migrations (
              version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL, program TEXT NOT NULL
            ) STRICT
            """)
          try execute("INSERT INTO migrations VALUES (?, ?, ?, ?)", version + 1, step.name, now, program)
          try checkTablesAreStrict(version + 1, step.name)
          try check()
          try pragma("user_version=\(version + 1)")
        }
      } catch .migrationFailed(let path, let version, let name, let reason) {
        throw .migrationFailed(path: path, version: version, name: name, reason: reason)
      } catch {
        throw .migrationFailed(path: path, version: version + 1, name: step.name, reason: "\(error)")
      }
    }
    return start
  }

  /// A table without STRICT would take text for a number and hide our mistakes.
  private func checkTablesAreStrict(_ version: Int, _ name: String) throws(SQLiteError) {
    let loose = try query(
      "SELECT name FROM pragma_table_list WHERE type = 'table' AND strict = 0 AND name NOT LIKE 'sqlite_%'"
    ) { (row) throws(SQLiteError) in try row.text(0) }
    guard loose.isEmpty else {
      throw .migrationFailed(path: path, version: version, name: name, reason: "tables are not STRICT: \(loose)")
    }
  }
}
