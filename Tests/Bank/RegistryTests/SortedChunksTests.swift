import Testing

@testable import Registry

private struct Item: Placed, Equatable {
  var place: Int
  var text: String
}

@Suite struct SortedChunksTests {
  @Test(arguments: [1, 2, 3] as [UInt64])
  func itIsASortedArrayUnderRandomChanges(seed: UInt64) {
    var random = Seeded(seed)
    var chunks = SortedChunks<Item>()
    var twin: [Item] = []
    var versions: [(SortedChunks<Item>, [Item])] = []
    for step in 0..<6000 {
      // A phase of growth, one of change, one of decline.
      let place = Int(random.next() % 2000)
      let removes = random.next() % 10 < (step < 3000 ? 1 : step < 4000 ? 5 : 9)
      let known = twin.firstIndex { $0.place >= place }
      let isThere = known.map { twin[$0].place == place } ?? false
      if removes {
        let removed = chunks.remove(place)
        #expect(removed == (isThere ? known.map { twin.remove(at: $0) } : nil))
      } else {
        let item = Item(place: place, text: "\(step)")
        chunks.set(item)
        if let known, isThere { twin[known] = item } else { twin.insert(item, at: known ?? twin.count) }
      }
      #expect(chunks[place] == twin.first { $0.place == place })
      if step % 500 == 0 {
        #expect(Array(chunks) == twin && chunks.count == twin.count)
        #expect(chunks.reversed() == twin.reversed())
        let behind = chunks.after(place).prefix(5)
        #expect(Array(behind) == Array(twin.filter { $0.place > place }.prefix(5)))
        versions.append((chunks, twin))
      }
    }
    // What was kept of an earlier time is as it was then.
    for (chunks, twin) in versions { #expect(Array(chunks) == twin) }
    #expect(chunks == SortedChunks(twin.shuffled(using: &random)))
  }

  @Test func anEmptyOneHasNothing() {
    var chunks = SortedChunks<Item>()
    #expect(chunks.isEmpty && chunks.first == nil && chunks.last == nil && chunks[1] == nil)
    #expect(chunks.remove(1) == nil && chunks.after(0).isEmpty)
    chunks.set(Item(place: 1, text: "a"))
    chunks.remove(1)
    #expect(chunks.isEmpty && Array(chunks).isEmpty)
  }

  @Test func namesAreInTheOrderOfTheirBytes() {
    let names = ["K", "\u{212A}", "a", "A", "\u{E9}", "e\u{301}", ""].map { Name($0) }
    let chunks = SortedChunks(names)
    #expect(chunks.count == names.count)
    #expect(
      chunks.map { Array($0.text.utf8) }
        == names.map { Array($0.text.utf8) }.sorted { $0.lexicographicallyPrecedes($1) })
    for name in names { #expect(chunks[name]?.text.utf8.elementsEqual(name.text.utf8) == true) }
    #expect(Set(names).count == names.count)
  }
}

/// SplitMix64.
struct Seeded: RandomNumberGenerator {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
