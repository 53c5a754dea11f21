import StrictJSON
import SystemSupport

/// Compares the store with what the catalogue names in it, in both directions.
///
/// Reads only. On the catalogue's thread, or with the daemon's lock while no daemon runs; `contents` reads every file.
package struct StoreAudit: Sendable {
  package enum Depth: Sendable {
    /// That there is a file of the right size under each name.
    case names
    /// That each file hashes to its name, and that every line of the redo log fits the one before it.
    case contents
  }

  package struct Finding: Sendable, Equatable {
    package enum Kind: String, Sendable {
      /// A row names a file that is not there.
      case missing
      /// A file, or the catalogue, is not what was stored.
      case damaged
      /// A file that no row names: of a change that was not made to its end, or removed.
      case unnamed
    }

    package var kind: Kind
    package var path: String
    /// What it is, or should be: "expert science@3".
    package var subject: String
    package var message: String
    package var bytes = 0
    /// When the file was last touched.
    package var changed: Timestamp?

    /// Something is lost, and not just left over.
    package var isProblem: Bool { kind != .unnamed }
  }

  package private(set) var findings: [Finding] = []
  /// Files that were compared, and their bytes.
  package private(set) var files = 0
  package private(set) var bytes = 0

  package var problems: [Finding] { findings.filter(\.isProblem) }

  /// What no row has named for longer than a grace time. A file comes before the row that names it, so a young one may be
  /// about to be named.
  package func garbage(before time: Timestamp) -> [Finding] {
    findings.filter { $0.kind == .unnamed && ($0.changed.map { $0 < time } ?? false) }
  }

  /// `removed`: what is looked at as if it had been given up.
  package init(
    of catalogue: Catalogue, depth: Depth, givingUp removed: [Removal] = []
  ) throws(RegistryError) {
    let store = catalogue.store
    try auditCatalogue(catalogue, depth)
    var blobs: [String: (blob: BlobReference, subject: String)] = [:]
    for (blob, subject) in try catalogue.namedBlobs(but: removed) { blobs[store.path(blob)] = (blob, subject) }
    for (path, named) in blobs.sorted(by: { $0.key < $1.key }) { audit(named.blob, path, named.subject, store, depth) }
    var tasks: Set<String> = []
    for (path, subject) in try catalogue.namedTasks(but: removed) {
      // The copy is a directory with the file, or the directory, that was dropped.
      tasks.insert(FileSystem.split(path).directory)
      if ((try? FileSystem.status(path)) ?? nil) == nil { add(.missing, path, subject, "it is not there") }
    }
    let factorizations = try catalogue.factorizationsGivenUp(with: removed)
    try RedoLog.files { () throws(SystemCallError) in
      for directory in try Self.paths(in: store.blobs) {
        for path in try Self.paths(in: directory) where blobs[path] == nil { try addUnnamed(path, "a blob") }
      }
      for directory in try Self.paths(in: store.tasks) {
        for path in try Self.paths(in: directory) where !tasks.contains(path) { try addUnnamed(path, "a task's copy") }
      }
      // Of other models it is kept, named or not: it takes long to make.
      for path in try Self.paths(in: store.factorizations) {
        let name = FileSystem.split(path).name
        guard factorizations.contains(where: { name.hasPrefix($0) }) else { continue }
        try addUnnamed(path, "the factorization of a model that was removed")
      }
    }
  }

  private mutating func auditCatalogue(_ catalogue: Catalogue, _ depth: Depth) throws(RegistryError) {
    guard depth == .contents else { return }
    do throws(RegistryError) { try catalogue.check(thorough: true) } catch {
      if error.isOfTheDisk { throw error }
      add(.damaged, catalogue.path, "the catalogue", "\(error)")
    }
    do throws(RegistryError) { try catalogue.redo?.check() } catch {
      if error.isOfTheDisk { throw error }
      add(.damaged, catalogue.redo?.path ?? "", "the redo log", "\(error)")
    }
  }

  private mutating func audit(
    _ blob: BlobReference, _ path: String, _ subject: String, _ store: BlobStore, _ depth: Depth
  ) {
    files += 1
    bytes += blob.bytes
    switch (try? FileSystem.status(path)) ?? nil {
    case nil: add(.missing, path, subject, "it is not there")
    case let status? where status.kind != .regular: add(.damaged, path, subject, "it is \(status.kind.phrase)")
    case let status? where status.size != blob.bytes:
      add(.damaged, path, subject, "it has \(status.size) bytes, and should have \(blob.bytes)")
    case _?:
      guard depth == .contents else { return }
      do throws(RegistryError) { try store.check(blob) } catch { add(.damaged, path, subject, "\(error)") }
    }
  }

  private mutating func add(_ kind: Finding.Kind, _ path: String, _ subject: String, _ message: String) {
    findings.append(Finding(kind: kind, path: path, subject: subject, message: message))
  }

  private mutating func addUnnamed(_ path: String, _ subject: String) throws(SystemCallError) {
    guard let status = try FileSystem.status(path) else { return }
    let changed = Timestamp(milliseconds: status.identity.changedNanoseconds / 1_000_000)
    findings.append(
      Finding(
        kind: .unnamed, path: path, subject: subject, message: "the catalogue does not name it",
        bytes: try Self.bytes(below: path, status), changed: changed))
  }

  private static func bytes(below path: String, _ status: FileStatus) throws(SystemCallError) -> Int {
    guard status.kind == .directory else { return status.size }
    var bytes = 0
    for inner in try paths(in: path) {
      if let status = try FileSystem.status(inner) { bytes += try Self.bytes(below: inner, status) }
    }
    return bytes
  }

  private static func paths(in directory: String) throws(SystemCallError) -> [String] {
    try FileSystem.entries(directory).compactMap(\.text).sorted().map { "\(directory)/\($0)" }
  }
}

extension Catalogue {
  /// Every blob that a row names, with what it is; once for each row. Without those of `removed`.
  package func namedBlobs(
    but removed: [Removal] = []
  ) throws(RegistryError) -> [(blob: BlobReference, subject: String)] {
    let without = Self.numbers(of: removed)
    let versions = try rows(
      """
      SELECT blob, bytes, expert, version FROM expert_versions
      WHERE purged = 0 AND (removal IS NULL OR removal NOT IN (SELECT value FROM json_each(?)))
      ORDER BY expert, version
      """, without
    ) { row in
      (
        blob: BlobReference(hex: row.text(0), bytes: Int(row.integer(1))),
        subject: "expert \(row.text(2))@\(row.integer(3))"
      )
    }
    return try versions
      + rows(
        """
        SELECT blob, bytes, task, model, revision FROM mixtures m
        WHERE purged = 0
          AND task NOT IN (SELECT name FROM tasks WHERE removal IN (SELECT value FROM json_each(?1)))
          AND model NOT IN (SELECT name FROM models WHERE removal IN (SELECT value FROM json_each(?1)))
        ORDER BY task, model, revision
        """, without
      ) { row in
        (
          blob: BlobReference(hex: row.text(0), bytes: Int(row.integer(1))),
          subject: "mixture \(row.integer(4)) of task \(row.text(2)) on model \(row.text(3))"
        )
      }
  }

  /// The copy of every revision of every task. Without those of `removed`.
  package func namedTasks(but removed: [Removal] = []) throws(RegistryError) -> [(path: String, subject: String)] {
    try rows(
      """
      SELECT path, task, revision FROM task_revisions
      WHERE purged = 0 AND task NOT IN (SELECT name FROM tasks WHERE removal IN (SELECT value FROM json_each(?)))
      ORDER BY task, revision
      """, Self.numbers(of: removed)
    ) { row in
      (path: row.text(0), subject: "revision \(row.integer(2)) of task \(row.text(1))")
    }
  }

  private static func numbers(of removed: [Removal]) -> String {
    JSONValue.array(removed.map { .integer($0.id) }).jsonText
  }
}
