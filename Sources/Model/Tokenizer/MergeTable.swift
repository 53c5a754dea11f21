/// What two neighbouring tokens become, and how early: the merges of BPE by the pair of ids.
struct MergeTable: Sendable {
  static let noRank = Int32.max

  private var keys: [UInt64]  // left << 32 | right; open addressing, `free` is free
  private var ranks: [Int32]
  private var results: [Int32]
  private let multiplier = UInt64.random(in: 0 ... .max) | 1
  private let shift: UInt64
  /// Whether some merge has "▁" at the beginning of its right part and something else at the end of its left one. Where
  /// none has, no merge crosses the place before a "▁" that follows something else.
  private(set) var joinsBeforeBlank = false
  private static let free = UInt64.max  // ids are below 2^31, so no pair is this

  private init(atMost count: Int) throws(TokenizerError) {
    guard count <= Vocabulary.maximumMerges else {
      throw .tooMany(what: "merges", found: count, allowed: Vocabulary.maximumMerges)
    }
    var bits: UInt64 = 4
    while 1 << bits < count * 2 { bits += 1 }
    let capacity = 1 << Int(bits)
    keys = [UInt64](repeating: Self.free, count: capacity)
    ranks = [Int32](repeating: Self.noRank, count: capacity)
    results = [Int32](repeating: -1, count: capacity)
    shift = 64 - bits
  }

  /// `merges[rank]` is "left right", both as the vocabulary writes them, where a blank is another character.
  init(merges: [String], vocabulary: Vocabulary) throws(TokenizerError) {
    try self.init(atMost: merges.count)
    var text: [UInt8] = []
    var last: Int32?
    for (rank, merge) in merges.enumerated() {
      text.removeAll(keepingCapacity: true)
      text.append(contentsOf: merge.utf8)
      guard let space = text.firstIndex(of: 0x20), space > 0, space + 1 < text.count else {
        throw .malformedMerge(index: rank, text: merge)
      }
      text.remove(at: space)
      try insert(text, leftCount: space, rank: rank, last: &last, vocabulary)
    }
  }

  /// `parts[2 * rank]` and `parts[2 * rank + 1]` are merged.
  init(parts: [String], vocabulary: Vocabulary) throws(TokenizerError) {
    precondition(parts.count % 2 == 0, "\(parts.count) parts are not the parts of pairs")
    try self.init(atMost: parts.count / 2)
    var text: [UInt8] = []
    var last: Int32?
    for rank in 0..<(parts.count / 2) {
      text.removeAll(keepingCapacity: true)
      text.append(contentsOf: parts[2 * rank].utf8)
      let leftCount = text.count
      text.append(contentsOf: parts[2 * rank + 1].utf8)
      guard leftCount > 0, text.count > leftCount else {
        throw .malformedMerge(index: rank, text: parts[2 * rank] + " " + parts[2 * rank + 1])
      }
      try insert(text, leftCount: leftCount, rank: rank, last: &last, vocabulary)
    }
  }

  private mutating func insert(
    _ text: [UInt8], leftCount: Int, rank: Int, last: inout Int32?, _ vocabulary: Vocabulary
  ) throws(TokenizerError) {
    func shown(_ range: Range<Int>) -> String { String(decoding: text[range], as: UTF8.self) }
    func merge() -> String { shown(0..<leftCount) + " " + shown(leftCount..<text.count) }
    func id(_ range: Range<Int>) throws(TokenizerError) -> Int32 {
      if let id = vocabulary.id(ofText: text[range]) { return id }
      throw .unknownTokenInMerge(index: rank, text: merge(), token: shown(range))
    }
    let left = try id(0..<leftCount)
    let right = try id(leftCount..<text.count)
    // All splits of a token follow each other as a rule.
    let result: Int32
    if let last, vocabulary.textOfToken(Int(last)).elementsEqual(text) {
      result = last
    } else {
      result = try id(0..<text.count)
    }
    last = result
    // What a user writes never becomes a control token, whatever the merges say.
    guard vocabulary.kinds[Int(result)].isText else { return }
    guard insert(left, right, result: result, rank: Int32(rank), vocabulary) else {
      throw .duplicateMerge(index: rank, text: merge())
    }
  }

  /// Of SentencePiece's scores, one for each token: two neighbours whose joined text is a token are merged, the highest
  /// score first and the leftmost where scores are equal. So the merges are all splits of tokens into two tokens, and
  /// equal scores have one rank.
  init(scores: [Double], vocabulary: Vocabulary) throws(TokenizerError) {
    guard scores.count == vocabulary.count else {
      throw .scoreCount(scores: scores.count, tokens: vocabulary.count)
    }
    if let bad = scores.firstIndex(where: \.isNaN) { throw .score(index: bad, found: scores[bad]) }
    var splits: [(left: Int32, right: Int32, result: Int32)] = []
    for index in 0..<vocabulary.count where vocabulary.kinds[index].isText {
      let text = vocabulary.textOfToken(index)
      guard text.count <= Vocabulary.maximumScoredLength else {
        throw .tooLong(
          index: index, bytes: text.count, allowed: Vocabulary.maximumScoredLength,
          why: "where tokens are merged by their scores")
      }
      vocabulary.forEachSplit(of: text) { splits.append(($0, $1, Int32(index))) }
      guard splits.count <= Vocabulary.maximumMerges else {
        throw .tooMany(what: "merges", found: splits.count, allowed: Vocabulary.maximumMerges)
      }
    }
    try self.init(atMost: splits.count)
    var ranks: [Double: Int32] = [:]
    for score in Set(splits.map { scores[Int($0.result)] }).sorted(by: >) { ranks[score] = Int32(ranks.count) }
    for split in splits {
      _ = insert(
        split.left, split.right, result: split.result, rank: ranks[scores[Int(split.result)]] ?? 0, vocabulary)
    }
  }

  /// False, and nothing inserted, where the pair is there.
  private mutating func insert(
    _ left: Int32, _ right: Int32, result: Int32, rank: Int32, _ vocabulary: Vocabulary
  ) -> Bool {
    let key = Self.key(left, right)
    var slot = Int(truncatingIfNeeded: (key &* multiplier) >> shift)
    while keys[slot] != Self.free {
      if keys[slot] == key { return false }
      slot = (slot + 1) & (keys.count - 1)
    }
    keys[slot] = key
    ranks[slot] = rank
    results[slot] = result
    if !joinsBeforeBlank {
      joinsBeforeBlank =
        BlankMark.begins(vocabulary.textOfToken(Int(right))) && !BlankMark.ends(vocabulary.textOfToken(Int(left)))
    }
    return true
  }

  @inline(__always)
  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  /// The rank and result of a pair; `noRank` where it never merges.
  @inline(__always)
  func lookUp(_ left: Int32, _ right: Int32) -> (rank: Int32, result: Int32) {
    let key = Self.key(left, right)
    var slot = Int(truncatingIfNeeded: (key &* multiplier) >> shift)
    while keys[slot] != Self.free {
      if keys[slot] == key { return (ranks[slot], results[slot]) }
      slot = (slot + 1) & (keys.count - 1)
    }
    return (Self.noRank, -1)
  }
}
