import Evaluation
import Testing

@Suite struct ComparisonTableTests {
  private func rows(_ text: String) -> [Bool] { text.map { $0 == "1" } }

  /// Ten rows by hand. base 0011001100 (4), one 1111001100 (6), two 1100110011 (6), mixture 1111111100 (8).
  private var table: ComparisonTable {
    ComparisonTable([
      .init(name: "base", right: rows("0011001100")),
      .init(name: "one", isExpert: true, right: rows("1111001100")),
      .init(name: "two", isExpert: true, right: rows("1100110011")),
      .init(name: "mixture", right: rows("1111111100")),
    ])
  }

  @Test func everyLineHasItsIntervalAndItsPairs() {
    let lines = table.lines
    #expect(lines.map(\.correct) == [4, 6, 6, 8] && lines.allSatisfy { $0.count == 10 })
    #expect(lines.map(\.share) == [0.4, 0.6, 0.6, 0.8])
    // Wilson, 4 of 10: (0.4 + z²/20 ± z √(0.024 + z²/400)) / (1 + z²/10).
    #expect(abs(lines[0].interval.low - 0.1682) < 1e-4 && abs(lines[0].interval.high - 0.6873) < 1e-4)
    // one wins rows 1 and 2 of the base and loses none: p = 2 · (1/2)² = 1/2.
    #expect(lines[1].versusBase?.firstOnly == 2 && lines[1].versusBase?.secondOnly == 0)
    #expect(abs((lines[1].versusBase?.pValue ?? 0) - 0.5) < 1e-12)
    // two wins six and loses four: p = 2 · Σ_{k≤4} C(10,k)/2^10 = 2 · 386/1024.
    #expect(lines[2].versusBase?.firstOnly == 6 && lines[2].versusBase?.secondOnly == 4)
    #expect(abs((lines[2].versusBase?.pValue ?? 0) - 772.0 / 1024) < 1e-12)
    // mixture wins four and loses none: p = 2 / 16.
    #expect(abs((lines[3].versusBase?.pValue ?? 0) - 0.125) < 1e-12)
    #expect(lines[3].versusBestExpert?.firstOnly == 2 && lines[3].versusBestExpert?.secondOnly == 0)
  }

  @Test func nothingIsComparedWithItself() {
    let table = table
    #expect(table.lines[0].versusBase == nil && table.lines[0].versusBestExpert != nil)
    #expect(table.lines[1].versusBestExpert == nil && table.lines[2].versusBestExpert != nil)
  }

  @Test func theBestExpertIsTheFirstOfEqualOnesAndNeverAnotherColumn() {
    #expect(table.bestExpert == "one")
    let later = ComparisonTable([
      .init(name: "base", right: rows("111")), .init(name: "one", isExpert: true, right: rows("000")),
      .init(name: "two", isExpert: true, right: rows("010")), .init(name: "mixture", right: rows("111")),
    ])
    #expect(later.bestExpert == "two")
    let none = ComparisonTable([.init(name: "base", right: rows("01")), .init(name: "mixture", right: rows("11"))])
    #expect(none.bestExpert == nil && none.lines.allSatisfy { $0.versusBestExpert == nil })
  }
}
