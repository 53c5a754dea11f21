import Records
package import Results
import SQLite
package import StrictJSON

/// A task on a model: what a mixture belongs to.
package struct Pair: Sendable, Hashable, Comparable {
  package var task: String
  package var model: String

  package init(task: String, model: String) {
    self.task = task
    self.model = model
  }

  package static func == (a: Pair, b: Pair) -> Bool { sameName(a.task, b.task) && sameName(a.model, b.model) }
  package static func < (a: Pair, b: Pair) -> Bool {
    sameName(a.task, b.task) ? precedes(a.model, b.model) : precedes(a.task, b.task)
  }
  package func hash(into hasher: inout Hasher) {
    hashName(task, into: &hasher)
    hashName(model, into: &hasher)
  }
}

/// What a search found for a pair, immutable.
package struct MixtureRevision: Sendable, Equatable {
  package var pair: Pair
  package var revision: Int
  package var job: Int64
  /// A digest of everything it depends on: task, model, expert versions. Fresh while this is what the pair needs now.
  package var inputs: String
  /// What `mixture.get` answers but for freshness, and what only a report reads.
  package var record: Mixture
  /// The mixed multipliers.
  package var blob: BlobReference
  /// What a user asked of the search beyond the defaults; a recomputation asks the same.
  package var options: JSONObject
  /// Why it was made.
  package var reason: String
  package var added: Timestamp
  /// The number of the event that published it.
  package var generation: Int64 = 0

  package init(
    pair: Pair, revision: Int, job: Int64, inputs: String, record: Mixture, blob: BlobReference,
    options: JSONObject, reason: String, added: Timestamp
  ) {
    self.pair = pair
    self.revision = revision
    self.job = job
    self.inputs = inputs
    self.record = record
    self.blob = blob
    self.options = options
    self.reason = reason
    self.added = added
  }
}

/// The mixture that is served for a pair.
package struct ServedMixture: Sendable, Equatable {
  package var mixture: MixtureRevision
  /// Changes whenever the answer changes, and never goes back: the number of the event that changed it.
  package var generation: Int64
  /// Why it is stale; nil where it is fresh.
  package var staleReason: String?
  /// Why an earlier revision than the newest is served: the newest one's vectors are damaged. Nil where the newest is.
  package var inPlaceOf: String?
  /// The revision of the task that it was made of; nil where it is not known.
  package var taskRevision: Int?
}

extension ServedMixture: Placed {
  package var place: Pair { mixture.pair }
}

extension Catalogue {
  static let mixtureTables = [
    """
    CREATE TABLE mixtures (
      task TEXT NOT NULL REFERENCES tasks (name) ON DELETE RESTRICT,
      model TEXT NOT NULL REFERENCES models (name) ON DELETE RESTRICT,
      revision INTEGER NOT NULL CHECK (revision > 0),
      job INTEGER NOT NULL REFERENCES jobs (id) ON DELETE RESTRICT,
      inputs TEXT NOT NULL,
      record TEXT NOT NULL,
      blob TEXT NOT NULL CHECK (length(blob) = 64),
      bytes INTEGER NOT NULL CHECK (bytes >= 0),
      options TEXT NOT NULL,
      reason TEXT NOT NULL,
      added INTEGER NOT NULL,
      generation INTEGER NOT NULL,
      PRIMARY KEY (task, model, revision)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE served (
      task TEXT NOT NULL,
      model TEXT NOT NULL,
      revision INTEGER NOT NULL,
      generation INTEGER NOT NULL,
      stale_reason TEXT,
      PRIMARY KEY (task, model),
      FOREIGN KEY (task, model, revision) REFERENCES mixtures (task, model, revision) ON DELETE RESTRICT
    ) STRICT, WITHOUT ROWID
    """,
  ]

  private static let mixtureColumns =
    "m.task, m.model, m.revision, m.job, m.inputs, m.record, m.blob, m.bytes, m.options, m.reason, m.added, m.generation"

  private func mixture(_ row: StoredRow) throws(RegistryError) -> MixtureRevision {
    var mixture = MixtureRevision(
      pair: Pair(task: row.text(0), model: row.text(1)), revision: Int(row.integer(2)), job: row.integer(3),
      inputs: row.text(4), record: try storedMixture(row.text(5)),
      blob: BlobReference(hex: row.text(6), bytes: Int(row.integer(7))),
      options: try storedObject(row.text(8), table: "mixtures"), reason: row.text(9),
      added: Timestamp(milliseconds: row.integer(10)))
    mixture.generation = row.integer(11)
    return mixture
  }

  package func servedMixtures() throws(RegistryError) -> [ServedMixture] {
    try servedMixtures(where: "true", [])
  }

  func servedMixture(_ pair: Pair) throws(RegistryError) -> ServedMixture? {
    try servedMixtures(where: "s.task = ? AND s.model = ?", [pair.task, pair.model]).first
  }

  /// But for those of removed tasks and on removed models.
  private func servedMixtures(
    where condition: String, _ values: [any SQLBindable]
  ) throws(RegistryError) -> [ServedMixture] {
    try rows(
      """
      SELECT \(Self.mixtureColumns), s.generation, s.stale_reason, s.in_place_of FROM served s
      JOIN mixtures m ON m.task = s.task AND m.model = s.model AND m.revision = s.revision
      JOIN tasks t ON t.name = s.task AND t.removal IS NULL
      JOIN models b ON b.name = s.model AND b.removal IS NULL
      WHERE \(condition)
      ORDER BY s.task, s.model
      """, values: values
    ) { (row) throws(RegistryError) in
      var served = ServedMixture(
        mixture: try mixture(row), generation: row.integer(12), staleReason: row.optionalText(13))
      served.inPlaceOf = row.optionalText(14)
      served.taskRevision = try revision(
        ofTask: served.mixture.pair.task, digest: served.mixture.record.taskDigest)
      return served
    }
  }

  /// Newest first.
  package func mixtureLog(
    task: String, model: String?, before: Int64? = nil, limit: Int
  ) throws(RegistryError) -> [MixtureRevision] {
    try rows(
      """
      SELECT \(Self.mixtureColumns) FROM mixtures m
      WHERE m.task = ?1 AND (?2 IS NULL OR m.model = ?2) AND m.generation < ?4 AND m.purged = 0
      ORDER BY m.generation DESC LIMIT ?3
      """, task, model, limit, before ?? .max
    ) { (row) throws(RegistryError) in try mixture(row) }
  }

  /// Stores the next revision of a pair and serves it from this transaction on. `generation` is the number of the event
  /// that says so. The argument's `revision` is not read.
  @discardableResult
  package func publish(
    _ mixture: MixtureRevision, generation: Int64, staleReason: String?
  ) throws(RegistryError) -> Int {
    changes.mixtures.insert(mixture.pair)
    let number = try integer(
      "SELECT coalesce(max(revision), 0) + 1 FROM mixtures WHERE task = ? AND model = ?", mixture.pair.task,
      mixture.pair.model)
    try run(
      """
      INSERT INTO mixtures (task, model, revision, job, inputs, record, blob, bytes, options, reason, added,
        generation) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """, mixture.pair.task, mixture.pair.model, number, mixture.job, mixture.inputs,
      RecordWriter.json(mixture.record).jsonText, mixture.blob.hex, mixture.blob.bytes,
      JSONValue.object(mixture.options).jsonText, mixture.reason, mixture.added.milliseconds,
      generation)
    try run(
      """
      INSERT INTO served (task, model, revision, generation, stale_reason) VALUES (?, ?, ?, ?, ?)
      ON CONFLICT (task, model) DO UPDATE SET revision = excluded.revision, generation = excluded.generation,
        stale_reason = excluded.stale_reason, in_place_of = NULL
      """, mixture.pair.task, mixture.pair.model, number, generation, staleReason)
    return Int(number)
  }

  /// The revision that a job published, if it did: one that was cut before its end was stored finds it.
  package func mixture(ofJob job: Int64) throws(RegistryError) -> MixtureRevision? {
    try rows("SELECT \(Self.mixtureColumns) FROM mixtures m WHERE m.job = ?", job) { (row) throws(RegistryError) in
      try mixture(row)
    }.first
  }

  /// Marks what is served as stale (with the reason) or as fresh again (nil).
  package func setStale(_ pair: Pair, reason: String?, generation: Int64) throws(RegistryError) {
    changes.mixtures.insert(pair)
    try run(
      "UPDATE served SET stale_reason = ?, generation = ? WHERE task = ? AND model = ?", reason, generation, pair.task,
      pair.model)
  }
}
