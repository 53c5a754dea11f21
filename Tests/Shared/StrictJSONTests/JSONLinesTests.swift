import StrictJSON
import Testing

@Suite struct JSONLinesTests {
  @Test func linesAreNumberedAndBlankOnesPassedOver() throws {
    let values = try parseJSONLines(Array("{\"a\":1}\n\n  \r\n[2]\r\n3".utf8))
    #expect(values.map(\.line) == [1, 4, 5])
    #expect(values.map(\.value) == [["a": 1], [2], 3])
  }

  @Test func anErrorHasTheLineAndOffsetOfTheFile() throws {
    let text = "{}\n{\"a\":?}\n{}\n"
    let error = try #require(throws: JSONError.self) { try parseJSONLines(Array(text.utf8)) }
    #expect(error.line == 2)
    #expect(error.column == 6)
    #expect(error.offset == 8)
  }

  @Test func aBadLineDoesNotHideTheNext() {
    let lines = Array(JSONLines(Array("1\n?\n3\n".utf8)))
    #expect(lines.map(\.number) == [1, 2, 3])
    #expect((try? lines[2].value.get()) == 3)
    #expect((try? lines[1].value.get()) == nil)
  }

  @Test func anEmptyFileHasNoLines() throws {
    #expect(try parseJSONLines([]).isEmpty)
    #expect(try parseJSONLines(Array("\n\n".utf8)).isEmpty)
  }
}
