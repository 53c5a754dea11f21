import CSQLite

/// What went wrong with a database: the statement, the file, SQLite's own words and number, and what to do.
package enum SQLiteError: Error, Equatable, CustomStringConvertible {
  /// SQLite refused a statement. `code` is the extended result code.
  case failed(code: Int32, message: String, sql: String, path: String)
  case cannotOpen(code: Int32, message: String, path: String)
  /// Another program's database.
  case foreignFile(path: String, applicationID: Int32)
  /// Written by a newer program; it was left as it is.
  case newerVersion(path: String, found: Int, known: Int)
  case migrationFailed(path: String, version: Int, name: String, reason: String)
  case backupFailed(path: String, reason: String)
  /// A column holds another type than the code expects.
  case columnType(sql: String, column: String, found: String, expected: String)
  case noRow(sql: String)
  case corrupt(path: String, problems: [String])

  package var description: String {
    switch self {
    case .failed(let code, let message, let sql, let path):
      "cannot run \"\(Self.oneLine(sql))\" on '\(path)': \(message) (\(Self.name(of: code)))\(Self.advice(code))"
    case .cannotOpen(let code, let message, let path):
      "cannot open the database '\(path)': \(message) (\(Self.name(of: code)))\(Self.advice(code))"
    case .foreignFile(let path, let id):
      "'\(path)' is another program's database (application id \(id)); it was left as it is: move it away"
    case .newerVersion(let path, let found, let known):
      "the database '\(path)' has version \(found), this program knows versions up to \(known); "
        + "it was left as it is: run the newer program, or restore a backup of version \(known) or older"
    case .migrationFailed(let path, let version, let name, let reason):
      "cannot bring the database '\(path)' to version \(version) (\(name)): \(reason); "
        + "it stays at version \(version - 1)"
    case .backupFailed(let path, let reason):
      "cannot write the backup '\(path)': \(reason)"
    case .columnType(let sql, let column, let found, let expected):
      "column '\(column)' of \"\(Self.oneLine(sql))\" holds \(found), expected \(expected)"
    case .noRow(let sql):
      "\"\(Self.oneLine(sql))\" found no row, expected one"
    case .corrupt(let path, let problems):
      "the database '\(path)' is damaged: \(problems.prefix(3).joined(separator: "; ")); "
        + "keep it for repair and restore the newest backup"
    }
  }

  /// SQLITE_IOERR_CORRUPTFS, which is no number that Swift imports.
  static let unreadable: Int32 = 8458

  /// The file is not what SQLite wrote.
  package var isDamage: Bool {
    switch self {
    case .corrupt: true
    case .failed(let code, _, _, _), .cannotOpen(let code, _, _):
      [SQLITE_CORRUPT, SQLITE_NOTADB].contains(code & 0xFF)
    case .foreignFile, .newerVersion, .migrationFailed, .backupFailed, .columnType, .noRow: false
    }
  }

  /// The disk or its file system refused, which may pass.
  package var isOfTheDisk: Bool {
    switch self {
    case .failed(let code, _, _, _), .cannotOpen(let code, _, _):
      [SQLITE_IOERR, SQLITE_FULL, SQLITE_NOMEM, SQLITE_CANTOPEN, SQLITE_READONLY, SQLITE_PERM].contains(code & 0xFF)
    case .backupFailed: true
    case .corrupt, .foreignFile, .newerVersion, .migrationFailed, .columnType, .noRow: false
    }
  }

  /// "SQLITE_CONSTRAINT_UNIQUE 2067"; an extended code without a name here goes by its primary one.
  static func name(of code: Int32) -> String {
    let name =
      switch code {
      case 275: "SQLITE_CONSTRAINT_CHECK"
      case 787: "SQLITE_CONSTRAINT_FOREIGNKEY"
      case 1299: "SQLITE_CONSTRAINT_NOTNULL"
      case 1555: "SQLITE_CONSTRAINT_PRIMARYKEY"
      case 1811: "SQLITE_CONSTRAINT_TRIGGER"
      case 2067: "SQLITE_CONSTRAINT_UNIQUE"
      case 3091: "SQLITE_CONSTRAINT_DATATYPE"
      case 266: "SQLITE_IOERR_READ"
      case unreadable: "SQLITE_IOERR_CORRUPTFS"
      case 522: "SQLITE_IOERR_SHORT_READ"
      case 778: "SQLITE_IOERR_WRITE"
      case 1034: "SQLITE_IOERR_FSYNC"
      case 1290: "SQLITE_IOERR_DIR_FSYNC"
      default:
        switch code & 0xFF {
        case SQLITE_ERROR: "SQLITE_ERROR"
        case SQLITE_PERM: "SQLITE_PERM"
        case SQLITE_BUSY: "SQLITE_BUSY"
        case SQLITE_LOCKED: "SQLITE_LOCKED"
        case SQLITE_NOMEM: "SQLITE_NOMEM"
        case SQLITE_READONLY: "SQLITE_READONLY"
        case SQLITE_IOERR: "SQLITE_IOERR"
        case SQLITE_CORRUPT: "SQLITE_CORRUPT"
        case SQLITE_FULL: "SQLITE_FULL"
        case SQLITE_CANTOPEN: "SQLITE_CANTOPEN"
        case SQLITE_TOOBIG: "SQLITE_TOOBIG"
        case SQLITE_CONSTRAINT: "SQLITE_CONSTRAINT"
        case SQLITE_MISMATCH: "SQLITE_MISMATCH"
        case SQLITE_MISUSE: "SQLITE_MISUSE"
        case SQLITE_RANGE: "SQLITE_RANGE"
        case SQLITE_NOTADB: "SQLITE_NOTADB"
        default: "SQLite"
        }
      }
    return "\(name) \(code)"
  }

  private static func advice(_ code: Int32) -> String {
    switch code & 0xFF {
    case SQLITE_BUSY: "; another process has it open: is a second daemon running, or the sqlite3 shell?"
    case SQLITE_FULL: "; free some space on that file system"
    case SQLITE_CORRUPT, SQLITE_NOTADB: "; keep the file for repair and restore the newest backup"
    case SQLITE_CANTOPEN, SQLITE_PERM, SQLITE_READONLY:
      "; check that its directory exists and that this user may write there"
    case SQLITE_IOERR: "; look for disk errors in the kernel's log"
    default: ""
    }
  }

  private static func oneLine(_ sql: String) -> String {
    let words = sql.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    return words.count <= 200 ? words : words.prefix(199) + "…"
  }
}
