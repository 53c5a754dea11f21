import Multipliers
import SQLite
package import Settings

/// A version of an expert, a task or a model that was taken away.
///
/// Its rows stay and are hidden, and its files stay where they are: it can be undone until `gc`, after its grace time, gives
/// the files up. The rows stay for ever, so that no number is given out a second time.
package struct Removal: Sendable, Equatable {
  package enum Subject: Sendable, Equatable {
    case expert(String, version: Int)
    /// With its mixtures.
    case task(String)
    /// With the mixtures on it; the experts that were made for it stay, for the day when it is added again.
    case model(String)

    package var kind: RemovalKind {
      switch self {
      case .expert: .expert
      case .task: .task
      case .model: .model
      }
    }

    package var name: String {
      switch self {
      case .expert(let name, _), .task(let name), .model(let name): name
      }
    }

    package var version: Int? { if case .expert(_, let version) = self { version } else { nil } }

    /// "expert 'science@3'", for people.
    package var shown: String { "\(kind.rawValue) '\(name)\(version.map { "@\($0)" } ?? "")'" }
  }

  package var id: Int64
  package var subject: Subject
  package var state: RemovalState
  package var who: String
  package var why: String
  package var time: Timestamp
  /// When it was undone or purged.
  package var ended: Timestamp?
  /// The number of the move of the alias that came with it.
  package var move: Int64?
}

extension Catalogue {
  static let removalTables = [
    """
    CREATE TABLE removals (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      kind TEXT NOT NULL CHECK (kind IN ('expert', 'task', 'model')),
      name TEXT NOT NULL,
      version INTEGER,
      state TEXT NOT NULL CHECK (state IN ('removed', 'undone', 'purged')),
      who TEXT NOT NULL,
      why TEXT NOT NULL,
      time INTEGER NOT NULL,
      ended INTEGER,
      alias_move INTEGER REFERENCES alias_moves (sequence)
    ) STRICT
    """,
    "CREATE INDEX removals_standing ON removals (time) WHERE state = 'removed'",
    // What is hidden, and by which removal.
    "ALTER TABLE expert_versions ADD COLUMN removal INTEGER REFERENCES removals (id)",
    "ALTER TABLE tasks ADD COLUMN removal INTEGER REFERENCES removals (id)",
    "ALTER TABLE models ADD COLUMN removal INTEGER REFERENCES removals (id)",
    // Whose files are given up. A task that is dropped again has new revisions beside these.
    "ALTER TABLE expert_versions ADD COLUMN purged INTEGER NOT NULL DEFAULT 0 CHECK (purged IN (0, 1))",
    "ALTER TABLE task_revisions ADD COLUMN purged INTEGER NOT NULL DEFAULT 0 CHECK (purged IN (0, 1))",
    "ALTER TABLE mixtures ADD COLUMN purged INTEGER NOT NULL DEFAULT 0 CHECK (purged IN (0, 1))",
    "CREATE INDEX ingest_by_subject ON ingest (subject) WHERE subject IS NOT NULL",
  ]

  // MARK: - Reading

  /// Newest first.
  package func removals(before id: Int64? = nil, limit: Int) throws(RegistryError) -> [Removal] {
    try removals(where: "id < ? ORDER BY id DESC LIMIT ?", [id ?? .max, limit])
  }

  package func removal(_ id: Int64) throws(RegistryError) -> Removal {
    guard let removal = try removals(where: "id = ?", [id]).first else {
      throw .conflict("there is no removal \(id); see 't2ctl removal list'")
    }
    return removal
  }

  /// Those that stand since before a time and that no job stands in the way of: a job that runs may still read their files.
  package func removals(before time: Timestamp) throws(RegistryError) -> [Removal] {
    try removals(
      where: """
        state = 'removed' AND time < ? AND NOT EXISTS (
          SELECT 1 FROM jobs j WHERE j.state IN ('queued', 'running', 'interrupted') AND CASE removals.kind
            WHEN 'task' THEN j.task = removals.name
            WHEN 'model' THEN j.model = removals.name
            ELSE instr(j.spec, (SELECT blob FROM expert_versions v WHERE v.removal = removals.id)) > 0 END)
        ORDER BY id
        """, [time.milliseconds])
  }

  private func removals(where condition: String, _ values: [any SQLBindable]) throws(RegistryError) -> [Removal] {
    try rows(
      "SELECT id, kind, name, version, state, who, why, time, ended, alias_move FROM removals WHERE \(condition)",
      values: values
    ) { (row) throws(RegistryError) in
      let kind: RemovalKind = try storedName(row.text(1), table: "removals")
      let subject: Removal.Subject =
        switch kind {
        case .expert: .expert(row.text(2), version: Int(row.integer(3)))
        case .task: .task(row.text(2))
        case .model: .model(row.text(2))
        }
      return Removal(
        id: row.integer(0), subject: subject, state: try storedName(row.text(4), table: "removals"), who: row.text(5),
        why: row.text(6), time: Timestamp(milliseconds: row.integer(7)),
        ended: row.optionalInteger(8).map { Timestamp(milliseconds: $0) }, move: row.optionalInteger(9))
    }
  }

  /// The removal that hides a task or a version of an expert; nil where it is there.
  package func removal(of subject: Removal.Subject) throws(RegistryError) -> Removal? {
    let (table, condition, values) = Self.row(of: subject)
    return try removals(where: "id = (SELECT removal FROM \(table) WHERE \(condition))", values).first
  }

  /// The digest of a task's newest revision, also where it is removed.
  package func digest(ofTask name: String) throws(RegistryError) -> String? {
    try rows(
      "SELECT digest FROM task_revisions WHERE task = ? ORDER BY revision DESC LIMIT 1", name, read: { $0.text(0) }
    ).first
  }

  /// The jobs that have not ended and are about it.
  package func liveJobs(about subject: Removal.Subject) throws(RegistryError) -> [Int64] {
    let live = "SELECT id FROM jobs WHERE state IN ('queued', 'running', 'interrupted') AND"
    switch subject {
    case .expert(let name, let version):
      return try rows(
        """
        \(live) instr(spec, (SELECT blob FROM expert_versions WHERE expert = ? AND version = ?)) > 0 ORDER BY id
        """, name, version, read: { $0.integer(0) })
    case .task(let name): return try rows("\(live) task = ? ORDER BY id", name, read: { $0.integer(0) })
    case .model(let name): return try rows("\(live) model = ? ORDER BY id", name, read: { $0.integer(0) })
    }
  }

  /// The jobs that have not ended and are about a task or a model that is removed.
  package func liveJobsOfRemoved() throws(RegistryError) -> [(job: Int64, reason: String)] {
    try rows(
      """
      SELECT j.id, CASE WHEN t.removal IS NULL THEN 'model ''' || j.model ELSE 'task ''' || j.task END || ''' is removed'
      FROM jobs j LEFT JOIN tasks t ON t.name = j.task LEFT JOIN models m ON m.name = j.model
      WHERE j.state IN ('queued', 'running', 'interrupted') AND (t.removal IS NOT NULL OR m.removal IS NOT NULL)
      ORDER BY j.id
      """, read: { ($0.integer(0), $0.text(1)) })
  }

  /// The versions of an expert that are there, are not active, and have at least so many newer ones; oldest first.
  package func versions(ofExpert name: String, beyondNewest kept: Int) throws(RegistryError) -> [Int] {
    try rows(
      """
      SELECT version FROM expert_versions v WHERE expert = ?1 AND removal IS NULL AND state != 'active'
        AND (SELECT count(*) FROM expert_versions n WHERE n.expert = ?1 AND n.removal IS NULL AND n.version > v.version) >= ?2
      ORDER BY version
      """, name, kept, read: { Int($0.integer(0)) })
  }

  private static func row(
    of subject: Removal.Subject
  ) -> (table: String, condition: String, values: [any SQLBindable]) {
    switch subject {
    case .expert(let name, let version): ("expert_versions", "expert = ? AND version = ?", [name, version])
    case .task(let name): ("tasks", "name = ?", [name])
    case .model(let name): ("models", "name = ?", [name])
    }
  }

  // MARK: - Removing

  /// Hides it. A version that was active is taken out of use first, as by `quarantine`; returns that move, if there was one.
  package func remove(
    _ subject: Removal.Subject, who: String, why: String, now: Timestamp
  ) throws(RegistryError) -> (removal: Removal, move: AliasMove?) {
    let (table, condition, values) = Self.row(of: subject)
    guard
      try !rows("SELECT 1 FROM \(table) WHERE \(condition) AND removal IS NULL", values: values, read: { _ in }).isEmpty
    else { throw .conflict("there is no \(subject.shown)") }
    var move: AliasMove?
    if case .expert(let name, let version) = subject {
      move = try stepDown(name, version: version, who: who, why: why, now: now)
    }
    let number = move == nil ? nil : try integer("SELECT max(sequence) FROM alias_moves")
    try run(
      """
      INSERT INTO removals (kind, name, version, state, who, why, time, alias_move) VALUES (?, ?, ?, 'removed', ?, ?, ?, ?)
      """, subject.kind.rawValue, subject.name, subject.version, who, why, now.milliseconds, number)
    let id = try integer("SELECT last_insert_rowid()")
    try run("UPDATE \(table) SET removal = ? WHERE \(condition)", values: [id] + values)
    try noteChange(of: subject)
    return (try removal(id), move)
  }

  /// Shows again what a removal hides. Where the version was active and nothing was made active since, the caller is to make
  /// it active again: `wasActive`.
  package func undo(_ id: Int64, now: Timestamp) throws(RegistryError) -> (removal: Removal, wasActive: Bool) {
    let removal = try removal(id)
    switch removal.state {
    case .removed: break
    case .undone: throw .conflict("removal \(id) was undone already: \(removal.subject.shown) is there")
    case .purged:
      throw .conflict(
        "the files of \(removal.subject.shown) were given up by gc, so its removal cannot be undone; "
          + (removal.subject.kind == .model ? "add it again" : "drop its file again"))
    }
    try show(removal, now: now)
    var wasActive = false
    if let move = removal.move {
      wasActive =
        try integer("SELECT max(sequence) FROM alias_moves WHERE expert = ?", removal.subject.name) == move
    }
    return (try self.removal(id), wasActive)
  }

  /// What comes again, dropped or added, is hidden no more. Whether it was.
  func showAgain(_ subject: Removal.Subject, now: Timestamp) throws(RegistryError) -> Bool {
    guard let removal = try removal(of: subject) else { return false }
    try show(removal, now: now)
    return true
  }

  private func show(_ removal: Removal, now: Timestamp) throws(RegistryError) {
    let (table, condition, values) = Self.row(of: removal.subject)
    try run("UPDATE \(table) SET removal = NULL WHERE \(condition)", values: values)
    // One that was purged stays that: its files did not come back.
    if removal.state == .removed {
      try run("UPDATE removals SET state = 'undone', ended = ? WHERE id = ?", now.milliseconds, removal.id)
    }
    try noteChange(of: removal.subject)
  }

  /// A version that is removed comes again with a file of its content: it keeps its number, and is a candidate.
  package func restore(
    _ version: ExpertVersion, details: String, as number: Int, now: Timestamp
  ) throws(RegistryError) {
    _ = try showAgain(.expert(version.name, version: number), now: now)
    try setBlob(ofExpert: version.name, version: number, version.blob, details: details)
    try run(
      """
      UPDATE expert_versions SET purged = 0, state = CASE state WHEN 'quarantined' THEN state ELSE 'candidate' END
      WHERE expert = ? AND version = ?
      """, version.name, number)
  }

  // MARK: - Giving up

  /// Names the files of removals no more, for good. `removed`: from `removals(before:)`, within the same transaction.
  package func purge(_ removed: [Removal], now: Timestamp) throws(RegistryError) {
    for removal in removed {
      switch removal.subject {
      case .expert(let name, let version):
        try run("UPDATE expert_versions SET purged = 1 WHERE expert = ? AND version = ?", name, version)
      case .task(let name):
        try run("UPDATE task_revisions SET purged = 1 WHERE task = ?", name)
        try run("DELETE FROM served WHERE task = ?", name)
        try run("UPDATE mixtures SET purged = 1 WHERE task = ?", name)
      case .model(let name):
        try run("DELETE FROM served WHERE model = ?", name)
        try run("UPDATE mixtures SET purged = 1 WHERE model = ?", name)
      }
      try run("UPDATE removals SET state = 'purged', ended = ? WHERE id = ?", now.milliseconds, removal.id)
    }
  }

  /// The names of the factorizations of models that are removed for good, or in `removed`, and of no other model: nobody
  /// reads them.
  func factorizationsGivenUp(with removed: [Removal]) throws(RegistryError) -> Set<String> {
    let going = Set(removed.map(\.id))
    var (gone, kept): (Set<String>, Set<String>) = ([], [])
    for (text, id, state) in try rows(
      "SELECT m.facts, r.id, r.state FROM models m LEFT JOIN removals r ON r.id = m.removal WHERE m.facts IS NOT NULL",
      read: { ($0.text(0), $0.optionalInteger(1), $0.optionalText(2)) })
    {
      let facts = try stored(text, table: "models", as: StoredModelFacts.self).facts
      let name = MultiplierLayout(facts.targets).factorizationFileName(ofModel: facts.digest)
      let isGone = state == RemovalState.purged.rawValue || id.map { going.contains($0) } ?? false
      if isGone { gone.insert(name) } else { kept.insert(name) }
    }
    return gone.subtracting(kept)
  }

  /// What the next snapshot must read again where it is hidden or shown.
  private func noteChange(of subject: Removal.Subject) throws(RegistryError) {
    func pairs(where condition: String) throws(RegistryError) -> [Pair] {
      try rows("SELECT task, model FROM served WHERE \(condition)", subject.name) {
        Pair(task: $0.text(0), model: $0.text(1))
      }
    }
    switch subject {
    case .expert(let name, let version):
      changes.experts[Name(name), default: []].insert(version)
      changes.checks.formUnion(
        try rows("SELECT id FROM checks WHERE expert = ? AND version = ?", name, version, read: { $0.integer(0) }))
    case .task(let name):
      changes.tasks.insert(Name(name))
      changes.mixtures.formUnion(try pairs(where: "task = ?"))
    case .model:
      changes.models = true
      changes.mixtures.formUnion(try pairs(where: "model = ?"))
    }
  }
}
