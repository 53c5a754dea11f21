import SystemSupport
import Testing

@testable import Registry

@Suite struct DebounceTests {
  private let start = MonotonicInstant(nanoseconds: 5)
  private func at(_ seconds: Double) -> MonotonicInstant { start + .seconds(seconds) }

  @Test func aThingIsDueOnceItWasQuiet() {
    var debounce = Debounce<String>(quiet: .seconds(2), limit: .seconds(30))
    debounce.changed("a", at: at(0))
    debounce.changed("a", at: at(1.5))
    #expect(debounce.takeDue(at: at(3.4)).isEmpty)
    #expect(debounce.nextDeadline == at(3.5))
    #expect(debounce.takeDue(at: at(3.5)) == ["a"])
    #expect(debounce.isEmpty)
  }

  @Test func aStreamOfChangesCannotPutItOffForEver() {
    var debounce = Debounce<String>(quiet: .seconds(2), limit: .seconds(30))
    for second in 0..<40 where second <= 30 { debounce.changed("a", at: at(Double(second))) }
    #expect(debounce.nextDeadline == at(30))
    #expect(debounce.takeDue(at: at(30)) == ["a"])
  }

  @Test func whatIsSettledIsNotDue() {
    var debounce = Debounce<String>(quiet: .seconds(2), limit: .seconds(30))
    debounce.changed("a", at: at(0))
    debounce.changed("b", at: at(1))
    debounce.settle("a")
    #expect(debounce.takeDue(at: at(10)) == ["b"])
  }
}
