/// What two neighbouring tokens become, and how early: the merges of byte-level BPE by the pair of ids.
struct MergeTable: Sendable {
  static let noRank = Int32.max

  private let keys: [UInt64]  // left << 32 | right; open addressing, `free` is free
  private let ranks: [Int32]
  private let results: [Int32]
  private let multiplier: UInt64
  private let shift: UInt64
  private static let free = UInt64.max  // ids are below 2^31, so no pair is this

  /// `merges[rank]` is "left right", both in the byte alphabet, which has no space.
  init(merges: [String], vocabulary: Vocabulary) throws(TokenizerError) {
    guard merges.count <= Vocabulary.maximumMerges else {
      throw .tooMany(what: "merges", found: merges.count, allowed: Vocabulary.maximumMerges)
    }
    var bits: UInt64 = 4
    while 1 << bits < merges.count * 2 { bits += 1 }
    let capacity = 1 << Int(bits)
    var keys = [UInt64](repeating: Self.free, count: capacity)
    var ranks = [Int32](repeating: Self.noRank, count: capacity)
    var results = [Int32](repeating: -1, count: capacity)
    let multiplier = UInt64.random(in: 0 ... .max) | 1
    let shift = 64 - bits

    for (rank, merge) in merges.enumerated() {
      let text = [UInt8](merge.utf8)
      guard let space = text.firstIndex(of: 0x20), space > 0, space + 1 < text.count else {
        throw .malformedMerge(index: rank, text: merge)
      }
      func id(_ part: ArraySlice<UInt8>) throws(TokenizerError) -> Int32 {
        if let id = vocabulary.id(ofText: part) { return id }
        throw .unknownTokenInMerge(index: rank, text: merge, token: String(decoding: part, as: UTF8.self))
      }
      let left = try id(text[..<space])
      let right = try id(text[(space + 1)...])
      var joined = text
      joined.remove(at: space)
      let result = try id(joined[...])

      let key = UInt64(left) << 32 | UInt64(right)
      var slot = Int(truncatingIfNeeded: (key &* multiplier) >> shift)
      while keys[slot] != Self.free {
        if keys[slot] == key { throw .duplicateMerge(index: rank, text: merge) }
        slot = (slot + 1) & (capacity - 1)
      }
      keys[slot] = key
      ranks[slot] = Int32(rank)
      results[slot] = result
    }
    self.keys = keys
    self.ranks = ranks
    self.results = results
    self.multiplier = multiplier
    self.shift = shift
  }

  /// The rank and result of a pair; `noRank` where it never merges.
  @inline(__always)
  func lookUp(_ left: Int32, _ right: Int32) -> (rank: Int32, result: Int32) {
    let key = UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    var slot = Int(truncatingIfNeeded: (key &* multiplier) >> shift)
    while keys[slot] != Self.free {
      if keys[slot] == key { return (ranks[slot], results[slot]) }
      slot = (slot + 1) & (keys.count - 1)
    }
    return (Self.noRank, -1)
  }
}
