import Records
import RPCProtocol
import Registry
import StrictJSON
import SystemSupport

/// One page of a list, or of lists that follow each other.
///
/// A page ends at the limit or at its bytes, so that no answer is too large to be sent. What follows is found by the place of
/// its last row, and not by counting: rows that come and go between two pages move no other.
struct Page {
  /// Where a row stands: what its list is ordered by.
  enum Key {
    case name(String)
    /// Of a list that begins with the largest.
    case newest(Int64)
    case number(Int64)

    var text: String {
      switch self {
      case .name(let name): name
      case .newest(let number), .number(let number): "\(number)"
      }
    }

    /// Whether it stands before, at or behind what the text of another one says; nil where that is of no such row.
    func order(to text: String) -> Int? {
      func compare<Value: Comparable>(_ a: Value, _ b: Value) -> Int { a == b ? 0 : a < b ? -1 : 1 }
      switch self {
      case .name(let name):
        if name.utf8.elementsEqual(text.utf8) { return 0 }
        return name.utf8.lexicographicallyPrecedes(text.utf8) ? -1 : 1
      case .number(let number): return Int64(text).map { compare(number, $0) }
      case .newest(let number): return Int64(text).map { compare($0, number) }
      }
    }
  }

  static let maximumBytes = 1 << 20

  /// The list of the last row of the page before, and its place there.
  private let after: (list: Int, place: [String])?
  private var bytes = 0
  private(set) var rowsLeft: Int
  private var last: String?
  /// Set where a row did not fit.
  private(set) var next: String?

  init(_ asked: PageParameters) throws(RPCError) {
    rowsLeft = min(asked.limit, PageParameters.maximumRows)
    guard let text = asked.after else {
      after = nil
      return
    }
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { String($0) }
    guard let list = Int(parts[0]), parts.count > 1 else { throw Self.unknown(text) }
    after = (list, Array(parts.dropFirst()))
  }

  /// The first rows of a list, so many at most.
  init(rows: Int) {
    rowsLeft = rows
    after = nil
  }

  private static func unknown(_ text: String) -> RPCError {
    RPCError(.invalidParams, "'after' is \(quoted(text)), which is no 'next' of this list's pages")
  }

  /// For a list that is read from the catalogue: the number that `newest` compared with, so that only what follows is read;
  /// and nil for how many rows where nothing of the list belongs to this page.
  func wanted(list: Int = 0) -> (before: Int64?, limit: Int)? {
    guard next == nil else { return nil }
    guard let after, list <= after.list else { return (nil, rowsLeft + 1) }
    return list < after.list ? nil : (after.place.last.flatMap { Int64($0) } ?? 0, rowsLeft + 1)
  }

  /// A list of the snapshot from where this page begins, which is found without walking what is before. `place` reads the
  /// place of a row.
  func values<Value: Placed>(
    of all: SortedChunks<Value>, list: Int = 0, _ place: ([String]) -> Value.Place?
  ) -> SortedChunks<Value>.SubSequence {
    guard let after, after.list == list, let start = place(after.place) else { return all[...] }
    return all.from(start)
  }

  /// The rows of a list that belong to this page. The lists of one answer are numbered, and taken in that order; the
  /// elements come in the order of their keys.
  mutating func rows<Element, Row: Encodable>(
    list: Int = 0, of elements: some Sequence<Element>, by key: (Element) -> [Key],
    _ row: (Element) throws(RPCError) -> Row
  ) throws(RPCError) -> [Row] {
    var rows: [Row] = []
    guard next == nil, list >= after?.list ?? 0 else { return rows }
    for element in elements {
      let place = key(element)
      if let after, after.list == list, try !isBehind(place, after.place) { continue }
      let shown = try row(element)
      let size = RecordWriter.json(shown).serialized().count
      if let last, rowsLeft == 0 || bytes + size > Self.maximumBytes {
        next = last
        break
      }
      rows.append(shown)
      rowsLeft -= 1
      bytes += size
      last = "\(list)/" + place.map(\.text).joined(separator: "/")
    }
    return rows
  }

  private func isBehind(_ place: [Key], _ other: [String]) throws(RPCError) -> Bool {
    guard place.count == other.count else { throw Self.unknown(other.joined(separator: "/")) }
    for (key, text) in zip(place, other) {
      guard let order = key.order(to: text) else { throw Self.unknown(other.joined(separator: "/")) }
      if order != 0 { return order > 0 }
    }
    return false
  }
}
