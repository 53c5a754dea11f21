import Engines

extension ScoringItem {
  /// Throws where a model of that shape cannot score it; `index` is its number in messages.
  func check(index: Int, shape: ModelShape) throws(EngineError) {
    try check(index: index, vocabulary: shape.vocabulary, context: shape.context)
  }
}

/// Items as one batch, and where to find their answers among its output rows.
struct ItemBatch: Sendable {
  /// A log-probability of the batch: of target `index` after output row `row`.
  struct LogProbIndex: Sendable, Equatable {
    var row: Int
    var index: Int
  }

  private(set) var batch = TokenBatch()
  /// For each output row the tokens asked for.
  private(set) var targets: [[Int32]] = []
  /// (items, continuations, tokens)
  private(set) var logProbIndices: [[[LogProbIndex]]]
  /// (items, continuations), or nothing for an item without
  private let leads: [[Int]]

  /// A common beginning of prompts shorter than this is cheaper computed again than attended to as a part of its own.
  private static let shortestPrefix = 2

  /// - Parameter views: for each item -1 for dense weights, or the index of its vector; ascending.
  init(_ items: [ScoringItem], views: [Int]) {
    logProbIndices = items.map { $0.continuations.map { _ in [] } }
    leads = items.map(\.leads)
    var first = 0
    while first < items.count {
      var end = first + 1
      while end < items.count, views[end] == views[first] { end += 1 }
      append(items, first..<end, view: views[first])
      first = end
    }
  }

  /// One item whose prompt has its first `cache.count` tokens in a cache.
  init(_ item: ScoringItem, after cache: KeyValueCache, view: Int) {
    logProbIndices = [item.continuations.map { _ in [] }]
    leads = [item.leads]
    batch.caches = [cache]
    let prompt = batch.append(
      item.prompt[cache.count...], start: cache.count, outputCount: 1, view: view, cache: 0)
    targets.append([])
    append(item, 0, after: prompt, row: 0, view: view)
  }

  private mutating func append(_ items: [ScoringItem], _ range: Range<Int>, view: Int) {
    let range = range.filter { !items[$0].continuations.isEmpty }
    let prefix = Self.commonPrefix(range.map { items[$0].prompt })
    var root: Int? = nil
    if let first = range.first, prefix > 0 {
      root = batch.append(items[first].prompt.prefix(prefix), outputCount: 0, view: view)
    }
    var prompts: [Int] = []
    var promptRows: [Int] = []
    for item in range {
      prompts.append(batch.append(items[item].prompt.dropFirst(prefix), parent: root, outputCount: 1, view: view))
      promptRows.append(targets.count)
      targets.append([])
    }
    for (number, item) in range.enumerated() {
      append(items[item], item, after: prompts[number], row: promptRows[number], view: view)
    }
  }

  /// The continuations of an item whose prompt ends with the segment `prompt`, at the output row `row`.
  private mutating func append(_ item: ScoringItem, _ number: Int, after prompt: Int, row: Int, view: Int) {
    for (index, continuation) in item.continuations.enumerated() {
      logProbIndices[number][index].append(LogProbIndex(row: row, index: targets[row].count))
      targets[row].append(continuation[0])
      guard continuation.count > 1 else { continue }
      let inner = continuation.dropLast()
      _ = batch.append(inner, parent: prompt, outputCount: inner.count, view: view)
      for token in continuation.dropFirst() {
        logProbIndices[number][index].append(LogProbIndex(row: targets.count, index: 0))
        targets.append([token])
      }
    }
  }

  /// How many tokens all prompts begin with; each keeps one of its own, and 0 where sharing does not pay.
  private static func commonPrefix(_ prompts: [[Int32]]) -> Int {
    guard prompts.count > 1, let first = prompts.first else { return 0 }
    var length = (prompts.map(\.count).min() ?? 0) - 1
    for prompt in prompts {
      length = min(length, zip(first.prefix(length), prompt).prefix { $0 == $1 }.count)
    }
    return length >= shortestPrefix ? length : 0
  }

  /// (items, continuations) from the log-probabilities of the output rows.
  func scores(_ logprobs: [[Float]]) -> [[ContinuationScore]] {
    zip(logProbIndices, leads).map { item, leads in
      item.indices.map { index in
        ContinuationScore(
          logprobs: item[index].map { logprobs[$0.row][$0.index] }, lead: leads.isEmpty ? 0 : leads[index])
      }
    }
  }
}

/// Cuts items into consecutive chunks of at most `rowLimit` rows, or of one item.
func chunks(_ items: [ScoringItem], rowLimit: Int) -> [Range<Int>] {
  var result: [Range<Int>] = []
  var start = 0
  var rows = 0
  for (index, item) in items.enumerated() {
    if index > start, rows + item.rowCount > rowLimit {
      result.append(start..<index)
      start = index
      rows = 0
    }
    rows += item.rowCount
  }
  if start < items.count { result.append(start..<items.count) }
  return result
}
