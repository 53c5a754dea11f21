import CSQLite
import Glibc

/// The one connection to a database file.
///
/// Not sendable: it is made, used and dropped on one thread or one serial executor. It locks the file for itself before
/// it turns on the write-ahead log, so no second process can open it, no shared-memory file exists, and the WAL-reset
/// bug of SQLite 3.7.0 to 3.51.2, which needs two connections, cannot happen. Every commit is on the disk when it
/// returns (`synchronous=FULL`), unless `leaveDurabilityToTheCaller` was called. Do not fork while it is open, and open the file by nothing else in this process:
/// closing that would drop the lock.
///
/// Safe, because the handle is private, lives exactly as long as this object, and leaves it only for statements, which
/// the object owns.
@safe package final class Connection {
  package let path: String
  private let handle: OpaquePointer
  private var statements: [String: Statement] = [:]
  private var transactionDepth = 0
  /// How much the statements have cost so far, in operations of SQLite's virtual machine, which do not depend on the
  /// machine below it: what a query reads shows here, whether or not it returns it.
  package private(set) var operations = 0

  /// Opens or creates. A file with another `applicationID`, or with a `user_version` above `knownVersion`, is refused
  /// and stays byte for byte as it is.
  package init(_ path: String, applicationID: Int32, knownVersion: Int) throws(SQLiteError) {
    try Self.checkHeader(path, applicationID: applicationID, knownVersion: knownVersion)
    var handle: OpaquePointer?
    let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
    let code = unsafe sqlite3_open_v2(path, &handle, flags, nil)
    guard code == SQLITE_OK, let handle = unsafe handle else {
      let message = unsafe String(cString: unsafe handle.map { unsafe sqlite3_errmsg($0) } ?? sqlite3_errstr(code))
      unsafe sqlite3_close_v2(handle)
      throw .cannotOpen(code: code, message: message, path: path)
    }
    self.path = path
    unsafe self.handle = handle
    // From here on deinit closes.
    do {
      try prepare(applicationID: applicationID, knownVersion: knownVersion)
    } catch .failed(let code, let message, _, let path) where [SQLITE_BUSY, SQLITE_NOTADB].contains(code & 0xFF) {
      throw .cannotOpen(code: code, message: message, path: path)
    }
  }

  deinit {
    // Finalized before the handle goes.
    statements.removeAll()
    unsafe sqlite3_close_v2(handle)
  }

  /// The order matters: the lock before the log, and nothing is written before the file is known to be ours.
  private func prepare(applicationID: Int32, knownVersion: Int) throws(SQLiteError) {
    unsafe sqlite3_busy_timeout(handle, 5000)
    unsafe t2_sqlite_set_defensive(handle, 1)
    _ = try pragma("locking_mode=EXCLUSIVE")
    let tables = try first("SELECT count(*) FROM sqlite_schema") { (row) throws(SQLiteError) in try row.int(0) }
    let found = Int32(truncatingIfNeeded: try integerPragma("application_id"))
    let version = Int(try integerPragma("user_version"))
    // A log left by a crash may hold a newer header than the file.
    let isNew = tables == 0 && found == 0 && version == 0
    if !isNew, found != applicationID {
      unsafe t2_sqlite_keep_log_on_close(handle)
      throw .foreignFile(path: path, applicationID: found)
    }
    if version > knownVersion {
      unsafe t2_sqlite_keep_log_on_close(handle)
      throw .newerVersion(path: path, found: version, known: knownVersion)
    }
    let mode = try pragma("journal_mode=WAL")
    guard mode == .text("wal") else {
      throw .cannotOpen(code: SQLITE_ERROR, message: "the write-ahead log cannot be used there", path: path)
    }
    for setting in [
      "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF", "cell_size_check=ON",
      "journal_size_limit=67108864", "wal_autocheckpoint=1000",
    ] {
      _ = try pragma(setting)
    }
    if isNew { _ = try pragma("application_id=\(applicationID)") }
  }

  /// Reads the file's first bytes, so that a file that will be refused is not even opened by SQLite, which might
  /// bring its log into it.
  private static func checkHeader(_ path: String, applicationID: Int32, knownVersion: Int) throws(SQLiteError) {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return }
    defer { close(file) }
    var header = [UInt8](repeating: 0, count: 100)
    guard unsafe read(file, &header, header.count) == header.count else { return }
    // https://sqlite.org/fileformat.html: the magic, user_version at 60, application_id at 68, big-endian.
    guard header.starts(with: "SQLite format 3\0".utf8) else { return }
    func integer(_ offset: Int) -> Int32 {
      header[offset..<(offset + 4)].reduce(0) { $0 << 8 | Int32($1) }
    }
    let found = integer(68)
    if found != applicationID, found != 0 { throw .foreignFile(path: path, applicationID: found) }
    if integer(60) > knownVersion {
      throw .newerVersion(path: path, found: Int(integer(60)), known: knownVersion)
    }
  }

  /// From here on a commit does not wait for the disk: the caller has a log of its own that does. After a loss of power the
  /// database is whole and may lack its last commits (sqlite.org/pragma.html#pragma_synchronous).
  package func leaveDurabilityToTheCaller() throws(SQLiteError) { _ = try pragma("synchronous=NORMAL") }

  /// Brings everything that was committed into the database's file, durably.
  package func checkpoint() throws(SQLiteError) {
    let isBlocked = try one("PRAGMA wal_checkpoint(TRUNCATE)") { (row) throws(SQLiteError) in try row.integer(0) != 0 }
    if isBlocked { throw .backupFailed(path: path, reason: "its write-ahead log cannot be emptied") }
  }

  /// "3.40.1", for `status`.
  package static var libraryVersion: String { unsafe String(cString: sqlite3_libversion()) }

  package var changes: Int { Int(unsafe sqlite3_changes64(handle)) }
}

// MARK: - Running statements

extension Connection {
  /// Runs one statement that returns no rows; returns how many rows it changed.
  @discardableResult
  package func execute(_ sql: String, _ values: any SQLBindable...) throws(SQLiteError) -> Int {
    try run(sql, values) { (_) throws(SQLiteError) in true }
    return changes
  }

  /// All rows, each through `read`.
  package func query<Value>(
    _ sql: String, _ values: any SQLBindable..., read: (borrowing Row) throws(SQLiteError) -> Value
  ) throws(SQLiteError) -> [Value] {
    try query(sql, values: values, read: read)
  }

  /// The same for values that come as a list, which Swift cannot spread over a variadic parameter.
  package func query<Value>(
    _ sql: String, values: [any SQLBindable], read: (borrowing Row) throws(SQLiteError) -> Value
  ) throws(SQLiteError) -> [Value] {
    var result: [Value] = []
    try run(sql, values) { (row) throws(SQLiteError) in
      result.append(try read(row))
      return true
    }
    return result
  }

  /// The first row, nil where there is none.
  package func first<Value>(
    _ sql: String, _ values: any SQLBindable..., read: (borrowing Row) throws(SQLiteError) -> Value
  ) throws(SQLiteError) -> Value? {
    var result: Value?
    try run(sql, values) { (row) throws(SQLiteError) in
      result = try read(row)
      return false
    }
    return result
  }

  /// The first row of a query that has one, such as a count.
  package func one<Value>(
    _ sql: String, _ values: any SQLBindable..., read: (borrowing Row) throws(SQLiteError) -> Value
  ) throws(SQLiteError) -> Value {
    var result: Value?
    try run(sql, values) { (row) throws(SQLiteError) in
      result = try read(row)
      return false
    }
    guard let result else { throw .noRow(sql: sql) }
    return result
  }

  /// Several statements without values, such as a migration's.
  package func executeScript(_ sql: String) throws(SQLiteError) {
    let code = unsafe sqlite3_exec(handle, sql, nil, nil, nil)
    if code != SQLITE_OK { throw unsafe Statement.error(code, sql: sql, connection: handle, path: path) }
  }

  private func run(
    _ sql: String, _ values: [any SQLBindable], _ each: (borrowing Row) throws(SQLiteError) -> Bool
  ) throws(SQLiteError) {
    // Taken out of the cache while it runs, so that a query inside a query gets its own.
    let statement: Statement
    if let cached = statements.removeValue(forKey: sql) {
      statement = cached
    } else {
      statement = unsafe try Statement(sql, connection: handle, path: path)
    }
    defer {
      operations += statement.reset()
      if statements.count < 256 { statements[sql] = statement }
    }
    try statement.bind(values)
    let row = Row(statement: statement)
    while try statement.step() {
      if try !each(row) { break }
    }
  }

  /// Sets or asks; the value that SQLite answered, `.null` where it answered nothing.
  @discardableResult
  package func pragma(_ text: String) throws(SQLiteError) -> SQLValue {
    try first("PRAGMA \(text)") { (row) throws(SQLiteError) in row.value(0) } ?? .null
  }

  private func integerPragma(_ name: String) throws(SQLiteError) -> Int64 {
    try one("PRAGMA \(name)") { (row) throws(SQLiteError) in try row.integer(0) }
  }

  package var userVersion: Int {
    get throws(SQLiteError) { Int(try integerPragma("user_version")) }
  }
}

// MARK: - Transactions and upkeep

extension Connection {
  /// Runs `body` in one immediate transaction: all of it or nothing. Inside another it is a part of that one, which
  /// can fail alone.
  package func transaction<Value>(_ body: () throws(SQLiteError) -> Value) throws(SQLiteError) -> Value {
    try transaction(mapping: { $0 }, body)
  }

  /// The same for a body with errors of its own; `mapping` turns those of BEGIN and COMMIT into them.
  package func transaction<Value, Failure: Error>(
    mapping: (SQLiteError) -> Failure, _ body: () throws(Failure) -> Value
  ) throws(Failure) -> Value {
    let isInner = transactionDepth > 0
    do { try execute(isInner ? "SAVEPOINT part" : "BEGIN IMMEDIATE") } catch { throw mapping(error) }
    transactionDepth += 1
    defer { transactionDepth -= 1 }
    let value: Value
    do throws(Failure) {
      value = try body()
    } catch {
      rollBack(isInner)
      throw error
    }
    do {
      try execute(isInner ? "RELEASE part" : "COMMIT")
    } catch {
      rollBack(isInner)
      throw mapping(error)
    }
    return value
  }

  private func rollBack(_ isInner: Bool) {
    // SQLite has rolled back by itself after some errors (a full disk); there is nothing left to undo then.
    guard unsafe sqlite3_get_autocommit(handle) == 0 else { return }
    do throws(SQLiteError) {
      if isInner {
        try execute("ROLLBACK TO part")
        try execute("RELEASE part")
      } else {
        try execute("ROLLBACK")
      }
    } catch {
      // The error that led here is the one to report; closing the connection undoes what is left.
    }
  }

  /// Writes a consistent copy to `destination`, durable when this returns; a crash leaves no half copy under that name.
  package func backup(to destination: String) throws(SQLiteError) {
    let temporary = destination + ".tmp"
    unsafe unlink(temporary)
    do {
      try execute("VACUUM INTO ?", temporary)
    } catch {
      unsafe unlink(temporary)
      throw .backupFailed(path: destination, reason: "\(error)")
    }
    let directory = destination.utf8.lastIndex(of: 0x2F).map { String(destination[...$0]) } ?? "."
    guard Self.synchronize(temporary), unsafe rename(temporary, destination) == 0, Self.synchronize(directory) else {
      let reason = unsafe String(cString: strerror(errno))
      unsafe unlink(temporary)
      throw .backupFailed(path: destination, reason: reason)
    }
  }

  private static func synchronize(_ path: String) -> Bool {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return false }
    defer { close(file) }
    return fsync(file) == 0
  }

  /// Reads the whole database for damage and for rows that point nowhere. `thorough` also compares the indexes.
  package func check(thorough: Bool = false) throws(SQLiteError) {
    var problems = try query(thorough ? "PRAGMA integrity_check" : "PRAGMA quick_check") { (row) throws(SQLiteError) in
      try row.text(0)
    }
    problems.removeAll { $0 == "ok" }
    problems += try query("PRAGMA foreign_key_check") { (row) throws(SQLiteError) in
      "a row of \(try row.text(0)) points to no row of \(try row.text(2))"
    }
    guard !problems.isEmpty else { return }
    if let refusal = unsafe Statement.refusedRead(of: handle, sql: "PRAGMA quick_check", path: path) { throw refusal }
    throw .corrupt(path: path, problems: problems)
  }
}
