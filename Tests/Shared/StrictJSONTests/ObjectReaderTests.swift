import StrictJSON
import Testing

@Suite struct ObjectReaderTests {
  @Test func membersAreReadByKind() throws {
    var reader = ObjectReader(
      ["s": "x", "i": 3, "d": 1, "b": true, "l": ["p", "q"], "o": ["k": 1], "n": nil], path: "params")
    #expect(try reader.string("s") == "x")
    #expect(try reader.int("i", in: 1...5) == 3)
    #expect(try reader.optionalDouble("d") == 1.0)
    #expect(try reader.optionalBool("b") == true)
    #expect(try reader.array("l") == ["p", "q"])
    var nested = try reader.reader("o")
    #expect(nested.path == "params.o")
    #expect(try nested.int("k") == 1)
    try nested.finish()
    #expect(try reader.optionalString("n") == nil)
    #expect(try reader.optionalString("absent") == nil)
    try reader.finish()
  }

  private func message(_ body: () throws(ObjectReaderError) -> Void) -> String {
    do throws(ObjectReaderError) {
      try body()
      return "no error"
    } catch {
      return error.description
    }
  }

  @Test func anUnknownKeyIsNamedWithTheNearestKnownOne() {
    var reader = ObjectReader(["iteratoins": 3], path: "task.json5: search")
    let text = message { () throws(ObjectReaderError) in
      _ = try reader.optionalInteger("iterations")
      _ = try reader.optionalString("seed")
      try reader.finish()
    }
    #expect(text == "task.json5: search: unknown key \"iteratoins\"; did you mean \"iterations\"?")

    var other = ObjectReader(["zzz": 3])
    let known = message { () throws(ObjectReaderError) in
      _ = try other.optionalInteger("iterations")
      try other.finish()
    }
    #expect(known == "unknown key \"zzz\"; known are iterations")
  }

  @Test func aMessageShowsTheBeginningsOfWhatWasFound() {
    let long = String(repeating: "é\u{301}", count: 1000)
    #expect(long.excerpt.unicodeScalars.count == 65 && long.excerpt.hasSuffix("…"))
    #expect("short".excerpt == "short" && String(repeating: "x", count: 64).excerpt.count == 64)
    #expect(["a", "b"].excerpt == "a, b")
    #expect([String](repeating: "k", count: 10).excerpt == "k, k, k, k, k, k, k, k and 2 more")
    let reader = ObjectReader([long: 1])
    let text = message { () throws(ObjectReaderError) in try reader.finish() }
    #expect(text.utf8.count < 300 && text.contains("…\"; none is allowed here"))
  }

  @Test func everyMistakeHasItsOwnMessage() {
    var reader = ObjectReader(["s": 1, "i": 9, "f": 1.5, "l": 2], path: "p")
    #expect(message { () throws(ObjectReaderError) in _ = try reader.string("x") } == "p: \"x\" is missing")
    #expect(
      message { () throws(ObjectReaderError) in _ = try reader.string("s") }
        == "p: \"s\" must be a string, found an integer")
    #expect(
      message { () throws(ObjectReaderError) in _ = try reader.int("i", in: 0...3) }
        == "p: \"i\" is 9, allowed is 0 to 3")
    #expect(
      message { () throws(ObjectReaderError) in _ = try reader.int("f") }
        == "p: \"f\" must be an integer, found a number")
    #expect(
      message { () throws(ObjectReaderError) in _ = try reader.array("l") }
        == "p: \"l\" must be an array, found an integer")
  }

  @Test func nearNamesAreFoundAndFarOnesAreNot() {
    let names = ["mixture.get", "mixture.list", "expert.list"]
    #expect(nearestName(to: "mixture.gte", among: names) == "mixture.get")
    #expect(nearestName(to: "Expert.List", among: names) == "expert.list")
    #expect(nearestName(to: "shutdown", among: names) == nil)
    #expect(nearestName(to: "", among: names) == nil)
    #expect(nearestName(to: "max-tokens", among: ["max_tokens"]) == "max_tokens")
  }
}
