import SQLite
import SystemSupport

/// What was found out of order when the catalogue was opened, and what was done about it.
package enum CatalogueFinding: Sendable, CustomStringConvertible {
  /// The database had lost changes, which the redo log had.
  case redone(first: Int64, last: Int64)
  /// The redo log is damaged or was cut; the database has all that it says, and a new one was begun.
  case damagedRedoLog(String)
  case noRedoLog(RegistryError)
  /// The notes of versions cannot be written.
  case noNotes(RegistryError)
  /// By `fsck --rebuild` alone.
  case lostEnd(after: Int64, String)

  var isLoss: Bool { if case .lostEnd = self { true } else { false } }

  package var description: String {
    switch self {
    case .redone(let first, let last):
      "the catalogue lacked its changes \(first) to \(last), which were answered; they were made again from the redo log, "
        + "and nothing is lost. After a loss of power this is usual; otherwise look for errors of the disk"
    case .damagedRedoLog(let problem):
      "\(problem); the catalogue has every change that it had, and a new redo log was begun"
    case .lostEnd(let commit, let problem):
      "\(problem); the changes after number \(commit) are lost, and numbers that they gave out may come again"
    case .noNotes(let error): "which versions there are cannot be noted beside the blobs, and is tried again: \(error)"
    case .noRedoLog(let error): "no redo log can be begun, so nothing can be changed: \(error)"
    }
  }
}

extension Catalogue {
  static let positionTables = [
    // Which commit the database holds, and where its line ends in the redo log.
    """
    CREATE TABLE last_commit (
      id INTEGER PRIMARY KEY CHECK (id = 1),
      number INTEGER NOT NULL,
      base INTEGER NOT NULL,
      log_end INTEGER NOT NULL,
      checksum TEXT NOT NULL
    ) STRICT
    """,
    "INSERT INTO last_commit VALUES (1, 0, 0, 0, '')",
  ]

  /// The version of the schema from which on there is `last_commit`.
  private static let firstVersionWithPosition = 3

  func storedPosition() throws(RegistryError) -> RedoLog.Position? {
    let database = try database
    return try Self.sqlite { () throws(SQLiteError) in
      guard try database.userVersion >= Self.firstVersionWithPosition else { return nil }
      return try database.one("SELECT number, base, log_end, checksum FROM last_commit") { (row) throws(SQLiteError) in
        RedoLog.Position(
          commit: try row.integer(0), base: try row.integer(1), end: try row.int(2), checksum: try row.text(3))
      }
    }
  }

  /// Within the transaction of the commit itself; it is no part of its line, since running the line again has another end.
  func store(_ position: RedoLog.Position) throws(RegistryError) {
    let database = try database
    try Self.sqlite { () throws(SQLiteError) in
      _ = try database.execute(
        "UPDATE last_commit SET number = ?, base = ?, log_end = ?, checksum = ?", position.commit, position.base,
        position.end, position.checksum)
    }
  }

  // MARK: - Start

  /// A store that holds something is never taken for a new one.
  func refuseToBeginAnew() throws(RegistryError) {
    let size = try RedoLog.files { () throws(SystemCallError) in try FileSystem.status(path)?.size }
    guard size ?? 0 == 0 else { return }
    let rest: String
    if try RedoLog.newest(in: store.redo) != nil {
      rest = "its redo log is there"
    } else if try store.holdsBlobs() {
      rest = "the store holds files that only it can name"
    } else {
      return
    }
    throw .missingCatalogue(path: path, rest: rest)
  }

  /// Runs again what the redo log has and the database has not. Returns the log where it can go on, and nil where a new one
  /// must begin.
  func levelWithRedoLog() throws(RegistryError) -> RedoLog? {
    guard let base = try RedoLog.newest(in: store.redo) else { return nil }
    guard let stored = try storedPosition(), stored.commit >= base else {
      throw .outdatedCatalogue(path: path, redo: store.redo)
    }
    let log: RedoLog
    var start = stored
    do throws(RegistryError) {
      log = try RedoLog.open(in: store.redo, base: base)
      if stored.base != base || stored.commit == base { start = log.last }
    } catch .damagedLog(let path, let problem) where stored.base == base {
      // What its other lines say can be trusted all the same: the position is the database's own.
      findings.append(.damagedRedoLog("'\(path)' is damaged: \(problem)"))
      log = try RedoLog.reopen(in: store.redo, base: base, at: stored)
    }
    let (version, size) = (try userVersion, try log.size)
    var isWhole = findings.isEmpty && log.schema == version
    if stored.base == base, size < stored.end {
      findings.append(.damagedRedoLog("'\(log.path)' ends at byte \(size), and should reach to byte \(stored.end)"))
      return nil
    }
    try redo(log, after: start, over: stored)
    if log.last.commit < stored.commit {
      findings.append(.damagedRedoLog("'\(log.path)' ends with change \(log.last.commit) of \(stored.commit)"))
      isWhole = false
    }
    if findings.contains(where: \.isLoss) { isWhole = false }
    return isWhole ? log : nil
  }

  private func redo(
    _ log: RedoLog, after start: RedoLog.Position, over stored: RedoLog.Position
  ) throws(RegistryError) {
    let database = try database
    var reached = start
    // One transaction for all: nobody can see the states between them.
    try database.transaction(mapping: { RegistryError.database($0) }) { () throws(RegistryError) in
      do throws(RegistryError) {
        try log.entries(after: start) { (entry) throws(RegistryError) in
          if entry.position.commit > stored.commit { try run(entry, of: log.path) }
          reached = entry.position
        }
      } catch .damagedLog(let path, let problem) where mayLoseTheEnd {
        let last = max(reached.commit, stored.commit)
        findings.append(.lostEnd(after: last, "'\(path)' is damaged: \(problem)"))
      }
      if reached.commit >= stored.commit, reached != stored { try store(reached) }
    }
    if reached.commit > stored.commit {
      findings.append(.redone(first: stored.commit + 1, last: reached.commit))
    }
  }

  private func run(_ entry: RedoLog.Entry, of path: String) throws(RegistryError) {
    let database = try database
    do throws(SQLiteError) {
      try database.transaction { () throws(SQLiteError) in
        for statement in entry.statements {
          _ = try database.query(statement.sql, values: statement.values) { (_) throws(SQLiteError) in }
        }
      }
    } catch {
      throw .damagedLog(path: path, problem: "change \(entry.position.commit) cannot be made again: \(error)")
    }
  }

  private var userVersion: Int {
    get throws(RegistryError) {
      let database = try database
      return try Self.sqlite { () throws(SQLiteError) in try database.userVersion }
    }
  }

  // MARK: - Again from nothing

  /// Whether a store has a catalogue, or what one can be made of.
  package static func exists(path: String, store: BlobStore) throws(RegistryError) -> Bool {
    let isThere = try RedoLog.files { () throws(SystemCallError) in
      (try FileSystem.status(path) != nil, try FileSystem.status(store.redo) != nil)
    }
    if isThere.0 || !isThere.1 { return isThere.0 }
    return try RedoLog.newest(in: store.redo) != nil
  }

  /// Makes the database again from the redo log's copy, after what there is of both has been moved, or copied, to the
  /// directory `aside`. What the log has is added when the catalogue is opened.
  package static func rebuild(path: String, store: BlobStore, aside: String) throws(RegistryError) {
    guard let base = try RedoLog.newest(in: store.redo) else { throw .noRedoLog(directory: store.redo) }
    try RedoLog.files { () throws(SystemCallError) in
      try FileSystem.createDirectories(aside, mode: 0o700)
      // Opening begins a new log, which removes this one.
      for file in [RedoLog.copyPath(store.redo, base), RedoLog.logPath(store.redo, base)] {
        let bytes = try FileSystem.readAll(file, maximumBytes: .max)
        try FileSystem.writeAtomically("\(aside)/\(FileSystem.split(file).name)", bytes)
      }
      for file in [path, path + "-wal"] where try FileSystem.status(file) != nil {
        try FileSystem.rename(file, to: "\(aside)/\(FileSystem.split(file).name)")
      }
      try FileSystem.synchronizeDirectory(aside)
      let copy = try FileSystem.readAll(RedoLog.copyPath(store.redo, base), maximumBytes: .max)
      try FileSystem.writeAtomically(path, copy, mode: 0o600)
    }
  }

  // MARK: - Going on

  /// The log that the next change goes to, with nothing in it that must not count.
  func redoLog() throws(RegistryError) -> RedoLog {
    if redo == nil { try beginRedoLog() }
    guard let redo else { preconditionFailure("a redo log that was begun is there") }
    try redo.settle()
    return redo
  }

  /// Begins a redo log behind a copy of what there is now.
  func beginRedoLog() throws(RegistryError) {
    let database = try database
    guard let stored = try storedPosition() else { preconditionFailure("the schema has the table last_commit") }
    // The copy must never be ahead of the database: that would be older than its redo log after a loss of power.
    try Self.sqlite { () throws(SQLiteError) in try database.checkpoint() }
    let log = try RedoLog.begin(in: store.redo, base: stored.commit, schema: Self.migrations.count) {
      (copy) throws(RegistryError) in try backUp(to: copy)
    }
    try store(log.last)
    redo = log
  }

  /// Replaces a log that has grown longer than so many bytes by a copy of the database and a new log. It takes as long as
  /// copying the database. Not within a transaction.
  package func shortenRedoLog(longerThan longest: Int = 256 << 20) throws(RegistryError) {
    guard let redo, redo.last.end > longest else { return }
    try beginRedoLog()
  }
}
