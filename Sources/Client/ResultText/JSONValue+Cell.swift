package import StrictJSON

extension JSONValue {
  /// A value in a cell: strings as they are, numbers short, lists and objects as JSON.
  package var cell: String {
    switch self {
    case .null: "-"
    case .bool(let value): value ? "yes" : "no"
    case .integer(let value): "\(value)"
    case .number(let value): fixed(value, abs(value) < 1 ? 4 : 3)
    case .string(let text): text
    case .array(let items):
      items.allSatisfy { $0.arrayValue == nil && $0.objectValue == nil }
        ? items.map(\.cell).joined(separator: ", ") : jsonText
    case .object: jsonText
    }
  }
}

extension JSONValue? {
  package var cell: String { self?.cell ?? "-" }
}
