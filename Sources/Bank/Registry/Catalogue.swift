import SQLite
import SystemSupport

/// What t2d knows: models, experts and their versions, tasks and their revisions, mixtures, jobs, events, and what
/// became of every dropped file.
///
/// One connection, opened exclusively: SQLite 3.40's write-ahead log can be corrupted by two of them
/// (sqlite.org/wal.html, "the WAL-reset bug"), and readers are served from a `Snapshot` anyway. So a `Catalogue` belongs
/// to one thread, and it is not `Sendable`.
///
/// Changes are made inside `transaction`, which makes them durable before it returns; whoever answers a client answers
/// after that. What makes them durable is the line in the `RedoLog`, which comes before the database's own commit, so the
/// database need not wait for the disk. Files come before the rows that name them (see `BlobStore`), so a crash leaves at
/// most a file too many.
///
/// After an error of the disk nothing that is in memory is believed: the database is opened again and read back, by the
/// next call that needs it.
package final class Catalogue {
  /// `T2d1`: tells t2d's databases from others'.
  static let applicationID: Int32 = 0x5432_6431

  package let path: String
  package let store: BlobStore
  /// Nil after an error of the disk, until it is opened again.
  private var connection: Connection?
  private var isClosed = false
  /// Nil while none could be begun: nothing can be changed then.
  var redo: RedoLog?
  /// What was found out of order at start.
  package internal(set) var findings: [CatalogueFinding] = []
  /// What a damaged redo log has behind its damage is given up: by `fsck --rebuild` alone.
  let mayLoseTheEnd: Bool
  private(set) var isChanging = false
  /// Events of transactions that were committed and not yet taken by `takeEvents`.
  private var committedEvents: [EventRecord] = []
  private var openEvents: [EventRecord] = []
  private var openStatements: [RedoStatement] = []
  /// What the next snapshot must read again.
  package var changes = CatalogueChanges.everything
  /// Nil while they are not what the catalogue says.
  var notes: VersionNotes?
  /// What the running transaction has changed and a snapshot has taken already.
  var unnoted: [Name: Set<Int>] = [:]

  /// Opens or creates the database, runs again what the redo log has and it has not, and brings it to this version's
  /// schema; before that it copies an older one to the store's `backups`.
  package init(
    path: String, store: BlobStore, mayLoseTheEnd: Bool = false, beginsAnew: Bool = false, now: Timestamp
  ) throws(RegistryError) {
    self.path = path
    self.store = store
    self.mayLoseTheEnd = mayLoseTheEnd
    if !beginsAnew { try refuseToBeginAnew() }
    try begin(try connect(), now)
    openNotes()
  }

  // MARK: - The connection

  /// The connection, opened again where an error has closed it.
  var database: Connection {
    get throws(RegistryError) {
      if let connection { return connection }
      let again = try connect()
      try Self.sqlite { () throws(SQLiteError) in try again.leaveDurabilityToTheCaller() }
      // Whatever was believed to be there is read again.
      changes = .everything
      notes = nil
      connection = again
      return again
    }
  }

  private func connect() throws(RegistryError) -> Connection {
    precondition(!isClosed, "the catalogue '\(path)' is closed")
    return try Self.sqlite { () throws(SQLiteError) in
      try Connection(path, applicationID: Self.applicationID, knownVersion: Self.migrations.count)
    }
  }

  private func begin(_ connection: Connection, _ now: Timestamp) throws(RegistryError) {
    self.connection = connection
    let log = try levelWithRedoLog()
    let first = try Self.sqlite { () throws(SQLiteError) in
      let first = try connection.migrate(
        Self.migrations, backup: { "\(store.backups)/catalogue-before-\($0 + 1)-\(now.milliseconds).sqlite" },
        now: now.milliseconds, program: "t2d")
      try connection.check()
      try connection.leaveDurabilityToTheCaller()
      return first
    }
    // Statements for one schema are not run on another.
    if first == Self.migrations.count { redo = log }
    if redo == nil {
      do throws(RegistryError) { try beginRedoLog() } catch {
        // What is there can be served; changes try again.
        findings.append(.noRedoLog(error))
      }
    }
  }

  static func sqlite<Value>(_ body: () throws(SQLiteError) -> Value) throws(RegistryError) -> Value {
    do throws(SQLiteError) { return try body() } catch { throw .database(error) }
  }

  /// Gives the file free. Any further call traps.
  package func close() {
    closeNotes()
    connection = nil
    isClosed = true
  }

  // MARK: - Changes

  /// Runs the changes of `body` as one: all of them, durably, or none. Inside another it is a part of that one, which can
  /// fail alone.
  ///
  /// What is thrown is true: nothing was changed. Only `unconfirmed` says that this is not known.
  @discardableResult
  package func transaction<Value>(_ body: () throws(RegistryError) -> Value) throws(RegistryError) -> Value {
    if isChanging { return try part(body) }
    let log = try redoLog()
    let before = log.last
    isChanging = true
    (openEvents, openStatements, unnoted) = ([], [], [:])
    defer { (isChanging, openEvents, openStatements) = (false, [], []) }
    var result: Value?
    do throws(RegistryError) {
      try database.transaction(mapping: { RegistryError.database($0) }) { () throws(RegistryError) in
        result = try body()
        guard !openStatements.isEmpty else { return }
        let (position, line) = log.next(openStatements)
        try store(position)
        try log.append(line, position)
      }
    } catch {
      if case .database(let failure) = error, failure.isOfTheDisk { connection = nil }
      guard log.last != before else { throw error }
      // The redo log has the change and the database refused to commit it: what it says after it was read back is true.
      if try !isCommitted(log.last, otherwise: before, error) { throw error }
    }
    guard let result else { preconditionFailure("a transaction that was committed has run its body") }
    committedEvents += openEvents
    noteVersions(openStatements)
    return result
  }

  private func part<Value>(_ body: () throws(RegistryError) -> Value) throws(RegistryError) -> Value {
    let (events, statements) = (openEvents.count, openStatements.count)
    do throws(RegistryError) {
      return try database.transaction(mapping: { RegistryError.database($0) }, body)
    } catch {
      openEvents.removeLast(openEvents.count - events)
      openStatements.removeLast(openStatements.count - statements)
      throw error
    }
  }

  /// Whether a change whose commit failed is there all the same. Where it is not, its line is taken back.
  private func isCommitted(
    _ position: RedoLog.Position, otherwise before: RedoLog.Position, _ error: RegistryError
  ) throws(RegistryError) -> Bool {
    connection = nil
    let stored: RedoLog.Position?
    do throws(RegistryError) { stored = try storedPosition() } catch {
      try redo?.retract(to: before, because: error)
      throw .unconfirmed(reason: "\(error)")
    }
    if stored == position { return true }
    try redo?.retract(to: before, because: error)
    return false
  }

  func note(_ event: EventRecord) { openEvents.append(event) }

  func note(_ statement: RedoStatement) {
    precondition(isChanging, "what changes the catalogue runs in a transaction: \(statement.sql)")
    openStatements.append(statement)
  }

  /// What happened since the last call, for those who follow the events.
  package func takeEvents() -> [EventRecord] {
    defer { committedEvents = [] }
    return committedEvents
  }

  // MARK: - Upkeep

  /// A consistent, durable copy in another file, for `backup`.
  package func backUp(to file: String) throws(RegistryError) {
    let database = try database
    try Self.sqlite { () throws(SQLiteError) in try database.backup(to: file) }
  }

  /// Reads the whole database for damage.
  package func check(thorough: Bool) throws(RegistryError) {
    let database = try database
    try Self.sqlite { () throws(SQLiteError) in try database.check(thorough: thorough) }
  }
}
