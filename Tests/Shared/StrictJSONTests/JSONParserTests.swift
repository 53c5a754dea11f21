import StrictJSON
import Testing

@Suite struct JSONParserTests {
  private func problem(
    _ text: String, limits: JSONLimits = .init(), dialect: JSONDialect = .strict
  ) -> JSONError? {
    problem(Array(text.utf8), limits: limits, dialect: dialect)
  }

  private func problem(
    _ bytes: [UInt8], limits: JSONLimits = .init(), dialect: JSONDialect = .strict
  ) -> JSONError? {
    do throws(JSONError) {
      _ = try parseJSON(bytes, limits: limits, dialect: dialect)
      return nil
    } catch {
      return error
    }
  }

  @Test func everyKindOfValueIsRead() throws {
    let value = try parseJSON(#" {"a":[1,-2.5,true,false,null,"x"],"b":{"c":""}} "#)
    #expect(value == ["a": [1, -2.5, true, false, nil, "x"], "b": ["c": ""]])
    #expect(value["b"]?["c"]?.stringValue == "")
    #expect(try parseJSON("[]") == [])
    #expect(try parseJSON("{}") == [:])
  }

  @Test func integersAreExactAndKeptApartFromNumbers() throws {
    #expect(try parseJSON("9223372036854775807") == .integer(.max))
    #expect(try parseJSON("-9223372036854775808") == .integer(.min))
    #expect(try parseJSON("9007199254740993").integerValue == 9_007_199_254_740_993)
    #expect(try parseJSON("1.0") == .number(1))
    #expect(try parseJSON("1.0").integerValue == nil)
    #expect(try parseJSON("1e2") == .number(100))
    #expect(try parseJSON("7").doubleValue == 7)
  }

  @Test(arguments: [
    "0.1", "1e-7", "5e-324", "1.7976931348623157e308", "123456789012345678901234567890.5", "0.30000000000000004",
    "9007199254740993.0", "1e23", "-0.0", "8.5e22", "1e22", "3.141592653589793238462643383279502884",
  ])
  func doublesAreTheNearest(text: String) throws {
    #expect(try parseJSON(text).doubleValue == Double(text))
  }

  @Test(arguments: [
    "9223372036854775808", "-9223372036854775809", "18446744073709551616", "1E400", "-1e309",
    String(repeating: "9", count: 400), String(repeating: "1", count: 5000) + ".0",
  ])
  func numbersOutOfRangeAreRefused(text: String) {
    #expect(problem(text)?.kind == .numberRange)
  }

  @Test func oddNumbersAreReadOnlyWhereAskedFor() throws {
    let text = "1000000000000000019884624838656"
    #expect(try parseJSON(text, limits: .init(oddNumbers: .integersRounded)) == .number(1e30))
    #expect(problem(text)?.problem.contains("64-bit") == true)
  }

  @Test(arguments: [
    "", " ", "{", "[", "[1", "[1,", "{\"a\"", "{\"a\":", "{\"a\":1", "\"a", "\"a\\", "tru", "-", "1.", "1e", "1e+",
    "\"\\u12",
  ])
  func everyPrefixThatLacksItsEndIsRefused(text: String) {
    #expect(problem(text) != nil)
  }

  @Test(arguments: [
    "01", "-01", "+1", ".5", "1.e5", "NaN", "Infinity", "-Infinity", "nul", "True", "'a'", "{a:1}",
    "{'a':1}", "[1,]", "{\"a\":1,}", "[,1]", "[1 2]", "{\"a\" 1}", "{1:2}", "/*x*/1", "1//x", "\"\t\"", "\"\n\"",
    "\"\\x41\"", "\"\\a\"", "\"\\u00g0\"", "]", "}", ":", ",", "\u{0}",
  ])
  func whatIsNotJSONIsRefused(text: String) {
    #expect(problem(text)?.kind == .syntax)
  }

  @Test func bytesAfterTheValueAreRefused() {
    #expect(problem("{}}")?.kind == .trailingBytes)
    #expect(problem("0x10")?.kind == .trailingBytes)
    #expect(problem("1 2")?.kind == .trailingBytes)
    #expect(problem("{}\0\0")?.kind == .trailingBytes)
  }

  @Test func aByteOrderMarkIsNamed() {
    #expect(problem("\u{FEFF}{}")?.problem.contains("byte order mark") == true)
  }

  @Test(arguments: [
    #"{"t":1,"t":1}"#, #"{"t":1,"\u0074":2}"#, #"{"":1,"":1}"#, #"[{"a":{"b":1,"c":2,"b":3}}]"#,
  ])
  func duplicateKeysAreRefusedAsDecoded(text: String) {
    #expect(problem(text)?.kind == .duplicateKey)
  }

  @Test func aDuplicateAmongManyKeysIsFound() {
    let members = (0..<1000).map { "\"k\($0)\":0" }.joined(separator: ",")
    #expect(problem("{\(members)}") == nil)
    #expect(problem("{\(members),\"k500\":0}")?.kind == .duplicateKey)
  }

  @Test func keysAreComparedByBytesAndNotByCanonicalEquivalence() throws {
    let value = try parseJSON("{\"\u{E9}\":1,\"e\u{301}\":2}")
    #expect(value.objectValue?.count == 2)
    #expect(value["\u{E9}"] == 1)
    #expect(value["e\u{301}"] == 2)
    #expect(JSONValue.string("\u{E9}") != .string("e\u{301}"))
  }

  @Test func escapesAreDecoded() throws {
    #expect(try parseJSON(#""\"\\\/\b\f\n\r\t\u0041\u00e9\ud83d\ude00\u0000""#) == "\"\\/\u{8}\u{C}\n\r\tAé😀\0")
    #expect(try parseJSON("\"aé😀\u{7F}b\"") == "aé😀\u{7F}b")
  }

  @Test(arguments: [#""\ud800""#, #""\udc00""#, #""\ud800\u0041""#, #""\ud800x""#, #""\ud800\ud800""#])
  func halfASurrogatePairIsRefused(text: String) {
    #expect(problem(text)?.kind == .badUTF8)
  }

  @Test(arguments: [
    [0xFF], [0xC0, 0x80], [0xC3], [0xE2, 0x82], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xF0, 0x80, 0x80, 0x80],
    [0x80],
  ])
  func bytesThatAreNotUTF8AreRefusedWhereTheyStand(bad: [UInt8]) {
    let error = problem(Array("[\"ab".utf8) + bad + Array("\"]".utf8))
    #expect(error?.kind == .badUTF8)
    #expect(error?.offset == 4)
  }

  @Test func depthAndSizeAreBounded() {
    let deep = String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)
    #expect(problem(deep)?.kind == .tooDeep)
    let allowed = String(repeating: "[", count: 32) + String(repeating: "]", count: 32)
    #expect(problem(allowed) == nil)
    #expect(problem("[" + allowed + "]")?.kind == .tooDeep)
    #expect(problem("[1,2,3]", limits: .init(maximumMembers: 2))?.kind == .tooLarge)
    #expect(problem("[1,2,3]", limits: .init(maximumBytes: 6))?.kind == .tooLarge)
  }

  @Test func errorsSayWhereAndWhat() throws {
    let error = try #require(problem("{\n  \"a\": 1,\n  \"b\": ?\n}"))
    #expect(error.line == 3)
    #expect(error.column == 8)
    #expect(error.description == "line 3, column 8 (byte 19): expected a value, found '?'")
    #expect(problem("[1")?.problem == "expected ',' or ']', found the end of the text")
    #expect(
      problem("{\"a\":1,\"a\":2}")?.description
        == "line 1, column 8 (byte 7): the key \"a\" appears twice in one object")
    #expect(problem("[1,]")?.problem == "a comma stands before ']'")
  }

  @Test func json5IsReadWhereAskedFor() throws {
    let text = """
      // a comment
      {
        unquoted: 'single "quotes"', /* another */ $x1: +1, hex: 0xFF, half: .5, five: 5., neg: -0x10,
        "list": [1, 2, 3,], text: 'it\\'s \\x41\\
       continued',
      }
      """
    let expected: JSONValue = [
      "unquoted": "single \"quotes\"", "$x1": 1, "hex": 255, "half": 0.5, "five": 5.0, "neg": -16, "list": [1, 2, 3],
      "text": "it's A continued",
    ]
    #expect(try parseJSON(text, dialect: .json5) == expected)
  }

  @Test(arguments: [
    "Infinity", "-Infinity", "NaN", "+NaN", "{a:1,a:2}", "{a:1,'a':2}", "[,]", "[1,,]", "/* open", "0x", "-.", ".",
    "0xFFFFFFFFFFFFFFFFF", "010", "{1a:1}", "/ 1",
  ])
  func json5StillHasRules(text: String) {
    #expect(problem(text, dialect: .json5) != nil)
  }
}
