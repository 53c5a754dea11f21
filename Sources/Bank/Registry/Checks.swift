package import RPCProtocol
import Records
package import Results
import SQLite
package import Settings

/// What a check found of one version on one model, immutable. Its items are in its job's result.
package struct CheckRecord: Sendable, Equatable {
  package var id: Int64
  package var kind: CheckKind
  package var expert: String
  package var version: Int
  package var model: String
  package var modelDigest: String
  package var task: String
  package var taskDigest: String
  package var job: Int64
  package var verdict: CheckVerdict
  /// Whether the version may be used on this model.
  package var passes: Bool
  package var action: CheckAction
  package var summary: CheckSummary
  package var added: Timestamp

  package init(
    id: Int64 = 0, kind: CheckKind, expert: String, version: Int, model: String, modelDigest: String, task: String,
    taskDigest: String, job: Int64, verdict: CheckVerdict, passes: Bool, action: CheckAction,
    summary: CheckSummary, added: Timestamp
  ) {
    self.id = id
    self.kind = kind
    self.expert = expert
    self.version = version
    self.model = model
    self.modelDigest = modelDigest
    self.task = task
    self.taskDigest = taskDigest
    self.job = job
    self.verdict = verdict
    self.passes = passes
    self.action = action
    self.summary = summary
    self.added = added
  }
}

extension CheckRecord: Placed {
  package var place: Int64 { id }
}

extension Catalogue {
  static let checkTables = [
    """
    CREATE TABLE checks (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      kind TEXT NOT NULL CHECK (kind IN ('shuffle', 'transfer')),
      expert TEXT NOT NULL,
      version INTEGER NOT NULL,
      model TEXT NOT NULL REFERENCES models (name) ON DELETE RESTRICT,
      model_digest TEXT NOT NULL,
      task TEXT NOT NULL REFERENCES tasks (name) ON DELETE RESTRICT,
      task_digest TEXT NOT NULL,
      job INTEGER NOT NULL UNIQUE REFERENCES jobs (id) ON DELETE RESTRICT,
      verdict TEXT NOT NULL CHECK (verdict IN ('ordered', 'no_better_than_shuffled', 'inconclusive')),
      passes INTEGER NOT NULL CHECK (passes IN (0, 1)),
      action TEXT NOT NULL CHECK (action IN ('warn', 'promote', 'quarantine')),
      summary TEXT NOT NULL,
      added INTEGER NOT NULL,
      FOREIGN KEY (expert, version) REFERENCES expert_versions (expert, version) ON DELETE RESTRICT
    ) STRICT
    """,
    "CREATE INDEX checks_by_expert ON checks (expert, version)",
    // Why a version is quarantined: JSON; NULL for the others.
    "ALTER TABLE expert_versions ADD COLUMN quarantine TEXT",
    "CREATE INDEX mixtures_by_job ON mixtures (job)",
  ]

  /// Oldest first.
  package func checks() throws(RegistryError) -> [CheckRecord] { try checks(where: "true", []) }

  func check(_ id: Int64) throws(RegistryError) -> CheckRecord? { try checks(where: "id = ?", [id]).first }

  /// Those of versions that are not removed.
  private func checks(where condition: String, _ values: [any SQLBindable]) throws(RegistryError) -> [CheckRecord] {
    try rows(
      """
      SELECT id, kind, expert, version, model, model_digest, task, task_digest, job, verdict, passes, action, summary,
        added FROM checks WHERE \(condition) AND NOT EXISTS (
          SELECT 1 FROM expert_versions v
          WHERE v.expert = checks.expert AND v.version = checks.version AND v.removal IS NOT NULL)
      ORDER BY id
      """, values: values
    ) { (row) throws(RegistryError) in
      CheckRecord(
        id: row.integer(0), kind: try storedName(row.text(1), table: "checks"), expert: row.text(2),
        version: Int(row.integer(3)), model: row.text(4), modelDigest: row.text(5), task: row.text(6),
        taskDigest: row.text(7), job: row.integer(8), verdict: try storedName(row.text(9), table: "checks"),
        passes: row.integer(10) != 0, action: try storedName(row.text(11), table: "checks"),
        summary: try stored(row.text(12), table: "checks"), added: Timestamp(milliseconds: row.integer(13)))
    }
  }

  /// Stores what a check found and returns its number; `id` of the argument is not read. A job has one check: what it
  /// found before a crash stands.
  package func addCheck(_ check: CheckRecord) throws(RegistryError) -> (id: Int64, isNew: Bool) {
    if let known = try rows("SELECT id FROM checks WHERE job = ?", check.job, read: { $0.integer(0) }).first {
      return (known, false)
    }
    try run(
      """
      INSERT INTO checks (kind, expert, version, model, model_digest, task, task_digest, job, verdict, passes, action,
        summary, added) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """, check.kind.rawValue, check.expert, check.version, check.model, check.modelDigest, check.task,
      check.taskDigest, check.job, check.verdict.rawValue, check.passes ? 1 : 0, check.action.rawValue,
      RecordWriter.json(check.summary).jsonText, check.added.milliseconds)
    let id = try integer("SELECT last_insert_rowid()")
    changes.checks.insert(id)
    return (id, true)
  }

  /// Takes a version out of use, with the reason; where it was active, as `stepDown` says. Returns that move, if there was
  /// one.
  package func quarantine(
    _ expert: String, version: Int, reason: Quarantine, who: String, why: String, now: Timestamp
  ) throws(RegistryError) -> AliasMove? {
    changes.experts[Name(expert), default: []].insert(version)
    let move = try stepDown(expert, version: version, who: who, why: why, now: now)
    try run(
      "UPDATE expert_versions SET state = 'quarantined', quarantine = ? WHERE expert = ? AND version = ?",
      RecordWriter.json(reason).jsonText, expert, version)
    return move
  }

  /// Where a version is active, the one that was active before it takes its place, if there is one that is neither
  /// quarantined nor removed; else none does. Returns the move; nil where it is not active.
  func stepDown(
    _ expert: String, version: Int, who: String, why: String, now: Timestamp
  ) throws(RegistryError) -> AliasMove? {
    let active = try rows("SELECT active FROM experts WHERE name = ?", expert, read: { $0.optionalInteger(0) })
    guard let active = active.first else { throw .unknownExpert(expert) }
    guard active == Int64(version) else { return nil }
    let before = try versionBefore(expert)
    return try moveAlias(expert, before == nil ? .retire : .rollback, to: before, who: who, why: why, now: now)
  }
}
