import SQLite
package import WorkerProtocol

/// A file of the store that is not what was stored, as it was last found: it is not used until it is whole again.
package struct Damage: Sendable, Equatable {
  /// The blob or the task's copy, by its path below the store's directory.
  package var file: String
  /// How it differs, as "it is missing".
  package var cause: String
  package var noticed: Timestamp

  package init(file: String, cause: String, noticed: Timestamp) {
    self.file = file
    self.cause = cause
    self.noticed = noticed
  }
}

/// A file of the store that can be read back and compared.
package struct StoredFile: Sendable, Equatable {
  /// What is damaged where this is: the blob itself, or the copy of the task that it is of. Below the store's directory.
  package var file: String
  /// Absolute.
  package var path: String
  /// Of its bytes, in hexadecimal digits.
  package var hex: String

  package init(file: String, path: String, hex: String) {
    self.file = file
    self.path = path
    self.hex = hex
  }
}

extension BlobReference {
  /// Where it lies below the store's directory.
  package var file: String { Self.file(hex) }

  package static func file(_ hex: String) -> String { "blobs/\(hex.prefix(2))/\(hex.dropFirst(2))" }

  /// The digest in a blob's path below the store's directory; nil for another file.
  package static func hex(ofFile file: String) -> String? {
    let parts = file.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0] == "blobs", parts[1].utf8.count == 2, parts[2].utf8.count == 62 else { return nil }
    return String(parts[1] + parts[2])
  }
}

extension TaskRevision {
  /// Where its copy lies below the store's directory: `tasks/NAME/DIGEST/SOURCE`.
  package var file: String { path.split(separator: "/").suffix(4).joined(separator: "/") }

  /// The directory that holds it, absolute.
  package var place: String { String(path.dropLast(source.count + 1)) }
}

/// What a blob is of.
package struct BlobOwners: Sendable, Equatable {
  package var versions: [(expert: String, version: Int)] = []
  package var mixtures: [(pair: Pair, revision: Int)] = []

  package init(versions: [(expert: String, version: Int)] = [], mixtures: [(pair: Pair, revision: Int)] = []) {
    self.versions = versions
    self.mixtures = mixtures
  }

  package static func == (left: Self, right: Self) -> Bool {
    left.versions.elementsEqual(right.versions, by: ==)
      && left.mixtures.elementsEqual(right.mixtures) { $0.pair == $1.pair && $0.revision == $1.revision }
  }

  package var isEmpty: Bool { versions.isEmpty && mixtures.isEmpty }
}

extension Catalogue {
  static let damageTables = [
    """
    CREATE TABLE damage (
      file TEXT PRIMARY KEY CHECK (length(file) > 0),
      cause TEXT NOT NULL,
      noticed INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX expert_versions_by_blob ON expert_versions (blob)",
    "CREATE INDEX mixtures_by_blob ON mixtures (blob)",
    // Why an earlier revision than the newest is served; NULL where the newest is.
    "ALTER TABLE served ADD COLUMN in_place_of TEXT",
    // The files of a task's copy with their digests: JSON; NULL until they are known.
    "ALTER TABLE task_revisions ADD COLUMN files TEXT",
  ]

  package func damage() throws(RegistryError) -> [String: Damage] {
    let found = try rows("SELECT file, cause, noticed FROM damage ORDER BY file") { Self.damage($0) }
    return Dictionary(found.map { ($0.file, $0) }, uniquingKeysWith: { first, _ in first })
  }

  func damage(of file: String) throws(RegistryError) -> Damage? {
    try rows("SELECT file, cause, noticed FROM damage WHERE file = ?", file) { Self.damage($0) }.first
  }

  private static func damage(_ row: StoredRow) -> Damage {
    Damage(file: row.text(0), cause: row.text(1), noticed: Timestamp(milliseconds: row.integer(2)))
  }

  package func store(_ damage: Damage) throws(RegistryError) {
    try noteDamage(damage.file)
    try run(
      """
      INSERT INTO damage (file, cause, noticed) VALUES (?, ?, ?)
      ON CONFLICT (file) DO UPDATE SET cause = excluded.cause, noticed = excluded.noticed
      """, damage.file, damage.cause, damage.noticed.milliseconds)
  }

  /// The file is what was stored again.
  package func clearDamage(_ file: String) throws(RegistryError) {
    try noteDamage(file)
    try run("DELETE FROM damage WHERE file = ?", file)
  }

  /// What the file is of changes with it: which experts take part, which mixtures are served.
  private func noteDamage(_ file: String) throws(RegistryError) {
    changes.damage.insert(file)
    guard let hex = BlobReference.hex(ofFile: file) else {
      if let task = file.split(separator: "/").dropFirst().first { changes.tasks.insert(Name(String(task))) }
      return
    }
    let owners = try owners(ofBlob: hex)
    for (expert, version) in owners.versions { changes.experts[Name(expert), default: []].insert(version) }
    changes.mixtures.formUnion(owners.mixtures.map(\.pair))
  }

  /// What a blob is of; a blob that no row names is nothing to anybody.
  package func owners(ofBlob hex: String) throws(RegistryError) -> BlobOwners {
    BlobOwners(
      versions: try rows(
        "SELECT expert, version FROM expert_versions WHERE blob = ? AND purged = 0 ORDER BY expert, version", hex,
        read: { ($0.text(0), Int($0.integer(1))) }),
      mixtures: try rows(
        "SELECT task, model, revision FROM mixtures WHERE blob = ? AND purged = 0 ORDER BY task, model, revision", hex,
        read: { (Pair(task: $0.text(0), model: $0.text(1)), Int($0.integer(2))) }))
  }

  /// Some of the blobs that rows name, in the order of their digests, beginning behind one.
  package func blobs(after hex: String, limit: Int) throws(RegistryError) -> [String] {
    try rows(
      """
      SELECT blob FROM expert_versions WHERE blob > ?1 AND purged = 0
      UNION SELECT blob FROM mixtures WHERE blob > ?1 AND purged = 0 ORDER BY blob LIMIT ?2
      """, hex, limit, read: { $0.text(0) })
  }

  /// Another file with the content of a version takes the place of its blob.
  package func setBlob(
    ofExpert name: String, version: Int, _ blob: BlobReference, details: String
  ) throws(RegistryError) {
    changes.experts[Name(name), default: []].insert(version)
    try run(
      "UPDATE expert_versions SET blob = ?, bytes = ?, details = ? WHERE expert = ? AND version = ?", blob.hex,
      blob.bytes, details, name, version)
  }

  /// Serves a stored revision of a pair; `reason` is why it is not the newest, nil where it is.
  package func serve(
    _ pair: Pair, revision: Int, inPlaceOf reason: String?, generation: Int64
  ) throws(RegistryError) {
    changes.mixtures.insert(pair)
    try run(
      """
      UPDATE served SET revision = ?, in_place_of = ?, stale_reason = ?, generation = ? WHERE task = ? AND model = ?
      """, revision, reason, reason, generation, pair.task, pair.model)
  }

  /// What the files of a task's copy are, and where it lies, after another one has taken its place.
  package func setCopy(
    ofTask task: String, revision: Int, path: String, source: String, files: [TaskReference.File]
  ) throws(RegistryError) {
    changes.tasks.insert(Name(task))
    try run(
      "UPDATE task_revisions SET path = ?, source = ?, files = ? WHERE task = ? AND revision = ?", path, source,
      Self.stored(files), task, revision)
  }
}
