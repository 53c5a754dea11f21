import SystemSupport
import Testing
import Watcher

struct SettlingTests {
  private func at(_ milliseconds: Int64) -> MonotonicInstant {
    MonotonicInstant(nanoseconds: 1_000_000_000 + milliseconds * 1_000_000)
  }

  @Test(arguments: [
    (DropHint.movedIn, Int64(0)), (.closed, 100), (.attributes, 100), (.created, 1000), (.modified, 1000),
    (.scanned, 0),
  ])
  func eachHintHasItsWaitingTime(hint: DropHint, milliseconds: Int64) {
    var settling = Settling<String>()
    settling.saw("a", hint, at: at(0))
    #expect(settling.nextDue == at(milliseconds))
    if milliseconds > 0 { #expect(settling.takeDue(at: at(milliseconds - 1)) == []) }
    #expect(settling.takeDue(at: at(milliseconds)) == ["a"])
    #expect(settling.takeDue(at: at(milliseconds)) == [])
    #expect(settling.isPending("a"))
    settling.finished("a", .settled, at: at(2000))
    #expect(!settling.isPending("a"))
    #expect(settling.nextDue == nil)
  }

  @Test func everyWritePushesTheTimer() {
    var settling = Settling<String>()
    settling.saw("a", .created, at: at(0))
    for step in 1...50 {
      settling.saw("a", .modified, at: at(Int64(step) * 900))
      #expect(settling.takeDue(at: at(Int64(step) * 900 + 899)) == [])
    }
    settling.saw("a", .closed, at: at(46_000))
    #expect(settling.takeDue(at: at(46_099)) == [])
    #expect(settling.takeDue(at: at(46_100)) == ["a"])
  }

  @Test func aChunkedAppendIsAttemptedOnceItIsQuiet() {
    var settling = Settling<String>()
    for chunk in 0..<5 { settling.saw("a", .closed, at: at(Int64(chunk) * 60)) }
    #expect(settling.nextDue == at(340))
  }

  @Test func anIncompleteFileIsRetriedAtOneTwoFourUpToThirtySeconds() {
    var settling = Settling<String>()
    settling.saw("a", .closed, at: at(0))
    var now: Int64 = 100
    var delays: [Int64] = []
    while let due = settling.nextDue {
      #expect(settling.takeDue(at: due) == ["a"])
      let instant = (due - at(0)).inNanoseconds / 1_000_000
      delays.append(instant - now)
      now = instant
      settling.finished("a", .incomplete, at: due)
    }
    #expect(delays == [0, 1000, 2000, 4000, 8000, 16_000, 30_000])
    #expect(settling.isOverdue("a"))
    #expect(settling.takeOverdue(at: at(now)) == ["a"])
    #expect(settling.takeOverdue(at: at(now)) == [])
    #expect(settling.incomplete == ["a"])
    // Only something that happens to it brings it back.
    settling.saw("a", .closed, at: at(500_000))
    #expect(settling.takeDue(at: at(500_100)) == ["a"])
    settling.finished("a", .settled, at: at(500_100))
    #expect(settling.incomplete.isEmpty)
  }

  @Test func anEventStartsTheRetriesAnew() {
    var settling = Settling<String>()
    settling.saw("a", .movedIn, at: at(0))
    for _ in 0..<3 {
      let due = settling.nextDue ?? at(0)
      _ = settling.takeDue(at: due)
      settling.finished("a", .incomplete, at: due)
    }
    settling.saw("a", .movedIn, at: at(10_000))
    #expect(settling.takeDue(at: at(10_000)) == ["a"])
    settling.finished("a", .incomplete, at: at(10_000))
    #expect(settling.nextDue == at(11_000))
  }

  @Test func aChangeDuringAnAttemptLeadsToAnother() {
    var settling = Settling<String>()
    settling.saw("a", .movedIn, at: at(0))
    #expect(settling.takeDue(at: at(0)) == ["a"])
    settling.saw("a", .closed, at: at(10))
    #expect(settling.takeDue(at: at(1000)) == [])
    settling.finished("a", .settled, at: at(1000))
    #expect(settling.takeDue(at: at(1000)) == ["a"])
    settling.finished("a", .settled, at: at(1001))
    #expect(!settling.isPending("a"))
  }

  @Test func aScanDoesNotShortenAWait() {
    var settling = Settling<String>()
    settling.saw("a", .created, at: at(0))
    settling.saw("a", .scanned, at: at(1))
    #expect(settling.takeDue(at: at(999)) == [])
    #expect(settling.takeDue(at: at(1000)) == ["a"])
  }

  @Test func aVanishedNameIsForgottenEvenInFlight() {
    var settling = Settling<String>()
    settling.saw("a", .movedIn, at: at(0))
    settling.saw("b", .closed, at: at(0))
    _ = settling.takeDue(at: at(0))
    settling.vanished("a")
    settling.vanished("b")
    settling.finished("a", .incomplete, at: at(5))
    #expect(settling.nextDue == nil)
    #expect(settling.pendingCount == 0)
  }

  @Test func expeditingSaysHowManyAttemptsReflectWhatHappened() {
    var settling = Settling<String>()
    settling.saw("waiting", .created, at: at(0))
    settling.saw("flying", .movedIn, at: at(0))
    settling.saw("changed", .movedIn, at: at(0))
    #expect(settling.takeDue(at: at(0)).sorted() == ["changed", "flying"])
    settling.saw("changed", .closed, at: at(1))
    #expect(settling.expedite(at: at(2)) == ["waiting": 1, "flying": 1, "changed": 2])
    #expect(settling.takeDue(at: at(2)) == ["waiting"])
    settling.finished("changed", .settled, at: at(3))
    #expect(settling.takeDue(at: at(3)) == ["changed"])
  }

  @Test func ourOwnTroubleIsTriedAgainForAsLongAsTheFileIsThere() {
    var settling = Settling<String>()
    settling.saw("a", .movedIn, at: at(0))
    var now: Int64 = 0
    var delays: [Int64] = []
    for _ in 0..<1000 {
      let due = settling.nextDue ?? at(-1)
      #expect(settling.takeDue(at: due) == ["a"])
      let instant = (due - at(0)).inNanoseconds / 1_000_000
      delays.append(instant - now)
      now = instant
      settling.finished("a", .retryLater, at: due)
    }
    #expect(delays.prefix(8) == [0, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000])
    #expect(delays.dropFirst(6).allSatisfy { $0 == 30_000 })
    #expect(settling.takeOverdue(at: at(now)) == [], "it is no incomplete file")
    settling.vanished("a")
    #expect(settling.nextDue == nil)
  }

  @Test func aSyncTriesWhatIsInTroubleAndWhatIsOverdueAtOnce() {
    var settling = Settling<String>()
    for (name, outcome) in [("trouble", DropOutcome.retryLater), ("half", .incomplete)] {
      settling.saw(name, .movedIn, at: at(0))
      _ = settling.takeDue(at: at(0))
      settling.finished(name, outcome, at: at(0))
    }
    _ = settling.takeDue(at: at(70_000))
    settling.finished("trouble", .retryLater, at: at(70_000))
    settling.finished("half", .incomplete, at: at(70_000))
    #expect(settling.isOverdue("half"))
    #expect(settling.expedite(at: at(70_001)) == ["trouble": 1, "half": 1])
    #expect(settling.takeDue(at: at(70_001)).sorted() == ["half", "trouble"])
  }

  @Test func namesComeInTheOrderInWhichTheyAreDue() {
    var settling = Settling<Int>()
    for name in 0..<20 { settling.saw(name, .closed, at: at(Int64(100 - name))) }
    #expect(settling.takeDue(at: at(1000)) == Array((0..<20).reversed()))
  }

  /// Against a twin that looks at every name each time.
  @Test(arguments: [1, 2, 3] as [UInt64])
  func theQueuesAgreeWithLookingAtAllNames(seed: UInt64) {
    var state = seed
    func random(_ count: UInt64) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % count)
    }
    var settling = Settling<String>()
    var due: [String: Int] = [:]
    var inFlight: Set<String> = []
    var now = 0
    let hints: [(DropHint, Int)] = [(.movedIn, 0), (.closed, 100), (.created, 1000), (.modified, 1000)]
    for _ in 0..<5000 {
      now += random(40)
      let name = "name\(random(50))"
      switch random(6) {
      case 0:
        settling.vanished(name)
        due[name] = nil
        inFlight.remove(name)
      case 1, 2:
        let taken = settling.takeDue(at: at(Int64(now)))
        let expected = due.filter { $0.value <= now }
        #expect(Set(taken) == Set(expected.keys) && taken.count == expected.count)
        #expect(taken.map { expected[$0] ?? 0 } == expected.values.sorted())
        for name in taken { due[name] = nil }
        inFlight.formUnion(taken)
      case 3:
        guard let running = inFlight.sorted().first else { continue }
        settling.finished(running, .settled, at: at(Int64(now)))
        inFlight.remove(running)
      default:
        guard !inFlight.contains(name) else { continue }
        let (hint, wait) = hints[random(4)]
        settling.saw(name, hint, at: at(Int64(now)))
        due[name] = now + wait
      }
      #expect(settling.nextDue == due.values.min().map { at(Int64($0)) })
      #expect(settling.pendingCount == due.count + inFlight.count)
    }
  }
}
