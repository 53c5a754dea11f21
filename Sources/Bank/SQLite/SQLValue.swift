/// One value of a column.
package enum SQLValue: Equatable, Sendable {
  case null
  case integer(Int64)
  case real(Double)
  case text(String)
  case blob([UInt8])

  /// For messages: "an integer".
  var phrase: String {
    switch self {
    case .null: "NULL"
    case .integer: "an integer"
    case .real: "a real number"
    case .text: "text"
    case .blob: "a blob"
    }
  }
}

/// What can be bound to a `?` of a statement.
package protocol SQLBindable {
  var sqlValue: SQLValue { get }
}

extension SQLValue: SQLBindable {
  package var sqlValue: SQLValue { self }
}
extension Int: SQLBindable {
  package var sqlValue: SQLValue { .integer(Int64(self)) }
}
extension Int64: SQLBindable {
  package var sqlValue: SQLValue { .integer(self) }
}
extension Bool: SQLBindable {
  package var sqlValue: SQLValue { .integer(self ? 1 : 0) }
}
extension Double: SQLBindable {
  package var sqlValue: SQLValue { .real(self) }
}
extension String: SQLBindable {
  package var sqlValue: SQLValue { .text(self) }
}
extension Array: SQLBindable where Element == UInt8 {
  package var sqlValue: SQLValue { .blob(self) }
}
extension Optional: SQLBindable where Wrapped: SQLBindable {
  package var sqlValue: SQLValue { self?.sqlValue ?? .null }
}
