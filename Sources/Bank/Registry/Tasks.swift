import SQLite
package import Settings
package import StrictJSON
package import WorkerProtocol

/// One immutable state of a task's files.
package struct TaskRevision: Sendable, Equatable {
  package var task: String
  package var revision: Int
  /// Of its rows and settings.
  package var digest: String
  /// The read-only copy in the store, absolute.
  package var path: String
  /// What the files of that copy were when they were stored; nil in what an older t2d has stored, until they were read.
  package var files: [TaskReference.File]?
  package var rows: Int
  package var evalRows: Int
  package var trainRows: Int
  package var scoring: Scoring
  package var metric: String
  package var template: String
  /// What the task's settings say, as JSON.
  package var settings: JSONValue
  package var warnings: [String]
  /// The dropped file or directory.
  package var source: String
  package var added: Timestamp

  /// Beside what the settings say: by which rules the rows are read. Nothing in what an older t2d has stored.
  private static let readingKey = "reading"

  /// The number of the rules by which its rows are read, which stay those that it was registered with.
  package var reading: Int {
    get { settings[Self.readingKey]?.integerValue.flatMap { Int(exactly: $0) } ?? 1 }
    set {
      var object = settings.objectValue ?? [:]
      object[Self.readingKey] = JSONValue(newValue)
      settings = .object(object)
    }
  }

  /// What the settings say, and nothing of ours.
  package var givenSettings: JSONValue {
    var object = settings.objectValue ?? [:]
    object[Self.readingKey] = nil
    return .object(object)
  }

  package init(
    task: String, revision: Int, digest: String, path: String, rows: Int, evalRows: Int, trainRows: Int,
    scoring: Scoring, metric: String, template: String, settings: JSONValue, warnings: [String], source: String,
    added: Timestamp
  ) {
    self.task = task
    self.revision = revision
    self.digest = digest
    self.path = path
    self.rows = rows
    self.evalRows = evalRows
    self.trainRows = trainRows
    self.scoring = scoring
    self.metric = metric
    self.template = template
    self.settings = settings
    self.warnings = warnings
    self.source = source
    self.added = added
  }
}

/// A task as it stands: its newest revision.
package struct TaskRecord: Sendable, Equatable {
  package var name: String
  /// The only model to adapt it on, where `task.register` named one.
  package var onlyModel: String?
  package var current: TaskRevision

  /// The one model that the task is for, whoever asks: what `task.register` named, else what its own file names
  /// (`model` in task.json5). Nil: it is for every model.
  package var boundModel: String? { onlyModel ?? current.settings["model"]?.stringValue }
}

extension TaskRecord: Placed {
  package var place: Name { Name(name) }
}

extension Catalogue {
  static let taskTables = [
    """
    CREATE TABLE tasks (
      name TEXT PRIMARY KEY CHECK (length(name) > 0),
      only_model TEXT,
      revision INTEGER NOT NULL,
      FOREIGN KEY (name, revision) REFERENCES task_revisions (task, revision) DEFERRABLE INITIALLY DEFERRED
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE task_revisions (
      task TEXT NOT NULL REFERENCES tasks (name) ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED,
      revision INTEGER NOT NULL CHECK (revision > 0),
      digest TEXT NOT NULL,
      path TEXT NOT NULL,
      rows INTEGER NOT NULL,
      eval_rows INTEGER NOT NULL,
      train_rows INTEGER NOT NULL,
      scoring TEXT NOT NULL,
      metric TEXT NOT NULL,
      template TEXT NOT NULL,
      settings TEXT NOT NULL,
      warnings TEXT NOT NULL,
      source TEXT NOT NULL,
      added INTEGER NOT NULL,
      PRIMARY KEY (task, revision)
    ) STRICT, WITHOUT ROWID
    """,
  ]

  package func tasks() throws(RegistryError) -> [TaskRecord] { try tasks(where: "true", []) }

  func task(_ name: String) throws(RegistryError) -> TaskRecord? { try tasks(where: "t.name = ?", [name]).first }

  /// Those that are not removed.
  private func tasks(where condition: String, _ values: [any SQLBindable]) throws(RegistryError) -> [TaskRecord] {
    try rows(
      """
      SELECT t.name, t.only_model, r.revision, r.digest, r.path, r.rows, r.eval_rows, r.train_rows, r.scoring, r.metric,
        r.template, r.settings, r.warnings, r.source, r.added, r.files
      FROM tasks t JOIN task_revisions r ON r.task = t.name AND r.revision = t.revision
      WHERE t.removal IS NULL AND (\(condition))
      ORDER BY t.name
      """, values: values
    ) { (row) throws(RegistryError) in
      var record = TaskRecord(
        name: row.text(0), onlyModel: row.optionalText(1),
        current: TaskRevision(
          task: row.text(0), revision: Int(row.integer(2)), digest: row.text(3), path: row.text(4),
          rows: Int(row.integer(5)), evalRows: Int(row.integer(6)), trainRows: Int(row.integer(7)),
          scoring: try storedName(row.text(8), table: "task_revisions"), metric: row.text(9), template: row.text(10),
          settings: try storedJSON(row.text(11), table: "task_revisions"),
          warnings: try storedStrings(row.text(12), table: "task_revisions"), source: row.text(13),
          added: Timestamp(milliseconds: row.integer(14))))
      if let text = row.optionalText(15) { record.current.files = try storedFiles(text) }
      return record
    }
  }

  static func stored(_ files: [TaskReference.File]) -> String {
    JSONValue.array(files.map { ["name": .string($0.name), "digest": .string($0.digest)] }).jsonText
  }

  private func storedFiles(_ text: String) throws(RegistryError) -> [TaskReference.File] {
    let entries = try storedJSON(text, table: "task_revisions").arrayValue
    let files = entries?.compactMap { entry -> TaskReference.File? in
      guard let name = entry["name"]?.stringValue, let digest = entry["digest"]?.stringValue else { return nil }
      return TaskReference.File(name: name, digest: digest)
    }
    guard let files, files.count == entries?.count else {
      throw .damagedRow(table: "task_revisions", problem: "a list of files with their digests was expected")
    }
    return files
  }

  /// Makes this the task's newest revision and returns its number; `revision` of the argument is not read.
  package func addRevision(_ revision: TaskRevision) throws(RegistryError) -> Int {
    if try showAgain(.task(revision.task), now: revision.added) {
      // It comes anew, and not as what it was bound to.
      try bind(task: revision.task, toModel: nil)
    }
    changes.tasks.insert(Name(revision.task))
    let number = try integer(
      "SELECT coalesce(max(revision), 0) + 1 FROM task_revisions WHERE task = ?", revision.task)
    try run(
      """
      INSERT INTO tasks (name, revision) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET revision = excluded.revision
      """, revision.task, number)
    try run(
      """
      INSERT INTO task_revisions (task, revision, digest, path, rows, eval_rows, train_rows, scoring, metric, template,
        settings, warnings, source, added, files) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """, revision.task, number, revision.digest, revision.path, revision.rows, revision.evalRows, revision.trainRows,
      revision.scoring.rawValue, revision.metric, revision.template, revision.settings.jsonText,
      JSONValue(revision.warnings).jsonText, revision.source, revision.added.milliseconds,
      revision.files.map { Self.stored($0) })
    return Int(number)
  }

  /// The number of the revision that has this digest: the newest, where a task went back to what it was.
  package func revision(ofTask task: String, digest: String) throws(RegistryError) -> Int? {
    try rows(
      "SELECT revision FROM task_revisions WHERE task = ? AND digest = ? ORDER BY revision DESC LIMIT 1", task, digest,
      read: { Int($0.integer(0)) }
    ).first
  }

  /// Restricts a task to one model, or with nil opens it to all.
  package func bind(task: String, toModel model: String?) throws(RegistryError) {
    changes.tasks.insert(Name(task))
    try run("UPDATE tasks SET only_model = ? WHERE name = ?", model, task)
    if try integer("SELECT changes()") == 0 { throw .unknownTask(task) }
  }

  /// Whether a row names this path: a directory that none names is left over from a crash, or given up.
  package func isTaskPathKnown(_ path: String) throws(RegistryError) -> Bool {
    try integer("SELECT count(*) FROM task_revisions WHERE path = ? AND purged = 0", path) > 0
  }
}
