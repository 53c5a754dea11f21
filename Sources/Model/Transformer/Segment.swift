internal import Multipliers

/// A run of consecutive tokens of a ``TokenBatch``. A row attends to all rows of its segment's ancestors, to what the
/// cache of its segment already holds, and to the rows of its own segment up to itself. So a question is one segment and
/// each of its answers a child of it, and what all questions begin with is the parent of the questions: nothing is
/// computed twice and nothing is padded.
struct Segment: Sendable {
  var parent: Int?
  /// Position of the first row in its sequence: as many tokens come before it.
  var start: Int
  /// Its rows in the batch.
  var rows: Range<Int>
  /// How many of its last rows need logits.
  var outputCount: Int
  /// Index of the view under which it is computed: -1 for the base, else an index of the batch's vectors. A segment and
  /// its ancestors have the same.
  var view: Int
  /// The cache that holds what comes before `start` and takes the keys and values of these rows.
  var cache: Int?
}

/// A set of rows, by their numbers, that one kind of weights is applied to.
struct RowGroup: Sendable, Equatable {
  var rows: Range<Int>
  /// False: the dense weights. True: the factored form, with a vector of multipliers for each row.
  var factored: Bool
}

/// The tokens of one forward pass as a tree of segments.
struct TokenBatch: Sendable {
  private(set) var tokens: [Int32] = []
  private(set) var positions: [Int] = []
  private(set) var views: [Int] = []  // of each row
  private(set) var segments: [Segment] = []
  var vectors: [MultiplierVector] = []
  var caches: [KeyValueCache] = []

  /// Appends a segment and returns its index. Segments of the base come before those of any vector, and siblings best
  /// next to each other: their attention to their parent is then one product.
  mutating func append<Tokens: Collection<Int32>>(
    _ ids: Tokens, parent: Int? = nil, start: Int? = nil, outputCount: Int, view: Int, cache: Int? = nil
  ) -> Int {
    precondition(!ids.isEmpty && outputCount <= ids.count, "a segment needs rows, and no more outputs than rows")
    precondition(views.last.map { $0 < 0 || view >= 0 } ?? true, "segments of the base come first")
    let start = start ?? parent.map { segments[$0].start + segments[$0].rows.count } ?? 0
    let rows = tokens.count..<tokens.count + ids.count
    tokens.append(contentsOf: ids)
    positions.append(contentsOf: start..<start + ids.count)
    views.append(contentsOf: repeatElement(view, count: ids.count))
    segments.append(
      Segment(parent: parent, start: start, rows: rows, outputCount: outputCount, view: view, cache: cache))
    return segments.count - 1
  }
}
