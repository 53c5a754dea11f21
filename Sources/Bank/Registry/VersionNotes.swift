import Digests
import Glibc
import SQLite
import StrictJSON
import SystemSupport

/// Which versions of experts there are, in a file beside the blobs, for the day when the catalogue and its redo log are both
/// lost: blobs do not say which version of which name they are.
///
///     versions.jsonl   f1c2… {"expert":"science","active":2,"versions":[{"version":1,"state":"superseded",…},…]}
///                      09ab… {"model":"tiny","path":"/models/tiny.gguf"}
///                      77d0… {"complete":4711,"whole":2048}
///
/// A line is added when a version, or a model, was added or changed; the newest line of each counts. Each begins with 16
/// digits of the SHA-256 of the rest. It is only told what the catalogue has committed, and nobody waits for the disk here:
/// the last line of a run says with which commit it ended, and where the next one does not find it so (after a crash, or in a
/// store of a version that had no notes) all of it is written anew from the catalogue; so it is where what counts no more has
/// grown beyond what does. So only a crash that takes the
/// catalogue and its redo log with it can cost notes, those of its last half minute.
///
/// Belongs to the catalogue's thread.
final class VersionNotes {
  private static let digits = 16

  private let file: FileDescriptor
  private var end: Int
  /// Bytes when they were last written anew: what counts has about that size.
  private let whole: Int

  private init(_ file: FileDescriptor, end: Int, whole: Int) {
    self.file = file
    self.end = end
    self.whole = whole
  }

  /// Opens notes that are whole as of this commit; nil where they are not, and where they are to be written anew since they
  /// are more than twice as long as they were then, and by more than `spare` bytes.
  static func open(
    _ path: String, asOf commit: Int64, spare: Int = 16 << 20
  ) throws(SystemCallError) -> VersionNotes? {
    guard let size = try FileSystem.status(path)?.size else { return nil }
    let file = try FileDescriptor.open(path, O_RDWR | O_NOFOLLOW)
    let tail = try file.bytes(at: max(0, size - longestEnd), count: min(size, longestEnd))
    let start = tail.dropLast().lastIndex(of: 0x0a).map { $0 + 1 } ?? 0
    guard tail.last == 0x0a, let last = note(in: tail[start...].dropLast()), last["complete"]?.integerValue == commit,
      let whole = last["whole"]?.intValue
    else { return nil }
    let end = size - (tail.count - start)
    guard end <= 2 * whole + spare else { return nil }
    try file.truncate(to: end)
    return VersionNotes(file, end: end, whole: whole)
  }

  /// Of the last line of a run.
  private static let longestEnd = 256

  /// The last line of a run.
  func end(asOf commit: Int64) throws(SystemCallError) {
    try add([["complete": .integer(commit), "whole": JSONValue(whole)]])
  }

  /// Writes all of them anew, durably.
  static func write(_ path: String, _ notes: [JSONObject]) throws(SystemCallError) -> VersionNotes {
    let bytes = notes.flatMap { line($0) }
    try FileSystem.writeAtomically(path, bytes, mode: 0o600)
    return VersionNotes(
      try FileDescriptor.open(path, O_RDWR | O_NOFOLLOW), end: bytes.count, whole: bytes.count)
  }

  func add(_ notes: [JSONObject]) throws(SystemCallError) {
    let bytes = notes.flatMap { Self.line($0) }
    try file.write(all: bytes, at: end)
    end += bytes.count
  }

  /// The lines that are whole, in order, and how many are not.
  static func read(_ path: String) throws(SystemCallError) -> (notes: [JSONObject], damaged: Int) {
    guard try FileSystem.status(path) != nil else { return ([], 0) }
    let bytes = try FileSystem.readAll(path, maximumBytes: .max)
    var (notes, damaged): ([JSONObject], Int) = ([], 0)
    for line in bytes.split(separator: 0x0a) {
      guard let note = note(in: line) else {
        damaged += 1
        continue
      }
      notes.append(note)
    }
    return (notes, damaged)
  }

  /// Nil for a line that is not what was written.
  private static func note(in line: ArraySlice<UInt8>) -> JSONObject? {
    let text = line.dropFirst(digits + 1)
    guard line.count > digits, checksum(text).elementsEqual(line.prefix(digits)),
      case .object(let note)? = try? parseJSON(String(decoding: text, as: UTF8.self), limits: .ofOurOwn)
    else { return nil }
    return note
  }

  private static func line(_ note: JSONObject) -> [UInt8] {
    let text = Array(JSONValue.object(note).jsonText.utf8)
    return checksum(text[...]) + [0x20] + text + [0x0a]
  }

  private static func checksum(_ text: ArraySlice<UInt8>) -> [UInt8] {
    Array(SHA256.digest(Array(text)).hex.utf8.prefix(digits))
  }
}

extension Catalogue {
  private static let notedNumbers: Set = ["version", "bytes", "is_foreign", "added"]
  private static let notedColumns = [
    "version", "state", "model", "model_digest", "digest", "blob", "bytes", "kind", "label", "task", "rescale",
    "is_foreign",
    "details", "warnings", "source", "added", "added_by", "quarantine",
  ]

  // MARK: - Noting

  /// Begins, or goes on with, the notes. What fails is tried again by the next change.
  func openNotes() {
    guard let commit = redo?.last.commit else { return }
    do throws(RegistryError) {
      notes = try RedoLog.files { () throws(SystemCallError) in
        try VersionNotes.open(store.versionNotes, asOf: commit)
      }
      if notes == nil { try writeAllNotes() }
    } catch {
      findings.append(.noNotes(error))
    }
  }

  /// After the commit of these statements: adds what they have changed. An error is no error of the change, and is made up
  /// for later.
  func noteVersions(_ statements: [RedoStatement]) {
    remember(changes)
    // What a snapshot has yet to read may be of earlier commits too.
    let touched = Set(
      statements.filter { $0.sql.contains("expert") }.flatMap { statement in
        statement.values.compactMap { if case .text(let text) = $0 { Name(text) } else { nil } }
      })
    let experts = unnoted.filter { touched.contains($0.key) }
    let hasModels = statements.contains { $0.sql.contains(" models") }
    guard !experts.isEmpty || hasModels else { return }
    do throws(RegistryError) {
      guard let notes else { return try writeAllNotes() }
      var lines = hasModels ? try notesOfModels() : []
      for (name, versions) in experts.sorted(by: { $0.key < $1.key }) {
        lines += try self.notes(of: name.text, versions.sorted())
      }
      try RedoLog.files { () throws(SystemCallError) in try notes.add(lines) }
    } catch {
      notes = nil
    }
  }

  /// What is to be noted after the commit, though nobody asks for these changes any more then.
  func remember(_ changes: CatalogueChanges) { unnoted.merge(changes.experts) { $0.union($1) } }

  /// At the end of a run: the next one need not write them anew.
  func closeNotes() {
    guard let notes, let commit = redo?.last.commit else { return }
    try? notes.end(asOf: commit)
    self.notes = nil
  }

  private func writeAllNotes() throws(RegistryError) {
    notes = nil
    var lines = try notesOfModels()
    var versions: [(name: String, numbers: [Int])] = []
    for (name, number) in try rows(
      "SELECT expert, version FROM expert_versions ORDER BY expert, version", read: { ($0.text(0), Int($0.integer(1))) }
    ) {
      if let last = versions.last, sameName(last.name, name) {
        versions[versions.count - 1].numbers.append(number)
      } else {
        versions.append((name, [number]))
      }
    }
    for (name, numbers) in versions { lines += try notes(of: name, numbers) }
    let all = lines
    notes = try RedoLog.files { () throws(SystemCallError) in try VersionNotes.write(store.versionNotes, all) }
  }

  private func notesOfModels() throws(RegistryError) -> [JSONObject] {
    try rows("SELECT name, path FROM models WHERE removal IS NULL ORDER BY name") {
      ["model": .string($0.text(0)), "path": .string($0.text(1))]
    }
  }

  /// None where a version is not there, such as one whose part of a transaction failed.
  private func notes(of name: String, _ numbers: [Int]) throws(RegistryError) -> [JSONObject] {
    var versions: [JSONValue] = []
    for number in numbers {
      versions += try rows(
        """
        SELECT \(Self.notedColumns.joined(separator: ", ")), removal IS NOT NULL OR purged FROM expert_versions
        WHERE expert = ? AND version = ?
        """, name, number
      ) { row in
        var version = JSONObject()
        for (column, name) in Self.notedColumns.enumerated() {
          version[name] =
            Self.notedNumbers.contains(name)
            ? row.optionalInteger(column).map { .integer($0) } : row.optionalText(column).map { .string($0) }
        }
        if row.integer(Self.notedColumns.count) != 0 { version["removed"] = true }
        return .object(version)
      }
    }
    guard !versions.isEmpty else { return [] }
    let active = try rows("SELECT active FROM experts WHERE name = ?", name, read: { $0.optionalInteger(0) }).first
    return [
      [
        "expert": .string(name), "active": active.flatMap { $0 }.map { .integer($0) } ?? .null,
        "versions": .array(versions),
      ]
    ]
  }

  // MARK: - Again from the notes

  /// A version as it was noted.
  package struct NotedVersion {
    package var name: String
    package var number: Int
    package var blob: BlobReference
    fileprivate var columns: JSONObject
    package var model: String { columns["model"]?.stringValue ?? "" }
    package var modelDigest: String { columns["model_digest"]?.stringValue ?? "" }
    package var isRemoved: Bool { columns["removed"] == true }

    fileprivate init?(_ name: String, _ columns: JSONObject) {
      guard let number = columns["version"]?.intValue, let hex = columns["blob"]?.stringValue,
        let bytes = columns["bytes"]?.intValue
      else { return nil }
      (self.name, self.number, self.columns) = (name, number, columns)
      blob = BlobReference(hex: hex, bytes: bytes)
    }
  }

  package struct Notes {
    /// By name and number.
    package var versions: [NotedVersion] = []
    fileprivate var active: [Name: Int] = [:]
    fileprivate var models: [(name: String, path: String)] = []
    /// Lines that are not what was written.
    package var damaged = 0
  }

  package static func notes(in store: BlobStore) throws(RegistryError) -> Notes {
    let path = try store.isPartlyRebuilt() ? store.unfinishedRebuild : store.versionNotes
    let (lines, damaged) = try RedoLog.files { () throws(SystemCallError) in try VersionNotes.read(path) }
    var notes = Notes(damaged: damaged)
    var versions: [Name: [Int: NotedVersion]] = [:]
    var models: [Name: String] = [:]
    for line in lines {
      if let model = line["model"]?.stringValue, let path = line["path"]?.stringValue { models[Name(model)] = path }
      guard let name = line["expert"]?.stringValue else { continue }
      notes.active[Name(name)] = line["active"]?.intValue
      for case .object(let columns) in line["versions"]?.arrayValue ?? [] {
        guard let version = NotedVersion(name, columns) else { continue }
        versions[Name(name), default: [:]][version.number] = version
      }
    }
    notes.models = models.sorted { $0.key < $1.key }.map { ($0.key.text, $0.value) }
    for (_, numbers) in versions.sorted(by: { $0.key < $1.key }) {
      notes.versions += numbers.sorted { $0.key < $1.key }.map(\.value)
    }
    return notes
  }

  /// Puts the noted models and versions into a catalogue that has none of them, with their numbers and states, within the
  /// running transaction. Models are to be inspected again.
  package func take(_ notes: Notes, who: String, why: String, now: Timestamp) throws(RegistryError) {
    for (name, path) in notes.models { try addModel(name, path: path, .inspecting, problem: nil, who: who, now: now) }
    for version in notes.versions {
      try addModel(version.model, path: "", .failed, problem: Self.lostModel(version.model), who: who, now: now)
      var columns = version.columns
      // What was active is made so below, by a move.
      if columns["state"] == "active" { columns["state"] = "candidate" }
      try addNoted(version.name, columns)
      if version.isRemoved {
        let (removal, _) = try remove(.expert(version.name, version: version.number), who: who, why: why, now: now)
        if !store.isPresent(version.blob) { try purge([removal], now: now) }
      }
    }
    for (name, number) in notes.active.sorted(by: { $0.key < $1.key })
    where notes.versions.contains(where: { $0.number == number && !$0.isRemoved && Name($0.name) == name }) {
      try moveAlias(name.text, .promote, to: number, who: who, why: why, now: now)
    }
  }

  private static func lostModel(_ name: String) -> String {
    "where it is was not noted; add it again with: t2ctl model add PATH --name \(name)"
  }

  /// One that is there stays.
  private func addModel(
    _ name: String, path: String, _ state: ModelState, problem: String?, who: String, now: Timestamp
  ) throws(RegistryError) {
    changes.models = true
    try run(
      """
      INSERT INTO models (name, path, identity, state, problem, added, added_by) VALUES (?, ?, '', ?, ?, ?, ?)
      ON CONFLICT DO NOTHING
      """, name, path, state.rawValue, problem, now.milliseconds, who)
  }

  private func addNoted(_ name: String, _ columns: JSONObject) throws(RegistryError) {
    try run("INSERT INTO experts (name) VALUES (?) ON CONFLICT DO NOTHING", name)
    let values = Self.notedColumns.map { column -> any SQLBindable in
      switch columns[column] {
      case .integer(let number)?: number
      case .string(let text)?: text
      default: nil as String?
      }
    }
    try run(
      """
      INSERT INTO expert_versions (expert, \(Self.notedColumns.joined(separator: ", ")))
      VALUES (?\(String(repeating: ", ?", count: values.count)))
      """, values: [name] + values)
    if let number = columns["version"]?.intValue { changes.experts[Name(name), default: []].insert(number) }
  }

  /// Makes a version of a blob that no note names, with the next number of its name, on a model that need not be known.
  /// Returns the number; nil where the name has this content already.
  package func takeUnnoted(
    _ version: ExpertVersion, details: String, who: String, now: Timestamp
  ) throws(RegistryError) -> Int? {
    try addModel(
      version.model, path: "", .failed, problem: Self.lostModel(version.model), who: who, now: now)
    if try self.version(ofExpert: version.name, digest: version.digest, modelDigest: version.modelDigest) != nil {
      return nil
    }
    return try addVersion(version, details: details)
  }

  /// Makes a new catalogue in a store whose catalogue and redo log are lost, after what there is of them has been moved to
  /// the directory `aside`. It has nothing in it, and is not taken for a catalogue before `endRebuild`.
  package static func beginAgain(
    path: String, store: BlobStore, aside: String, now: Timestamp
  ) throws(RegistryError) -> Catalogue {
    let isBegun = try store.isPartlyRebuilt()
    try RedoLog.files { () throws(SystemCallError) in
      if !isBegun {
        if try FileSystem.status(store.versionNotes) != nil {
          try FileSystem.rename(store.versionNotes, to: store.unfinishedRebuild)
        } else {
          try FileSystem.writeAtomically(store.unfinishedRebuild, [])
        }
        try FileSystem.synchronizeDirectory(store.root)
      }
      try FileSystem.createDirectories(aside, mode: 0o700)
      let redo = try FileSystem.entries(store.redo).compactMap(\.text).map { "\(store.redo)/\($0)" }
      for file in [path, path + "-wal"] + redo where try FileSystem.status(file) != nil {
        try FileSystem.rename(file, to: "\(aside)/\(FileSystem.split(file).name)")
      }
      try FileSystem.synchronizeDirectory(aside)
    }
    return try Catalogue(path: path, store: store, beginsAnew: true, now: now)
  }

  /// The new catalogue has all that there was.
  package static func endRebuild(store: BlobStore, aside: String) throws(RegistryError) {
    try RedoLog.files { () throws(SystemCallError) in
      try FileSystem.rename(store.unfinishedRebuild, to: "\(aside)/\(FileSystem.split(store.versionNotes).name)")
      try FileSystem.synchronizeDirectory(aside)
      try FileSystem.synchronizeDirectory(store.root)
    }
  }
}
