package import RPCProtocol
import SQLite
import StrictJSON

package enum VersionState: String, Sendable {
  /// Stored, and not (yet) used by searches; usable by NAME@V.
  case candidate
  /// What the name stands for.
  case active
  /// Was active before another version.
  case superseded
  /// Was active when its name was retired.
  case retired
  /// Kept out by a check and the policy.
  case quarantined
}

/// One immutable version of an expert.
package struct ExpertVersion: Sendable, Equatable {
  package var name: String
  package var version: Int
  package var state: VersionState
  /// The model it was bound to at its arrival, and that model's digest then.
  package var model: String
  package var modelDigest: String
  /// Of the canonical content: the identity.
  package var digest: String
  /// Of the file's bytes: its name in the store.
  package var blob: BlobReference
  package var kind: String
  package var label: String?
  package var task: String?
  package var rescale: String
  /// True where its own base digest is another than the model's.
  package var isForeign: Bool
  package var warnings: [String]
  /// The name of the dropped file.
  package var source: String
  package var added: Timestamp
  package var addedBy: String
  /// Why it is quarantined; nil where it is not.
  package var quarantine: Quarantine?

  package init(
    name: String, version: Int, state: VersionState, model: String, modelDigest: String, digest: String,
    blob: BlobReference, kind: String, label: String?, task: String?, rescale: String, isForeign: Bool,
    warnings: [String], source: String, added: Timestamp, addedBy: String
  ) {
    self.name = name
    self.version = version
    self.state = state
    self.model = model
    self.modelDigest = modelDigest
    self.digest = digest
    self.blob = blob
    self.kind = kind
    self.label = label
    self.task = task
    self.rescale = rescale
    self.isForeign = isForeign
    self.warnings = warnings
    self.source = source
    self.added = added
    self.addedBy = addedBy
  }
}

/// A name with all its versions, oldest first.
package struct ExpertRecord: Sendable, Equatable {
  package var name: String
  package var active: Int?
  package var versions: [ExpertVersion]
  /// How `active` became what it is; nil where it never moved.
  package var lastMove: AliasMove.Action?

  package var newest: ExpertVersion? { versions.last }
  package var activeVersion: ExpertVersion? { active.flatMap { version($0) } }
  package func version(_ number: Int) -> ExpertVersion? { versions.last { $0.version == number } }

  /// Nil: the version is there no more. What changes is most often the newest.
  mutating func replace(_ number: Int, by version: ExpertVersion?) {
    var place = versions.count
    while place > 0, versions[place - 1].version > number { place -= 1 }
    if place > 0, versions[place - 1].version == number {
      place -= 1
      versions.remove(at: place)
    }
    if let version { versions.insert(version, at: place) }
  }
}

extension ExpertRecord: Placed {
  package var place: Name { Name(name) }
}

/// A move of an alias, as the journal keeps it.
package struct AliasMove: Sendable, Equatable {
  package enum Action: String, Sendable { case promote, rollback, retire }
  package var expert: String
  package var action: Action
  package var from: Int?
  package var to: Int?
  package var who: String
  package var why: String
  package var time: Timestamp

  package init(
    expert: String, action: Action, from: Int?, to: Int?, who: String, why: String, time: Timestamp
  ) {
    self.expert = expert
    self.action = action
    self.from = from
    self.to = to
    self.who = who
    self.why = why
    self.time = time
  }
}

extension Catalogue {
  static let expertTables = [
    """
    CREATE TABLE experts (
      name TEXT PRIMARY KEY CHECK (length(name) > 0),
      active INTEGER,
      FOREIGN KEY (name, active) REFERENCES expert_versions (expert, version) DEFERRABLE INITIALLY DEFERRED
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE expert_versions (
      expert TEXT NOT NULL REFERENCES experts (name) ON DELETE RESTRICT,
      version INTEGER NOT NULL CHECK (version > 0),
      state TEXT NOT NULL CHECK (state IN ('candidate', 'active', 'superseded', 'retired', 'quarantined')),
      model TEXT NOT NULL REFERENCES models (name) ON DELETE RESTRICT,
      model_digest TEXT NOT NULL,
      digest TEXT NOT NULL CHECK (length(digest) = 71),
      blob TEXT NOT NULL CHECK (length(blob) = 64),
      bytes INTEGER NOT NULL CHECK (bytes >= 0),
      kind TEXT NOT NULL,
      label TEXT,
      task TEXT,
      rescale TEXT NOT NULL,
      is_foreign INTEGER NOT NULL CHECK (is_foreign IN (0, 1)),
      details TEXT NOT NULL,
      warnings TEXT NOT NULL,
      source TEXT NOT NULL,
      added INTEGER NOT NULL,
      added_by TEXT NOT NULL,
      PRIMARY KEY (expert, version),
      UNIQUE (expert, digest, model_digest)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE alias_moves (
      sequence INTEGER PRIMARY KEY AUTOINCREMENT,
      expert TEXT NOT NULL REFERENCES experts (name) ON DELETE RESTRICT,
      action TEXT NOT NULL CHECK (action IN ('promote', 'rollback', 'retire')),
      from_version INTEGER,
      to_version INTEGER,
      who TEXT NOT NULL,
      why TEXT NOT NULL,
      time INTEGER NOT NULL
    ) STRICT
    """,
    "CREATE INDEX alias_moves_by_expert ON alias_moves (expert, sequence)",
  ]

  package func experts() throws(RegistryError) -> [ExpertRecord] {
    var records: [ExpertRecord] = []
    for (name, active, move) in try rows(
      """
      SELECT name, active, (SELECT action FROM alias_moves WHERE expert = name ORDER BY sequence DESC LIMIT 1)
      FROM experts ORDER BY name
      """, read: { ($0.text(0), $0.optionalInteger(1), $0.optionalText(2)) })
    {
      records.append(try expert(name, active, move))
    }
    var index = 0
    for version in try expertVersions(where: "true", []) {
      while index < records.count, !sameName(records[index].name, version.name) { index += 1 }
      guard index < records.count else {
        throw .damagedRow(table: "expert_versions", problem: "'\(version.name)' has versions and no name")
      }
      records[index].versions.append(version)
    }
    // One whose versions are all removed is there no more.
    return records.filter { !$0.versions.isEmpty }
  }

  /// An expert as it stands: `known` as it stood, of which the versions that did not change are taken.
  func expert(_ name: String, after known: ExpertRecord?, changed: Set<Int>) throws(RegistryError) -> ExpertRecord? {
    let found = try rows(
      """
      SELECT active, (SELECT action FROM alias_moves WHERE expert = name ORDER BY sequence DESC LIMIT 1)
      FROM experts WHERE name = ?
      """, name, read: { ($0.optionalInteger(0), $0.optionalText(1)) })
    guard let (active, move) = found.first else { return nil }
    var record = try expert(name, active, move)
    if let known {
      record.versions = known.versions
      for number in changed.sorted() {
        let version = try expertVersions(where: "expert = ? AND version = ?", [name, number]).first
        record.replace(number, by: version)
      }
    } else {
      record.versions = try expertVersions(where: "expert = ?", [name])
    }
    return record.versions.isEmpty ? nil : record
  }

  /// A name without its versions.
  private func expert(_ name: String, _ active: Int64?, _ move: String?) throws(RegistryError) -> ExpertRecord {
    let lastMove = try move.map { (move) throws(RegistryError) -> AliasMove.Action in
      try storedName(move, table: "alias_moves")
    }
    return ExpertRecord(name: name, active: active.map { Int($0) }, versions: [], lastMove: lastMove)
  }

  /// Those that are not removed.
  private func expertVersions(
    where condition: String, _ values: [any SQLBindable]
  ) throws(RegistryError) -> [ExpertVersion] {
    try rows(
      """
      SELECT expert, version, state, model, model_digest, digest, blob, bytes, kind, label, task, rescale, is_foreign,
        warnings, source, added, added_by, quarantine FROM expert_versions
      WHERE removal IS NULL AND (\(condition))
      ORDER BY expert, version
      """, values: values
    ) { (row) throws(RegistryError) in
      var version = ExpertVersion(
        name: row.text(0), version: Int(row.integer(1)), state: try storedName(row.text(2), table: "expert_versions"),
        model: row.text(3), modelDigest: row.text(4), digest: row.text(5),
        blob: BlobReference(hex: row.text(6), bytes: Int(row.integer(7))), kind: row.text(8),
        label: row.optionalText(9), task: row.optionalText(10), rescale: row.text(11), isForeign: row.integer(12) != 0,
        warnings: try storedStrings(row.text(13), table: "expert_versions"),
        source: row.text(14), added: Timestamp(milliseconds: row.integer(15)), addedBy: row.text(16))
      if let text = row.optionalText(17) { version.quarantine = try stored(text, table: "expert_versions") }
      return version
    }
  }

  /// What else the file of a version says, as JSON text: nobody reads it but to show it, so no snapshot holds it.
  package func details(ofExpert name: String, version: Int) throws(RegistryError) -> String? {
    try rows(
      "SELECT details FROM expert_versions WHERE expert = ? AND version = ?", name, version, read: { $0.text(0) }
    ).first
  }

  /// The version of this name that has this content on this model, if there is one: also one that is removed.
  package func version(ofExpert name: String, digest: String, modelDigest: String) throws(RegistryError) -> Int? {
    try rows(
      "SELECT version FROM expert_versions WHERE expert = ? AND digest = ? AND model_digest = ?", name, digest,
      modelDigest, read: { Int($0.integer(0)) }
    ).first
  }

  /// Adds the next version of a name as a candidate and returns its number. Numbers are never used twice, since
  /// the rows of versions are never deleted.
  package func addVersion(_ version: ExpertVersion, details: String) throws(RegistryError) -> Int {
    try run("INSERT INTO experts (name) VALUES (?) ON CONFLICT DO NOTHING", version.name)
    let number = try integer(
      "SELECT coalesce(max(version), 0) + 1 FROM expert_versions WHERE expert = ?", version.name)
    try run(
      """
      INSERT INTO expert_versions (expert, version, state, model, model_digest, digest, blob, bytes, kind, label, task,
        rescale, is_foreign, details, warnings, source, added, added_by)
      VALUES (?, ?, 'candidate', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      """, version.name, number, version.model, version.modelDigest, version.digest, version.blob.hex,
      version.blob.bytes, version.kind, version.label, version.task, version.rescale, version.isForeign ? 1 : 0,
      details, JSONValue(version.warnings).jsonText, version.source, version.added.milliseconds,
      version.addedBy)
    changes.experts[Name(version.name), default: []].insert(Int(number))
    return Int(number)
  }

  /// Moves the alias and writes the journal. `to` nil retires the name. Returns the move with its `from`.
  @discardableResult
  package func moveAlias(
    _ expert: String, _ action: AliasMove.Action, to: Int?, who: String, why: String, now: Timestamp
  ) throws(RegistryError) -> AliasMove {
    let found = try rows("SELECT active FROM experts WHERE name = ?", expert, read: { $0.optionalInteger(0) })
    guard let active = found.first else { throw .unknownExpert(expert) }
    let from = active.map { Int($0) }
    if let to {
      let there = "FROM expert_versions WHERE removal IS NULL AND expert = ?"
      let newest = try integer("SELECT max(version) \(there)", expert)
      guard try rows("SELECT 1 \(there) AND version = ?", expert, to, read: { _ in }).count == 1 else {
        throw .unknownVersion(expert: expert, version: to, newest: Int(newest))
      }
    }
    guard from != to else {
      throw .conflict(
        to.map { "'\(expert)@\($0)' is the active version already" } ?? "no version of '\(expert)' is active")
    }
    changes.experts[Name(expert), default: []].formUnion([from, to].compactMap { $0 })
    if let from {
      try run(
        "UPDATE expert_versions SET state = ? WHERE expert = ? AND version = ?", to == nil ? "retired" : "superseded",
        expert, from)
    }
    if let to {
      try run(
        "UPDATE expert_versions SET state = 'active', quarantine = NULL WHERE expert = ? AND version = ?", expert, to)
    }
    try run("UPDATE experts SET active = ? WHERE name = ?", to, expert)
    try run(
      "INSERT INTO alias_moves (expert, action, from_version, to_version, who, why, time) VALUES (?, ?, ?, ?, ?, ?, ?)",
      expert, action.rawValue, from, to, who, why, now.milliseconds)
    return AliasMove(expert: expert, action: action, from: from, to: to, who: who, why: why, time: now)
  }

  /// The version that was active before the present one: where a rollback goes. Rollbacks themselves are walked over,
  /// so that two of them go two steps back and not to and fro; and so are versions that a check has quarantined since, or
  /// that are removed.
  package func versionBefore(_ expert: String) throws(RegistryError) -> Int? {
    var stack: [Int?] = []
    let moves = try rows(
      "SELECT action, to_version FROM alias_moves WHERE expert = ? ORDER BY sequence", expert,
      read: { ($0.text(0), $0.optionalInteger(1).map { Int($0) }) })
    for (action, to) in moves {
      switch action {
      case "rollback": if !stack.isEmpty { stack.removeLast() }
      default: stack.append(to)
      }
    }
    let active = try rows("SELECT active FROM experts WHERE name = ?", expert, read: { $0.optionalInteger(0) }).first
    let out = try rows(
      "SELECT version FROM expert_versions WHERE expert = ? AND (state = 'quarantined' OR removal IS NOT NULL)", expert,
      read: { Int($0.integer(0)) })
    return stack.dropLast().last { version in
      // Nothing was active then: there is nowhere to go back to.
      guard let version else { return true }
      return !out.contains(version) && active.flatMap { $0 } != Int64(version)
    } ?? nil
  }

  /// Newest first.
  package func aliasMoves(_ expert: String, limit: Int) throws(RegistryError) -> [AliasMove] {
    try rows(
      """
      SELECT action, from_version, to_version, who, why, time FROM alias_moves
      WHERE expert = ? ORDER BY sequence DESC LIMIT ?
      """, expert, limit
    ) { (row) throws(RegistryError) in
      AliasMove(
        expert: expert, action: try storedName(row.text(0), table: "alias_moves"),
        from: row.optionalInteger(1).map { Int($0) }, to: row.optionalInteger(2).map { Int($0) }, who: row.text(3),
        why: row.text(4), time: Timestamp(milliseconds: row.integer(5)))
    }
  }
}
