import Adaptation
import Testing

@Suite struct EvenChunksTests {
  @Test func everyShotIsInOneChunkAndChunksAreOfAboutEqualCost() {
    for count in 1...40 {
      for target in [10, 64, 256, 4096] {
        let costs = (0..<count).map { 5 + ($0 * 37) % 29 }
        let chunks = evenChunks(of: Array(100..<100 + count), costs: costs, target: target)
        let total = costs.reduce(0, +)
        #expect(chunks.flatMap(\.self) == Array(100..<100 + count))
        #expect(chunks.allSatisfy { !$0.isEmpty })
        #expect(chunks.count == min(count, max(1, (total + target / 2) / target)))
        let heaviest = chunks.map { $0.reduce(0) { $0 + costs[$1 - 100] } }.max() ?? 0
        #expect(heaviest <= total / chunks.count + 34)
      }
    }
  }

  @Test func nothingHasNoChunks() { #expect(evenChunks(of: [], costs: [], target: 9).isEmpty) }
}
