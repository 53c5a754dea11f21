import CSQLite
import Glibc

/// A prepared statement, and while it runs the row that it stands on. Belongs to one `Connection` and its thread.
///
/// Safe, because its handle is private and lives exactly as long as this object, which its connection outlives.
@safe final class Statement {
  let sql: String
  private let handle: OpaquePointer
  private let connection: OpaquePointer
  private let path: String

  init(_ sql: String, connection: OpaquePointer, path: String) throws(SQLiteError) {
    var handle: OpaquePointer?
    var rest = ""
    var code: Int32 = SQLITE_OK
    var text = sql
    text.withUTF8 { utf8 in
      unsafe utf8.withMemoryRebound(to: CChar.self) { bytes in
        var tail: UnsafePointer<CChar>?
        code = unsafe sqlite3_prepare_v3(
          connection, bytes.baseAddress, Int32(clamping: bytes.count), UInt32(SQLITE_PREPARE_PERSISTENT), &handle, &tail
        )
        guard code == SQLITE_OK, let start = bytes.baseAddress, let end = unsafe tail else { return }
        let used = unsafe end - start
        rest = unsafe String(decoding: utf8[used...], as: UTF8.self)
      }
    }
    guard code == SQLITE_OK, let handle = unsafe handle else {
      throw unsafe Statement.error(
        code == SQLITE_OK ? SQLITE_MISUSE : code, sql: sql, connection: connection, path: path)
    }
    precondition(rest.allSatisfy(\.isWhitespace), "one statement at a time, got '\(sql)'")
    unsafe self.handle = handle
    unsafe self.connection = connection
    self.sql = sql
    self.path = path
  }

  deinit { unsafe sqlite3_finalize(handle) }

  func bind(_ values: [any SQLBindable]) throws(SQLiteError) {
    let wanted = Int(unsafe sqlite3_bind_parameter_count(handle))
    precondition(values.count == wanted, "'\(sql)' takes \(wanted) values, got \(values.count)")
    for (position, value) in values.enumerated() {
      let index = Int32(position + 1)
      let code =
        switch value.sqlValue {
        case .null: unsafe sqlite3_bind_null(handle, index)
        case .integer(let integer): unsafe sqlite3_bind_int64(handle, index, integer)
        case .real(let real): unsafe sqlite3_bind_double(handle, index, real)
        case .text(var text):
          text.withUTF8 { utf8 in
            unsafe utf8.withMemoryRebound(to: CChar.self) { bytes in
              // An empty buffer may have no address, and a null address would bind NULL.
              if bytes.isEmpty { return unsafe t2_sqlite_bind_text(handle, index, "", 0) }
              return unsafe t2_sqlite_bind_text(handle, index, bytes.baseAddress, UInt64(bytes.count))
            }
          }
        case .blob(let blob):
          blob.isEmpty
            ? unsafe sqlite3_bind_zeroblob(handle, index, 0)
            : unsafe t2_sqlite_bind_blob(handle, index, blob, UInt64(blob.count))
        }
      if code != SQLITE_OK { throw error(code) }
    }
  }

  /// True where it stands on a row, false at the end.
  func step() throws(SQLiteError) -> Bool {
    switch unsafe sqlite3_step(handle) {
    case SQLITE_ROW: return true
    case SQLITE_DONE: return false
    case let code: throw error(code)
    }
  }

  /// Ready to be bound and run again. What the last step returned is not reported twice. Returns how many operations of
  /// SQLite's virtual machine it took.
  func reset() -> Int {
    unsafe sqlite3_reset(handle)
    unsafe sqlite3_clear_bindings(handle)
    return Int(unsafe sqlite3_stmt_status(handle, SQLITE_STMTSTATUS_VM_STEP, 1))
  }

  var columnCount: Int { Int(unsafe sqlite3_column_count(handle)) }

  func columnName(_ index: Int) -> String {
    guard let name = unsafe sqlite3_column_name(handle, Int32(index)) else { return "#\(index)" }
    return unsafe String(cString: name)
  }

  func value(_ index: Int) -> SQLValue {
    precondition(index >= 0 && index < columnCount, "'\(sql)' has \(columnCount) columns, got index \(index)")
    let column = Int32(index)
    switch unsafe sqlite3_column_type(handle, column) {
    case SQLITE_INTEGER: return .integer(unsafe sqlite3_column_int64(handle, column))
    case SQLITE_FLOAT: return .real(unsafe sqlite3_column_double(handle, column))
    case SQLITE_TEXT:
      // The text first: sqlite3_column_bytes counts what the last conversion made.
      guard let text = unsafe sqlite3_column_text(handle, column) else { return .text("") }
      let count = Int(unsafe sqlite3_column_bytes(handle, column))
      return .text(unsafe String(decoding: UnsafeBufferPointer(start: text, count: count), as: UTF8.self))
    case SQLITE_BLOB:
      guard let bytes = unsafe sqlite3_column_blob(handle, column) else { return .blob([]) }
      let count = Int(unsafe sqlite3_column_bytes(handle, column))
      return .blob(unsafe [UInt8](UnsafeRawBufferPointer(start: bytes, count: count)))
    default: return .null
    }
  }

  private func error(_ code: Int32) -> SQLiteError {
    unsafe Statement.error(code, sql: sql, connection: connection, path: path)
  }

  /// A read that the disk refused, which SQLite takes for damage (its vdbe.c makes SQLITE_CORRUPT of
  /// SQLITE_IOERR_CORRUPTFS). It may pass: what is damaged is found again by the connection that is opened then.
  static func refusedRead(of connection: OpaquePointer, sql: String, path: String) -> SQLiteError? {
    let number = unsafe t2_sqlite_last_errno(connection)
    guard [EIO, ENXIO, ERANGE].contains(number) else { return nil }
    return .failed(code: SQLiteError.unreadable, message: "the disk cannot be read", sql: sql, path: path)
  }

  static func error(_ code: Int32, sql: String, connection: OpaquePointer, path: String) -> SQLiteError {
    if code & 0xFF == SQLITE_CORRUPT, let refusal = unsafe refusedRead(of: connection, sql: sql, path: path) {
      return refusal
    }
    let extended = unsafe sqlite3_extended_errcode(connection)
    let message = unsafe String(cString: sqlite3_errmsg(connection))
    return .failed(code: extended & 0xFF == code & 0xFF ? extended : code, message: message, sql: sql, path: path)
  }
}
