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
/// after that. Files come before the rows that name them (see `BlobStore`), so a crash leaves at most a file too many.
package final class Catalogue {
  /// `T2d1`: tells t2d's databases from others'.
  static let applicationID: Int32 = 0x5432_6431

  private var connection: Connection?
  package let path: String
  /// Events of transactions that were committed and not yet taken by `takeEvents`.
  private var committedEvents: [EventRecord] = []
  private var openEvents: [EventRecord] = []
  /// What the next snapshot must read again.
  var changed: Set<Part> = Set(Part.allCases)

  package enum Part: CaseIterable, Sendable { case models, experts, tasks, mixtures, jobs, ingest, checks }

  /// Opens or creates the database and brings it to this version's schema; before that it copies an older one to
  /// `backups`.
  package init(path: String, backups: String, now: Timestamp) throws(RegistryError) {
    self.path = path
    do throws(SQLiteError) {
      let connection = try Connection(path, applicationID: Self.applicationID, knownVersion: Self.migrations.count)
      self.connection = connection
      try connection.migrate(
        Self.migrations, backup: { "\(backups)/catalogue-before-\($0 + 1)-\(now.milliseconds).sqlite" },
        now: now.milliseconds, program: "t2d")
      try connection.check()
    } catch {
      throw .database(error)
    }
  }

  var database: Connection {
    guard let connection else { preconditionFailure("the catalogue '\(path)' is closed") }
    return connection
  }

  /// Runs the changes of `body` as one: all of them, durably, or none.
  @discardableResult
  package func transaction<Value>(_ body: () throws(RegistryError) -> Value) throws(RegistryError) -> Value {
    openEvents = []
    defer { openEvents = [] }
    let value = try database.transaction(mapping: { RegistryError.database($0) }, body)
    committedEvents += openEvents
    return value
  }

  func note(_ event: EventRecord) { openEvents.append(event) }

  /// What happened since the last call, for those who follow the events.
  package func takeEvents() -> [EventRecord] {
    defer { committedEvents = [] }
    return committedEvents
  }

  /// A consistent, durable copy in another file, for `backup`.
  package func backUp(to file: String) throws(RegistryError) {
    do throws(SQLiteError) { try database.backup(to: file) } catch { throw .database(error) }
  }

  /// Reads the whole database for damage.
  package func check(thorough: Bool) throws(RegistryError) {
    do throws(SQLiteError) { try database.check(thorough: thorough) } catch { throw .database(error) }
  }

  /// Gives the file free. Any further call traps.
  package func close() { connection = nil }
}
