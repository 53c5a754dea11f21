package import Records

/// How a list is asked for. Every method that answers with a list takes these, and says with `next` that there is more.
package struct PageParameters: Record {
  @Setting("at most N rows; a page has \(Self.maximumRows) at most, and fewer where they are large", 1...10_000)
  package var limit = Self.maximumRows
  @Setting("the rows behind this place: next of the page before") package var after: String?
  package init() {}

  /// Of one page, whatever is asked: what it costs to answer is bounded.
  package static let maximumRows = 1000
}

/// A page of a list.
package protocol PagedResult: Codable, Sendable {
  /// Where the next page begins: to be sent as `after`. Absent where this one is the last.
  var next: String? { get set }

  /// Takes the rows of the page that follows.
  mutating func append(_ page: Self)

  /// How many rows there are, of all lists together.
  var rowCount: Int { get }
}
