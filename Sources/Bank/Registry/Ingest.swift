import SQLite
import StrictJSON

/// The one visible state of a dropped file.
package enum IngestState: String, Sendable {
  case accepted, duplicate, incomplete, rejected, ignored
  case waitingForModel = "waiting_for_model"
}

/// What became of a file in a watched directory.
package struct IngestRecord: Sendable, Equatable {
  package enum Directory: String, Sendable { case experts, tasks }

  package struct Place: Sendable, Hashable, Comparable {
    package var directory: Directory
    package var file: Name

    package init(_ directory: Directory, _ file: String) {
      self.directory = directory
      self.file = Name(file)
    }

    package static func < (a: Place, b: Place) -> Bool {
      a.directory == b.directory ? a.file < b.file : precedes(a.directory.rawValue, b.directory.rawValue)
    }
  }

  package var directory: Directory
  /// The name in the directory, escaped where it is no plain text.
  package var file: String
  package var state: IngestState
  /// A short name of the reason, such as `bad_expert`; nil where it was accepted.
  package var kind: String?
  package var message: String?
  package var warnings: [String]
  /// The expert or task that it became.
  package var subject: String?
  package var version: Int?
  /// What tells this state of the file from another: device, inode, size and times.
  package var identity: String
  package var time: Timestamp

  package init(
    directory: Directory, file: String, state: IngestState, kind: String? = nil, message: String? = nil,
    warnings: [String] = [], subject: String? = nil, version: Int? = nil, identity: String, time: Timestamp
  ) {
    self.directory = directory
    self.file = file
    self.state = state
    self.kind = kind
    self.message = message
    self.warnings = warnings
    self.subject = subject
    self.version = version
    self.identity = identity
    self.time = time
  }
}

extension IngestRecord {
  /// Whether the file is in the bank as this expert.
  package func isExpert(_ name: String) -> Bool {
    directory == .experts && (state == .accepted || state == .duplicate) && subject.map { sameName($0, name) } ?? false
  }
}

extension IngestRecord: Placed {
  package var place: Place { Place(directory, file) }
}

extension Catalogue {
  static let ingestTables = [
    """
    CREATE TABLE ingest (
      directory TEXT NOT NULL CHECK (directory IN ('experts', 'tasks')),
      file TEXT NOT NULL,
      state TEXT NOT NULL
        CHECK (state IN ('accepted', 'duplicate', 'incomplete', 'rejected', 'ignored', 'waiting_for_model')),
      kind TEXT,
      message TEXT,
      warnings TEXT NOT NULL,
      subject TEXT,
      version INTEGER,
      identity TEXT NOT NULL,
      time INTEGER NOT NULL,
      PRIMARY KEY (directory, file)
    ) STRICT, WITHOUT ROWID
    """
  ]

  package func ingested() throws(RegistryError) -> [IngestRecord] { try ingested(where: "true", []) }

  func ingested(_ place: IngestRecord.Place) throws(RegistryError) -> IngestRecord? {
    try ingested(where: "directory = ? AND file = ?", [place.directory.rawValue, place.file.text]).first
  }

  /// The files that became an expert or a task; of one version, where asked.
  package func ingested(
    _ directory: IngestRecord.Directory, subject: String, version: Int?
  ) throws(RegistryError) -> [IngestRecord] {
    try ingested(
      where: "directory = ?1 AND subject = ?2 AND (?3 IS NULL OR version = ?3)", [directory.rawValue, subject, version])
  }

  private func ingested(where condition: String, _ values: [any SQLBindable]) throws(RegistryError) -> [IngestRecord] {
    try rows(
      """
      SELECT directory, file, state, kind, message, warnings, subject, version, identity, time FROM ingest
      WHERE \(condition) ORDER BY directory, file
      """, values: values
    ) { (row) throws(RegistryError) in
      IngestRecord(
        directory: try storedName(row.text(0), table: "ingest"), file: row.text(1),
        state: try storedName(row.text(2), table: "ingest"), kind: row.optionalText(3), message: row.optionalText(4),
        warnings: try storedStrings(row.text(5), table: "ingest"), subject: row.optionalText(6),
        version: row.optionalInteger(7).map { Int($0) }, identity: row.text(8),
        time: Timestamp(milliseconds: row.integer(9)))
    }
  }

  package func store(_ record: IngestRecord) throws(RegistryError) {
    changes.files.insert(record.place)
    try run(
      """
      INSERT INTO ingest (directory, file, state, kind, message, warnings, subject, version, identity, time)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (directory, file) DO UPDATE SET state = excluded.state, kind = excluded.kind,
        message = excluded.message, warnings = excluded.warnings, subject = excluded.subject,
        version = excluded.version, identity = excluded.identity, time = excluded.time
      """, record.directory.rawValue, record.file, record.state.rawValue, record.kind, record.message,
      JSONValue(record.warnings).jsonText, record.subject, record.version, record.identity, record.time.milliseconds)
  }

  /// The file is gone from its directory; what it became stays.
  package func forget(_ directory: IngestRecord.Directory, file: String) throws(RegistryError) {
    changes.files.insert(IngestRecord.Place(directory, file))
    try run("DELETE FROM ingest WHERE directory = ? AND file = ?", directory.rawValue, file)
  }
}
