/// Why a text is not the JSON that is accepted here, and where.
package struct JSONError: Error, Sendable, Equatable, CustomStringConvertible {
  /// For code that treats one cause differently; people read `problem`.
  package enum Kind: Sendable, Equatable {
    case syntax
    case unexpectedEnd
    case duplicateKey
    case badUTF8
    case numberRange
    case tooDeep
    case tooLarge
    case trailingBytes
  }

  package let kind: Kind
  /// Bytes from the start of the text.
  package let offset: Int
  /// From 1.
  package let line: Int
  /// From 1, in bytes.
  package let column: Int
  package let problem: String

  package init(kind: Kind, offset: Int, line: Int, column: Int, problem: String) {
    self.kind = kind
    self.offset = offset
    self.line = line
    self.column = column
    self.problem = problem
  }

  package var description: String { "line \(line), column \(column) (byte \(offset)): \(problem)" }
}

/// What a text may cost before it is refused.
package struct JSONLimits: Sendable {
  /// What becomes of an integer outside of Int64, and of what is no number of JSON or of a double.
  package enum OddNumbers: Sendable {
    case refused
    /// Integers are rounded to a double, for files of others: Hugging Face writes
    /// `"model_max_length": 1000000000000000019884624838656`.
    case integersRounded
    /// For rows of data, where a column that nobody uses may hold anything: what does not fit is its own digits, as a
    /// string, and NaN and the infinities, which Python and pandas write for what is missing, are null.
    case kept
  }

  package var maximumDepth = 32
  /// Members and elements of the whole text together.
  package var maximumMembers = 4_000_000
  package var maximumBytes = 64 << 20
  package var oddNumbers = OddNumbers.refused

  package init(
    maximumDepth: Int = 32, maximumMembers: Int = 4_000_000, maximumBytes: Int = 64 << 20,
    oddNumbers: OddNumbers = .refused
  ) {
    self.maximumDepth = maximumDepth
    self.maximumMembers = maximumMembers
    self.maximumBytes = maximumBytes
    self.oddNumbers = oddNumbers
  }
}

/// The two languages that are read here.
package enum JSONDialect: Sendable {
  /// RFC 8259 without its liberties: no duplicate keys, no BOM, no lone surrogates.
  case strict
  /// For what people write by hand: comments, trailing commas, unquoted keys, single quotes, hexadecimal, a leading `+`.
  /// Infinity and NaN stay refused.
  case json5
}

extension StringProtocol {
  /// The beginning of a text from outside, for a message: messages go into logs, tables and answers, and none of them is
  /// the place for a key of a megabyte.
  package var excerpt: String {
    let scalars = unicodeScalars.prefix(65)
    return scalars.count > 64 ? String(String.UnicodeScalarView(scalars.dropLast())) + "…" : String(self)
  }
}

extension Array<String> {
  /// The first ones, each by its beginning.
  package var excerpt: String {
    let shown = prefix(8).map(\.excerpt).joined(separator: ", ")
    return count > 8 ? "\(shown) and \(count - 8) more" : shown
  }
}

extension JSONValue {
  /// As text; of one that is long the beginning.
  package var excerpt: String { jsonText.excerpt }
}
