import StrictJSON
import Testing

@Suite struct JSONValueTests {
  @Test func serialisationIsOneLineInTheOrderOfTheMembers() {
    let value: JSONValue = ["z": 1, "a": [1.5, nil, true], "t": "a\"b\\c\n\u{1}\u{7F}é"]
    #expect(value.jsonText == #"{"z":1,"a":[1.5,null,true],"t":"a\"b\\c\n\u0001\u007fé"}"#)
    #expect(JSONValue.array([]).jsonText == "[]")
    #expect(JSONValue.object([:]).jsonText == "{}")
  }

  @Test func prettyTextIsIndentedByTwo() {
    let value: JSONValue = ["a": [1, 2], "b": [:]]
    let expected = """
      {
        "a": [
          1,
          2
        ],
        "b": {}
      }
      """
    #expect(String(decoding: value.serialized(pretty: true), as: UTF8.self) == expected)
  }

  @Test func doublesAreShortestAndReadBack() throws {
    for value in [0.1, 1.0 / 3, Double.leastNonzeroMagnitude, 1.7976931348623157e308, -0.0, 1e16, 123456.789, 1e-5] {
      let text = JSONValue.number(value).jsonText
      #expect(try parseJSON(text).doubleValue?.bitPattern == value.bitPattern, "\(text)")
    }
    #expect(JSONValue.number(0.1).jsonText == "0.1")
    #expect(JSONValue.float(0.1).jsonText == "0.1")
    #expect(JSONValue.number(.nan).jsonText == "null")
    #expect(JSONValue.number(-.infinity).jsonText == "null")
  }

  @Test func membersAreReplacedInPlaceAppendedAndRemoved() {
    var object: JSONObject = ["a": 1, "b": 2]
    object["a"] = 3
    object["c"] = 4
    #expect(object.keys == ["a", "b", "c"])
    object["b"] = nil
    #expect(object.keys == ["a", "c"])
    #expect(object["b"] == nil)
    for index in 0..<100 { object["k\(index)"] = .integer(Int64(index)) }
    object["k50"] = nil
    #expect(object["k51"] == 51)
    #expect(object["k50"] == nil)
    #expect(object.count == 101)
  }

  @Test func equalityIgnoresTheOrderOfMembersButNotTheKindOfNumber() {
    #expect(JSONValue.object(["a": 1, "b": 2]) == .object(["b": 2, "a": 1]))
    #expect(JSONValue.object(["a": 1]) != .object(["a": 1.0]))
    #expect(JSONValue.object(["a": 1]) != .object(["a": 1, "b": 1]))
  }
}
