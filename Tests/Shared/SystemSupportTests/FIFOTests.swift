import SystemSupport
import Testing

@Suite struct FIFOTests {
  @Test func whatCameFirstLeavesFirstWhateverComesBetween() {
    var line = FIFO<Int>()
    var expected: [Int] = []
    var number = 0
    var state: UInt64 = 7
    for _ in 0..<20_000 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      // More come than leave, then more leave than come.
      if (state >> 33) % 100 < (number < 5000 ? 60 : 40) {
        line.append(number)
        expected.append(number)
        number += 1
      } else {
        #expect(line.first == expected.first)
        #expect(line.popFirst() == (expected.isEmpty ? nil : expected.removeFirst()))
      }
      #expect(line.count == expected.count && line.isEmpty == expected.isEmpty)
    }
    while let next = line.popFirst() { #expect(next == expected.removeFirst()) }
    #expect(expected.isEmpty)
  }

  @Test func whatHasLeftIsNotHeld() {
    final class Held {}
    var line = FIFO<Held>()
    weak var first: Held?
    do {
      let held = Held()
      first = held
      line.append(held)
      line.append(Held())
    }
    #expect(first != nil)
    _ = line.popFirst()
    #expect(first == nil)
  }
}
