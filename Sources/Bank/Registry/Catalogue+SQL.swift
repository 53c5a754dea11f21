import SQLite
import StrictJSON

extension JSONLimits {
  /// Of what t2d wrote itself.
  static let ofOurOwn = JSONLimits(maximumDepth: 64, maximumMembers: 64 << 20, maximumBytes: Int.max)
}

/// A row's values, while it is read. Tables are STRICT and the database was checked when it was opened, so a column of
/// another type is damage: it is noted, and the query that met it fails as a whole.
final class StoredRow {
  fileprivate var values: [SQLValue] = []
  fileprivate var problem: String?

  /// The next row. Texts that are those of the row before are kept once: thousands of rows name one model's digest.
  fileprivate func take(_ next: [SQLValue]) {
    let before = values
    values = next
    for (column, old) in before.enumerated() {
      if case (.text(let old), .text(let new)) = (old, next[column]), sameName(old, new) { values[column] = .text(old) }
    }
  }

  func optionalText(_ column: Int) -> String? {
    switch values[column] {
    case .text(let text): return text
    case .null: return nil
    case .integer, .real, .blob:
      problem = "column \(column) is not a text"
      return nil
    }
  }

  func optionalInteger(_ column: Int) -> Int64? {
    switch values[column] {
    case .integer(let number): return number
    case .null: return nil
    case .text, .real, .blob:
      problem = "column \(column) is not an integer"
      return nil
    }
  }

  func text(_ column: Int) -> String {
    if let text = optionalText(column) { return text }
    problem = problem ?? "column \(column) is NULL"
    return ""
  }

  func integer(_ column: Int) -> Int64 {
    if let number = optionalInteger(column) { return number }
    problem = problem ?? "column \(column) is NULL"
    return 0
  }
}

extension Catalogue {
  /// Runs a statement that changes something. Within a transaction, which keeps it for the redo log.
  func run(_ sql: String, _ values: any SQLBindable...) throws(RegistryError) {
    try run(sql, values: values)
  }

  /// The same for values that come as a list.
  func run(_ sql: String, values: [any SQLBindable]) throws(RegistryError) {
    try each(sql, values) { _ in }
    note(RedoStatement(sql: sql, values: values.map(\.sqlValue)))
  }

  /// The rows of a query of `columns` columns, each read by `read`.
  func rows<Value>(
    _ sql: String, _ values: any SQLBindable..., read: (StoredRow) throws(RegistryError) -> Value
  ) throws(RegistryError) -> [Value] {
    try rows(sql, values: values, read: read)
  }

  /// The same for values that come as a list.
  func rows<Value>(
    _ sql: String, values: [any SQLBindable], read: (StoredRow) throws(RegistryError) -> Value
  ) throws(RegistryError) -> [Value] {
    var result: [Value] = []
    let stored = StoredRow()
    try each(sql, values) { (values) throws(RegistryError) in
      stored.take(values)
      result.append(try read(stored))
      if let problem = stored.problem { throw .damagedRow(table: sql, problem: problem) }
    }
    return result
  }

  /// The one integer that a query answers; 0 where it answers nothing.
  func integer(_ sql: String, _ values: any SQLBindable...) throws(RegistryError) -> Int64 {
    var number: Int64 = 0
    try each(sql, values) { if case .integer(let found)? = $0.first { number = found } }
    return number
  }

  /// The rest of a query whose reader failed is walked over: its rows are few.
  private func each(
    _ sql: String, _ values: [any SQLBindable], _ body: ([SQLValue]) throws(RegistryError) -> Void
  ) throws(RegistryError) {
    var failure: RegistryError?
    let connection = try database
    do throws(SQLiteError) {
      _ = try connection.query(sql, values: values) { row in
        guard failure == nil else { return }
        let values = (0..<row.columnCount).map { row.value($0) }
        do throws(RegistryError) { try body(values) } catch { failure = error }
      }
    } catch {
      throw .database(error)
    }
    if let failure { throw failure }
  }

  // MARK: - Columns that hold more than SQL knows

  func storedJSON(_ text: String, table: String) throws(RegistryError) -> JSONValue {
    do throws(JSONError) {
      // We wrote it: only its syntax is in question, and a result of many items is long.
      return try parseJSON(text, limits: .ofOurOwn)
    } catch {
      throw .damagedRow(table: table, problem: error.description)
    }
  }

  func storedObject(_ text: String, table: String) throws(RegistryError) -> JSONObject {
    guard case .object(let object) = try storedJSON(text, table: table) else {
      throw .damagedRow(table: table, problem: "an object was expected")
    }
    return object
  }

  func storedStrings(_ text: String, table: String) throws(RegistryError) -> [String] {
    let values = try storedJSON(text, table: table).arrayValue
    let texts = values?.compactMap(\.stringValue)
    guard let texts, texts.count == values?.count else {
      throw .damagedRow(table: table, problem: "a list of texts was expected")
    }
    return texts
  }

  func storedName<Name: RawRepresentable<String>>(_ text: String, table: String) throws(RegistryError) -> Name {
    guard let name = Name(rawValue: text) else {
      throw .damagedRow(table: table, problem: "'\(text)' is not a known word")
    }
    return name
  }
}
