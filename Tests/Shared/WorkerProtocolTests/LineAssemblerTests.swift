import Testing
import WorkerProtocol

@Suite struct LineAssemblerTests {
  @Test(arguments: 1...9)
  func linesAreTheSameHoweverTheStreamIsCut(piece: Int) throws {
    let stream = Array("first\n\nthird line\nunfinished".utf8)
    var assembler = LineAssembler()
    var lines: [String] = []
    for start in stride(from: 0, to: stream.count, by: piece) {
      assembler.append(stream[start..<min(start + piece, stream.count)])
      while let line = try assembler.next() { lines.append(String(decoding: line, as: UTF8.self)) }
    }
    #expect(lines == ["first", "", "third line"])
    #expect(!assembler.isEmpty)
    assembler.append(Array("\n".utf8))
    #expect(try assembler.next() == Array("unfinished".utf8))
    #expect(try assembler.next() == nil)
    #expect(assembler.isEmpty)
  }

  @Test func aLineBeyondTheLimitIsRefusedWholeOrNot() throws {
    var whole = LineAssembler(limit: 4)
    whole.append(Array("1234\n12345\n".utf8))
    #expect(try whole.next() == Array("1234".utf8))
    #expect(throws: WorkerProtocolError.lineTooLong(limit: 4)) { try whole.next() }
    var unfinished = LineAssembler(limit: 4)
    unfinished.append(Array("12345".utf8))
    #expect(throws: WorkerProtocolError.lineTooLong(limit: 4)) { try unfinished.next() }
  }
}
