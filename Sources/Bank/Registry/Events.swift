package import StrictJSON

/// Something that happened. `detail` holds the members beside sequence, time and event on the wire.
package struct EventRecord: Sendable, Equatable {
  package var sequence: Int64
  package var time: Timestamp
  /// Such as `expert.version`, `mixture.published`, `job.done`.
  package var kind: String
  package var subject: String
  package var detail: JSONObject

  package var json: JSONObject {
    var object: JSONObject = [
      "sequence": .integer(sequence), "time": .string(time.description), "event": .string(kind),
      "subject": .string(subject),
    ]
    for (key, value) in detail.members { object[key] = value }
    return object
  }
}

extension Catalogue {
  static let eventTables = [
    """
    CREATE TABLE events (
      sequence INTEGER PRIMARY KEY AUTOINCREMENT,
      time INTEGER NOT NULL,
      kind TEXT NOT NULL,
      subject TEXT NOT NULL,
      detail TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX events_by_subject ON events (subject, sequence)",
  ]

  /// Writes an event into the running transaction; those who follow hear of it after the commit. Returns its number.
  @discardableResult
  package func record(
    _ kind: String, _ subject: String, _ detail: JSONObject = [:], now: Timestamp
  ) throws(RegistryError) -> Int64 {
    try run(
      "INSERT INTO events (time, kind, subject, detail) VALUES (?, ?, ?, ?)", now.milliseconds, kind, subject,
      JSONValue.object(detail).jsonText)
    let sequence = try integer("SELECT last_insert_rowid()")
    note(EventRecord(sequence: sequence, time: now, kind: kind, subject: subject, detail: detail))
    return sequence
  }

  package func lastSequence() throws(RegistryError) -> Int64 {
    try integer("SELECT coalesce(max(sequence), 0) FROM events")
  }

  /// The newest events before a number, newest first; of one subject, of some kinds, or that name a model, where asked.
  package func events(
    before sequence: Int64? = nil, limit: Int, subject: String? = nil, model: String? = nil, kinds: [String]? = nil
  ) throws(RegistryError) -> [EventRecord] {
    try rows(
      """
      SELECT sequence, time, kind, subject, detail FROM events
      WHERE sequence < ?1 AND (?2 IS NULL OR subject = ?2)
        AND (?3 IS NULL OR kind IN (SELECT value FROM json_each(?3)))
        AND (?5 IS NULL OR json_extract(detail, '$.model') = ?5)
      ORDER BY sequence DESC LIMIT ?4
      """, sequence ?? .max, subject, kinds.map { JSONValue($0).jsonText }, limit, model
    ) { (row) throws(RegistryError) in try event(row) }
  }

  /// The oldest events after a number, oldest first.
  package func events(
    after sequence: Int64, limit: Int, kinds: [String]? = nil
  ) throws(RegistryError) -> [EventRecord] {
    try rows(
      """
      SELECT sequence, time, kind, subject, detail FROM events
      WHERE sequence > ?1 AND (?2 IS NULL OR kind IN (SELECT value FROM json_each(?2)))
      ORDER BY sequence LIMIT ?3
      """, sequence, kinds.map { JSONValue($0).jsonText }, limit
    ) { (row) throws(RegistryError) in try event(row) }
  }

  /// The first event that is still there; nil where there is none.
  package func firstSequence() throws(RegistryError) -> Int64? {
    try rows("SELECT min(sequence) FROM events") { $0.optionalInteger(0) }.first ?? nil
  }

  private func event(_ row: StoredRow) throws(RegistryError) -> EventRecord {
    EventRecord(
      sequence: row.integer(0), time: Timestamp(milliseconds: row.integer(1)), kind: row.text(2), subject: row.text(3),
      detail: try storedObject(row.text(4), table: "events"))
  }
}
