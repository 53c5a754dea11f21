package import Results
import SQLite
package import Settings
package import StrictJSON
package import WorkerProtocol

/// A job as the catalogue keeps it. Its progress lives in memory only; what a resume needs is its journal.
package struct JobRecord: Sendable, Equatable {
  package var id: Int64
  package var kind: JobKind
  package var key: String
  package var target: String
  package var inputs: String?
  package var priority: Int
  package var state: JobState
  package var attempts: Int
  package var task: String?
  package var model: String?
  /// What the worker is given.
  package var spec: JSONValue
  /// What a user asked beyond the defaults.
  package var options: JSONObject
  package var who: String
  package var reason: String
  package var result: JSONValue?
  /// `{"kind", "message"}` of a job that ended badly.
  package var error: JSONValue?
  package var created: Timestamp
  package var started: Timestamp?
  package var ended: Timestamp?

  /// What is to be queued.
  package init(
    _ spec: some JobSpec, key: String, target: String, inputs: String? = nil, priority: Int = 0, task: String?,
    model: String?, options: JSONObject = [:], who: String, reason: String, created: Timestamp
  ) {
    self.init(
      id: 0, kind: spec.kind, key: key, target: target, inputs: inputs, priority: priority, task: task, model: model,
      spec: spec.json, options: options, who: who, reason: reason, created: created)
  }

  init(
    id: Int64, kind: JobKind, key: String, target: String, inputs: String?, priority: Int, task: String?,
    model: String?, spec: JSONValue, options: JSONObject, who: String, reason: String, created: Timestamp
  ) {
    self.id = id
    self.kind = kind
    self.key = key
    self.target = target
    self.inputs = inputs
    self.priority = priority
    state = .queued
    attempts = 0
    self.task = task
    self.model = model
    self.spec = spec
    self.options = options
    self.who = who
    self.reason = reason
    self.created = created
  }

  /// What the worker is given, where the job is of this kind.
  package func spec<Spec: JobSpec>(as type: Spec.Type) -> Spec? {
    kind == Spec.kind ? try? Spec(decoding: spec) : nil
  }

  package var ticket: JobQueue.Ticket {
    JobQueue.Ticket(
      id: id, key: key, target: target, inputs: inputs, priority: priority, state: state, attempts: attempts)
  }
}

extension JobRecord: Placed {
  package var place: Int64 { id }
}

/// A search that ended without a mixture.
package struct FailedSearch: Sendable, Equatable {
  /// `failed` or `cancelled`.
  package var state: JobState
  /// The digest of what it searched for.
  package var inputs: String?
  /// `{"kind", "message"}`.
  package var error: JSONValue
  /// Why it was begun.
  package var reason = ""

  package init(state: JobState, inputs: String?, error: JSONValue, reason: String = "") {
    self.state = state
    self.inputs = inputs
    self.error = error
    self.reason = reason
  }
}

extension Catalogue {
  static let jobTables = [
    """
    CREATE TABLE jobs (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      kind TEXT NOT NULL,
      key TEXT NOT NULL,
      target TEXT NOT NULL,
      inputs TEXT,
      priority INTEGER NOT NULL,
      state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled', 'interrupted')),
      attempts INTEGER NOT NULL CHECK (attempts >= 0),
      task TEXT,
      model TEXT,
      spec TEXT NOT NULL,
      options TEXT NOT NULL,
      who TEXT NOT NULL,
      reason TEXT NOT NULL,
      result TEXT,
      error TEXT,
      created INTEGER NOT NULL,
      started INTEGER,
      ended INTEGER
    ) STRICT
    """,
    "CREATE INDEX jobs_by_target ON jobs (target, id)",
    "CREATE INDEX jobs_live ON jobs (state) WHERE state IN ('queued', 'running', 'interrupted')",
    """
    CREATE TABLE job_journal (
      job INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
      sequence INTEGER NOT NULL,
      entry TEXT NOT NULL,
      PRIMARY KEY (job, sequence)
    ) STRICT, WITHOUT ROWID
    """,
  ]

  private static let jobColumns = """
    id, kind, key, target, inputs, priority, state, attempts, task, model, spec, options, who, reason, result, error,
    created, started, ended
    """

  private func job(_ row: StoredRow) throws(RegistryError) -> JobRecord {
    var job = JobRecord(
      id: row.integer(0), kind: JobKind(row.text(1)), key: row.text(2), target: row.text(3),
      inputs: row.optionalText(4), priority: Int(row.integer(5)), task: row.optionalText(8), model: row.optionalText(9),
      spec: try StoredJobSpec(stored: storedJSON(row.text(10), table: "jobs")).spec,
      options: try storedObject(row.text(11), table: "jobs"),
      who: row.text(12), reason: row.text(13), created: Timestamp(milliseconds: row.integer(16)))
    job.state = try storedName(row.text(6), table: "jobs")
    job.attempts = Int(row.integer(7))
    if let text = row.optionalText(14) { job.result = try storedJSON(text, table: "jobs") }
    if let text = row.optionalText(15) { job.error = try storedJSON(text, table: "jobs") }
    job.started = row.optionalInteger(17).map { Timestamp(milliseconds: $0) }
    job.ended = row.optionalInteger(18).map { Timestamp(milliseconds: $0) }
    return job
  }

  package func job(_ id: Int64) throws(RegistryError) -> JobRecord {
    guard let job = try storedJob(id) else { throw .unknownJob(id) }
    return job
  }

  func storedJob(_ id: Int64) throws(RegistryError) -> JobRecord? {
    try rows("SELECT \(Self.jobColumns) FROM jobs WHERE id = ?", id) { (row) throws(RegistryError) in
      try job(row)
    }.first
  }

  package func liveJobs() throws(RegistryError) -> [JobRecord] {
    try rows(
      "SELECT \(Self.jobColumns) FROM jobs WHERE state IN ('queued', 'running', 'interrupted') ORDER BY id"
    ) { (row) throws(RegistryError) in try job(row) }
  }

  /// Newest first, without results, which can be long.
  package func jobs(
    state: JobState?, task: String? = nil, before: Int64? = nil, limit: Int
  ) throws(RegistryError) -> [JobRecord] {
    try rows(
      """
      SELECT id, kind, key, target, inputs, priority, state, attempts, task, model, 'null', options, who, reason, NULL,
        error, created, started, ended
      FROM jobs WHERE id < ?4 AND (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR task = ?2) ORDER BY id DESC LIMIT ?3
      """, state?.rawValue, task, limit, before ?? .max
    ) { (row) throws(RegistryError) in try job(row) }
  }

  /// The newest job of a target, whatever its state.
  package func newestJob(target: String) throws(RegistryError) -> JobRecord? {
    try rows("SELECT \(Self.jobColumns) FROM jobs WHERE target = ? ORDER BY id DESC LIMIT 1", target) {
      (row) throws(RegistryError) in try job(row)
    }.first
  }

  /// Whether there ever was a job of a target.
  package func hasJob(target: String) throws(RegistryError) -> Bool {
    try integer("SELECT EXISTS (SELECT 1 FROM jobs WHERE target = ?)", target) != 0
  }

  /// Each pair's newest search, where that did not succeed.
  package func failedSearches() throws(RegistryError) -> [Pair: FailedSearch] {
    let newest = try newestSearches(where: "id IN (SELECT max(id) FROM jobs WHERE kind = ? GROUP BY task, model)")
    return Dictionary(newest.compactMap { pair, failed in failed.map { (pair, $0) } }, uniquingKeysWith: { $1 })
  }

  /// The pair of a search that there is, and how the newest one of that pair failed; nil where it did not.
  func newestSearch(after job: JobRecord) throws(RegistryError) -> (Pair, FailedSearch?)? {
    guard job.kind == AdaptSpec.kind else { return nil }
    // A pair has one target.
    return try newestSearches(
      where: "kind = ? AND id = (SELECT max(id) FROM jobs WHERE target = ?)", [job.target]
    ).first
  }

  /// `condition` begins with the kind.
  private func newestSearches(
    where condition: String, _ values: [any SQLBindable] = []
  ) throws(RegistryError) -> [(Pair, FailedSearch?)] {
    try rows(
      "SELECT task, model, state, inputs, error, reason FROM jobs WHERE \(condition) AND task IS NOT NULL AND model IS NOT NULL",
      values: [AdaptSpec.kind.name] + values
    ) { (row) throws(RegistryError) in
      let pair = Pair(task: row.text(0), model: row.text(1))
      let state: JobState = try storedName(row.text(2), table: "jobs")
      guard state == .failed || state == .cancelled else { return (pair, nil) }
      let error = try row.optionalText(4).map { (text) throws(RegistryError) in try storedJSON(text, table: "jobs") }
      return (
        pair, FailedSearch(state: state, inputs: row.optionalText(3), error: error ?? .null, reason: row.text(5))
      )
    }
  }

  /// Stores a queued job and returns its number.
  package func add(_ job: JobRecord) throws(RegistryError) -> Int64 {
    try run(
      """
      INSERT INTO jobs (kind, key, target, inputs, priority, state, attempts, task, model, spec, options, who, reason,
        created) VALUES (?, ?, ?, ?, ?, 'queued', 0, ?, ?, ?, ?, ?, ?, ?)
      """, job.kind.name, job.key, job.target, job.inputs, job.priority, job.task, job.model,
      StoredJobSpec(job.spec).stored.jsonText,
      JSONValue.object(job.options).jsonText, job.who, job.reason, job.created.milliseconds)
    let id = try integer("SELECT last_insert_rowid()")
    changes.jobs.insert(id)
    return id
  }

  /// Moves a job to a state. An end drops its journal, which nothing will replay.
  package func setState(
    _ id: Int64, _ state: JobState, attempts: Int, result: JSONValue? = nil, error: JSONValue? = nil, now: Timestamp
  ) throws(RegistryError) {
    changes.jobs.insert(id)
    try run(
      """
      UPDATE jobs SET state = ?2, attempts = ?3, result = coalesce(?4, result), error = ?5,
        started = CASE WHEN ?2 = 'running' THEN coalesce(started, ?6) ELSE started END,
        ended = CASE WHEN ?2 IN ('done', 'failed', 'cancelled') THEN ?6 ELSE NULL END
      WHERE id = ?1
      """, id, state.rawValue, attempts, result?.jsonText, error?.jsonText, now.milliseconds)
    if state.isFinal { try run("DELETE FROM job_journal WHERE job = ?", id) }
  }

  /// Appends to a job's journal.
  package func appendJournal(_ job: Int64, _ entry: JSONValue) throws(RegistryError) {
    try run(
      """
      INSERT INTO job_journal (job, sequence, entry)
      SELECT ?1, coalesce(max(sequence), 0) + 1, ?2 FROM job_journal WHERE job = ?1
      """, job, entry.jsonText)
  }

  /// What an interrupted run left, oldest first.
  package func journal(_ job: Int64) throws(RegistryError) -> [JSONValue] {
    try rows("SELECT entry FROM job_journal WHERE job = ? ORDER BY sequence", job) { (row) throws(RegistryError) in
      try storedJSON(row.text(0), table: "job_journal")
    }
  }
}
