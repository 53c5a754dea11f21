import StrictJSON
import Testing

@Suite struct JSONLinesTests {
  @Test func linesAreNumberedAndBlankOnesPassedOver() throws {
    let lines = Array(JSONLines(Array("{\"a\":1}\n\n  \r\n[2]\r\n3".utf8)))
    #expect(lines.map(\.number) == [1, 4, 5])
    #expect(try lines.map { try $0.value.get() } == [["a": 1], [2], 3])
  }

  @Test func anErrorHasTheLineAndOffsetOfTheFile() throws {
    let text = "{}\n{\"a\":?}\n{}\n"
    let lines = Array(JSONLines(Array(text.utf8)))
    let error = try #require(throws: JSONError.self) { try lines[1].value.get() }
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

  @Test func anEmptyFileHasNoLines() {
    #expect(Array(JSONLines([])).isEmpty)
    #expect(Array(JSONLines(Array("\n\n".utf8))).isEmpty)
  }
}
