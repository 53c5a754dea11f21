import Digests
import Glibc
import SQLite
package import StrictJSON
import SystemSupport

/// The second copy of the catalogue: a copy of the database, and a log of the statements of every commit after it.
///
///     redo/17.sqlite   the catalogue as it was after commit 17
///     redo/17.log      a header, then a line for each commit from 18 on
///
///     f1c2… {"redo":1,"base":17,"schema":3}
///     09ab… {"commit":18,"run":[["INSERT INTO events …",["job.queued","4"]]]}
///
/// The log is written and on the disk before the database commits, so it is what makes a change durable: whatever becomes
/// of the database's own log, at the next start the statements that it lacks run again. That is exact, since statements are
/// run in one order, by one thread, and take times and random numbers as values. Each line begins with 16 digits of the
/// SHA-256 of the line before it and of itself, so a line that was changed, cut off or taken away is noticed.
///
/// Belongs to the catalogue's thread. All calls block.
package final class RedoLog {
  /// Where the line of a commit ends. The catalogue keeps it with the commit, so that a start need not read the log.
  package struct Position: Equatable {
    /// The number of the commit.
    var commit: Int64
    /// Which log: the commit of its copy.
    var base: Int64
    /// Bytes up to the end of its line.
    package var end: Int
    /// The first 16 digits of that line.
    var checksum: String
  }

  package struct Entry: Equatable {
    package var position: Position
    package var statements: [RedoStatement]
  }

  static let form = 1
  private static let checksumDigits = 16

  let directory: String
  let base: Int64
  /// The version of the schema that the statements were written for.
  let schema: Int
  /// The end of the last line that counts.
  package private(set) var last: Position
  private let file: FileDescriptor
  /// A line that was written must not count, and it is not known whether the disk has it.
  private var mustRetract = false

  private init(directory: String, base: Int64, schema: Int, last: Position, file: FileDescriptor) {
    self.directory = directory
    self.base = base
    self.schema = schema
    self.last = last
    self.file = file
  }

  static func copyPath(_ directory: String, _ base: Int64) -> String { "\(directory)/\(base).sqlite" }
  package static func logPath(_ directory: String, _ base: Int64) -> String { "\(directory)/\(base).log" }
  var path: String { Self.logPath(directory, base) }

  // MARK: - Beginning

  /// The newest log whose copy of the database is there too; nil where there is none.
  static func newest(in directory: String) throws(RegistryError) -> Int64? {
    try Self.files { () throws(SystemCallError) in
      let names = Set(try FileSystem.entries(directory).compactMap(\.text))
      return names.compactMap { name -> Int64? in
        guard name.hasSuffix(".log"), let base = Int64(name.dropLast(4)), names.contains("\(base).sqlite") else {
          return nil
        }
        return base
      }.max()
    }
  }

  /// Starts a new log behind a copy of the database that `copy` writes; older ones are removed when it is durable.
  static func begin(
    in directory: String, base: Int64, schema: Int, copy: (String) throws(RegistryError) -> Void
  ) throws(RegistryError) -> RedoLog {
    let copyPath = copyPath(directory, base)
    let logPath = logPath(directory, base)
    // A log of this number lacks its copy, or is behind what the database says and so is damaged.
    try files { () throws(SystemCallError) in _ = try FileSystem.remove(logPath) }
    try copy(copyPath)
    let (line, checksum) = line(
      ["redo": JSONValue(form), "base": .integer(base), "schema": JSONValue(schema)], after: "")
    let log = try files { () throws(SystemCallError) -> RedoLog in
      try FileSystem.writeAtomically(logPath, line, mode: 0o600)
      let last = Position(commit: base, base: base, end: line.count, checksum: checksum)
      return RedoLog(
        directory: directory, base: base, schema: schema, last: last,
        file: try FileDescriptor.open(logPath, O_RDWR | O_NOFOLLOW))
    }
    for entry in try files({ () throws(SystemCallError) in try FileSystem.entries(directory) }) {
      guard let name = entry.text, name != "\(base).sqlite", name != "\(base).log" else { continue }
      _ = try? FileSystem.remove("\(directory)/\(name)")
    }
    return log
  }

  /// Opens a log and checks its header. What comes after it is checked by `entries`.
  package static func open(in directory: String, base: Int64) throws(RegistryError) -> RedoLog {
    let path = logPath(directory, base)
    let file = try files { () throws(SystemCallError) in try FileDescriptor.open(path, O_RDWR | O_NOFOLLOW) }
    var reader = LineReader(file: file, path: path, offset: 0, checksum: "")
    guard let (header, end, checksum) = try reader.next(), header["redo"]?.intValue == form,
      header["base"]?.integerValue == base, let schema = header["schema"]?.intValue
    else { throw .damagedLog(path: path, problem: "its first line is not the header of a log after commit \(base)") }
    return RedoLog(
      directory: directory, base: base, schema: schema,
      last: Position(commit: base, base: base, end: end, checksum: checksum), file: file)
  }

  /// Opens a log whose header is damaged, at a position that is known from elsewhere.
  static func reopen(in directory: String, base: Int64, at position: Position) throws(RegistryError) -> RedoLog {
    let path = logPath(directory, base)
    let file = try files { () throws(SystemCallError) in try FileDescriptor.open(path, O_RDWR | O_NOFOLLOW) }
    return RedoLog(directory: directory, base: base, schema: 0, last: position, file: file)
  }

  // MARK: - Writing

  /// Where the next commit's line would end, for the catalogue to store within that commit.
  func next(_ statements: [RedoStatement]) -> (position: Position, line: [UInt8]) {
    let commit = last.commit + 1
    let (line, checksum) = Self.line(
      ["commit": .integer(commit), "run": .array(statements.map(\.json))], after: last.checksum)
    return (Position(commit: commit, base: base, end: last.end + line.count, checksum: checksum), line)
  }

  /// Makes a commit's line durable. Where that fails the line does not count.
  func append(_ line: [UInt8], _ position: Position) throws(RegistryError) {
    precondition(!mustRetract, "a line that must not count was not retracted")
    do throws(SystemCallError) {
      try FileSystem.naming(path) { () throws(SystemCallError) in
        try file.write(all: line, at: last.end)
        try file.synchronizeData()
      }
      last = position
    } catch {
      // A failed fsync says nothing of what the disk has, and the page cache has the line.
      try retract(to: last, because: .files(error))
      throw .files(error)
    }
  }

  /// Takes back the last line, whose commit the database refused.
  func retract(to position: Position, because error: RegistryError) throws(RegistryError) {
    last = position
    mustRetract = true
    do throws(RegistryError) { try settle() } catch { throw .unconfirmed(reason: "\(error)") }
  }

  /// Cuts off what must not count. Nothing may be written before this has succeeded.
  func settle() throws(RegistryError) {
    guard mustRetract else { return }
    try Self.files { () throws(SystemCallError) in
      try FileSystem.naming(path) { () throws(SystemCallError) in
        try file.truncate(to: last.end)
        try file.synchronizeData()
      }
    }
    mustRetract = false
  }

  // MARK: - Reading

  /// How many bytes there are.
  var size: Int {
    get throws(RegistryError) { try Self.files { () throws(SystemCallError) in try file.status().size } }
  }

  /// The lines after a position, in order. A last line without its end was being written when the machine stopped: nobody
  /// was told of its change, and it is cut off. Anything else that does not fit is damage.
  package func entries(
    after position: Position, _ body: (Entry) throws(RegistryError) -> Void
  ) throws(RegistryError) {
    last = position
    var reader = LineReader(file: file, path: path, offset: position.end, checksum: position.checksum)
    while let (json, end, checksum) = try reader.next() {
      let commit = last.commit + 1
      guard json["commit"]?.integerValue == commit, let list = json["run"]?.arrayValue else {
        throw .damagedLog(path: path, problem: "the line at byte \(last.end) is not that of commit \(commit)")
      }
      var statements: [RedoStatement] = []
      for item in list {
        guard let statement = RedoStatement(json: item) else {
          throw .damagedLog(path: path, problem: "the line of commit \(commit) holds what is no statement")
        }
        statements.append(statement)
      }
      last = Position(commit: commit, base: base, end: end, checksum: checksum)
      try body(Entry(position: last, statements: statements))
    }
    if reader.hasRest {
      mustRetract = true
      try settle()
    }
  }

  /// Reads the whole log for damage.
  func check() throws(RegistryError) {
    let log = try Self.open(in: directory, base: base)
    try log.entries(after: log.last) { (_) throws(RegistryError) in }
    guard log.last == last else {
      throw .damagedLog(path: path, problem: "it ends with change \(log.last.commit), and should with \(last.commit)")
    }
  }

  // MARK: - Lines

  private static func line(_ json: JSONObject, after checksum: String) -> (bytes: [UInt8], checksum: String) {
    let text = Array(JSONValue.object(json).jsonText.utf8)
    let own = Self.checksum(text, after: checksum)
    return (Array(own.utf8) + [0x20] + text + [0x0a], own)
  }

  fileprivate static func checksum(_ text: [UInt8], after previous: String) -> String {
    String(SHA256.digest(Array(previous.utf8) + text).hex.prefix(checksumDigits))
  }

  static func files<Value>(_ body: () throws(SystemCallError) -> Value) throws(RegistryError) -> Value {
    do throws(SystemCallError) { return try body() } catch { throw .files(error) }
  }

  /// Reads line after line and compares their checksums.
  private struct LineReader {
    let file: FileDescriptor
    let path: String
    /// Of the next line in the file.
    var offset: Int
    var checksum: String
    private var buffer: [UInt8] = []
    /// Where the next line begins in the buffer.
    private var start = 0

    init(file: FileDescriptor, path: String, offset: Int, checksum: String) {
      (self.file, self.path, self.offset, self.checksum) = (file, path, offset, checksum)
    }

    /// Whether something without an end is left, after `next` has returned nil.
    var hasRest: Bool { start < buffer.count }

    mutating func next() throws(RegistryError) -> (json: JSONValue, end: Int, checksum: String)? {
      var searched = start
      while true {
        if let newline = buffer[searched...].firstIndex(of: 0x0a) {
          let line = Array(buffer[start..<newline])
          start = newline + 1
          return try read(line)
        }
        buffer.removeSubrange(..<start)
        start = 0
        searched = buffer.count
        let (at, path) = (offset + searched, path)
        let more = try RedoLog.files { () throws(SystemCallError) in
          try FileSystem.naming(path) { () throws(SystemCallError) in try file.bytes(at: at, count: 1 << 20) }
        }
        if more.isEmpty { return nil }
        buffer += more
      }
    }

    private mutating func read(_ line: [UInt8]) throws(RegistryError) -> (json: JSONValue, end: Int, checksum: String) {
      let digits = RedoLog.checksumDigits
      let problem = "the line at byte \(offset) does not fit its checksum"
      guard line.count > digits, line[digits] == 0x20 else { throw .damagedLog(path: path, problem: problem) }
      let text = Array(line[(digits + 1)...])
      let own = RedoLog.checksum(text, after: checksum)
      guard own.utf8.elementsEqual(line[..<digits]) else { throw .damagedLog(path: path, problem: problem) }
      offset += line.count + 1
      checksum = own
      do throws(JSONError) {
        return (try parseJSON(String(decoding: text, as: UTF8.self), limits: .ofOurOwn), offset, own)
      } catch {
        throw .damagedLog(path: path, problem: "the line before byte \(offset): \(error)")
      }
    }
  }
}

/// A statement that changed something, with its values.
package struct RedoStatement: Equatable {
  var sql: String
  var values: [SQLValue]

  init(sql: String, values: [SQLValue]) {
    self.sql = sql
    self.values = values
  }

  package init?(json: JSONValue) {
    guard let parts = json.arrayValue, parts.count == 2, let sql = parts[0].stringValue,
      let values = parts[1].arrayValue
    else { return nil }
    self.sql = sql
    self.values = []
    for value in values {
      switch value {
      case .null: self.values.append(.null)
      case .integer(let number): self.values.append(.integer(number))
      case .string(let text): self.values.append(.text(text))
      case .bool, .number, .array, .object: return nil
      }
    }
  }

  package var json: JSONValue {
    let values = values.map { value -> JSONValue in
      switch value {
      case .null: return .null
      case .integer(let number): return .integer(number)
      case .text(let text): return .string(text)
      case .real, .blob: preconditionFailure("no column of the catalogue holds a real number or a blob: \(sql)")
      }
    }
    return .array([.string(sql), .array(values)])
  }
}
