/// The row that a query stands on, valid during the call of the closure that got it. Columns count from 0.
package struct Row: ~Copyable {
  let statement: Statement

  package var columnCount: Int { statement.columnCount }

  package func value(_ index: Int) -> SQLValue { statement.value(index) }

  package func isNull(_ index: Int) -> Bool { statement.value(index) == .null }

  package func integer(_ index: Int) throws(SQLiteError) -> Int64 {
    guard let value = try optionalInteger(index) else { throw wrongType(index, .null, "an integer") }
    return value
  }

  /// An integer where it fits into `Int`, as it does on every machine this runs on.
  package func int(_ index: Int) throws(SQLiteError) -> Int { Int(truncatingIfNeeded: try integer(index)) }

  package func bool(_ index: Int) throws(SQLiteError) -> Bool { try integer(index) != 0 }

  package func real(_ index: Int) throws(SQLiteError) -> Double {
    guard let value = try optionalReal(index) else { throw wrongType(index, .null, "a real number") }
    return value
  }

  package func text(_ index: Int) throws(SQLiteError) -> String {
    guard let value = try optionalText(index) else { throw wrongType(index, .null, "text") }
    return value
  }

  package func blob(_ index: Int) throws(SQLiteError) -> [UInt8] {
    guard let value = try optionalBlob(index) else { throw wrongType(index, .null, "a blob") }
    return value
  }

  package func optionalInteger(_ index: Int) throws(SQLiteError) -> Int64? {
    switch statement.value(index) {
    case .null: return nil
    case .integer(let value): return value
    case let other: throw wrongType(index, other, "an integer")
    }
  }

  package func optionalReal(_ index: Int) throws(SQLiteError) -> Double? {
    switch statement.value(index) {
    case .null: return nil
    case .real(let value): return value
    case .integer(let value): return Double(value)
    case let other: throw wrongType(index, other, "a real number")
    }
  }

  package func optionalText(_ index: Int) throws(SQLiteError) -> String? {
    switch statement.value(index) {
    case .null: return nil
    case .text(let value): return value
    case let other: throw wrongType(index, other, "text")
    }
  }

  package func optionalBlob(_ index: Int) throws(SQLiteError) -> [UInt8]? {
    switch statement.value(index) {
    case .null: return nil
    case .blob(let value): return value
    case let other: throw wrongType(index, other, "a blob")
    }
  }

  private func wrongType(_ index: Int, _ found: SQLValue, _ expected: String) -> SQLiteError {
    .columnType(
      sql: statement.sql, column: statement.columnName(index), found: found.phrase, expected: expected)
  }
}
