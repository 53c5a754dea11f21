import Adaptation
import Multipliers
import Testing

@Suite struct ShuffleTests {
  private let layout = MultiplierLayout([
    TargetMatrix(name: "a", rows: 40, columns: 60, layer: 0), TargetMatrix(name: "b", rows: 40, columns: 40, layer: 0),
    TargetMatrix(name: "c", rows: 1, columns: 9, layer: 1),
  ])
  private var expert: MultiplierVector { MultiplierVector((0..<81).map { 0.5 + Float($0) / 100 }) }

  @Test func aShuffleKeepsTheMultisetOfEveryMatrix() {
    let shuffled = expert.shuffled(in: layout, seed: 3)
    for matrix in layout.matrices.indices {
      let range = layout.range(of: matrix)
      #expect(shuffled.values[range].sorted() == expert.values[range].sorted())
    }
    #expect(shuffled != expert)
  }

  @Test func theSeedAndTheMatrixDecideTheOrderAndNothingElse() {
    let shuffled = expert.shuffled(in: layout, seed: 3)
    #expect(shuffled == expert.shuffled(in: layout, seed: 3))
    #expect(shuffled != expert.shuffled(in: layout, seed: 4))
    let (a, b) = (layout.range(of: 0), layout.range(of: 1))
    let orders = [a, b].map { range in
      shuffled.values[range].map { value in expert.values[range].firstIndex(of: value).map { $0 - range.lowerBound } }
    }
    #expect(orders[0] != orders[1], "two matrices of one rank are shuffled differently")
    // Which values are permuted does not matter: another expert is permuted in the same way.
    let ones = MultiplierVector.ones(81)
    #expect(ones.shuffled(in: layout, seed: 3) == ones)
  }
}
