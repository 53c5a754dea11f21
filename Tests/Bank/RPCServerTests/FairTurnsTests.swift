import RPCServer
import Testing

@Suite struct FairTurnsTests {
  @Test func usersTakeTurnsAndSoDoTheConnectionsOfOne() {
    var turns = FairTurns<String>()
    let (many, one) = (FairTurns<String>.User(), FairTurns<String>.User())
    for name in ["a", "b", "c"] { turns.put(name, of: many) }
    turns.put("x", of: one)
    var order: [String] = []
    var rounds = ["a": 2, "b": 1, "c": 1, "x": 2]
    while let next = turns.next() {
      order.append(next)
      rounds[next, default: 0] -= 1
      if rounds[next, default: 0] > 0 { turns.put(next, of: next == "x" ? one : many) }
    }
    #expect(order == ["a", "x", "b", "x", "c", "a"])
    #expect(turns.isEmpty && !many.isWaiting && !one.isWaiting)
  }
}
