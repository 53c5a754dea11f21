import Testing

@testable import Worker

@Suite struct PaceTests {
  @Test func whatIsLeftFollowsFromWhatWasDone() {
    var pace = Pace()
    pace.worked()
    #expect(pace.left(at: 0.1, 10) == nil, "a first look tells where it begins")
    #expect(pace.left(at: 0.105, 11) == nil, "too little to tell")
    #expect(pace.left(at: 0.3, 30) == 70)
    #expect(pace.left(at: 1, 100) == 0)
  }

  /// A factorization that goes on where an earlier one was ended: what that one left takes no time.
  @Test func whatAnEarlierProcessLeftIsNoWork() {
    var pace = Pace(hasWorked: true)
    #expect(pace.left(at: 0.75, 20) == nil, "where it begins")
    let left = pace.left(at: 0.8, 30) ?? 0
    #expect(abs(left - 40) < 1e-9, "four times as much again, not \(left) s")
  }

  /// Nine tenths of a comparison lay in the journal: they say nothing of how long the last tenth takes.
  @Test func whatTheJournalHadIsNoWork() {
    var pace = Pace()
    #expect(pace.left(at: 0.5, 1) == nil)
    #expect(pace.left(at: 0.9, 2) == nil)
    pace.worked()
    #expect(pace.left(at: 0.92, 30) == nil)
    let left = pace.left(at: 0.96, 90) ?? 0
    #expect(abs(left - 60) < 1e-9, "as much again, not \(left) s")
  }
}
