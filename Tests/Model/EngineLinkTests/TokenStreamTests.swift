import EngineLink
import FakeEngine
import Glibc
import SystemSupport
import Testing

@Suite struct TokenStreamTests {
  private static func all(_ stream: TokenStream) throws -> (tokens: [Int32], end: TokenStream.End?) {
    var tokens: [Int32] = []
    while let event = try stream.next(until: .after(.seconds(30))) {
      switch event {
      case .token(let id): tokens.append(id)
      case .end(let end): return (tokens, end)
      }
    }
    return (tokens, nil)
  }

  private static func greedy(_ model: FakeModel, _ prompt: [Int32], _ s: [Float], _ count: Int) -> [Int32] {
    var ids = prompt
    for _ in 0..<count {
      let best = (0..<Int32(model.vocabulary)).max { model.logprob(ids, $0, s) < model.logprob(ids, $1, s) } ?? 0
      ids.append(best)
    }
    return Array(ids.dropFirst(prompt.count))
  }

  @Test func tokensComeToTheirEnd() throws {
    let model = FakeModel()
    try withEngine(model) { engine, connection throws in
      let mixture = model.mixture(1)
      try connection.put(mixture, patience)
      let expected = Self.greedy(model, [4, 5], mixture.multipliers, 10)
      var call = GenerationCall(prompt: [4, 5], mixture: mixture, maximumTokens: 10, stopIDs: [])
      let (tokens, end) = try Self.all(try connection.generate(call, patience))
      #expect(tokens == expected && end == .length)
      call.stopIDs = [expected[3]]
      let stopped = try Self.all(try connection.generate(call, patience))
      let first = try #require(expected.firstIndex(of: expected[3]))
      #expect(stopped.tokens == Array(expected[...first]) && stopped.end == .stop)
      call = GenerationCall(prompt: [4, 5], maximumTokens: 1000, stopIDs: [])
      let full = try Self.all(try connection.generate(call, patience))
      #expect(full.tokens.count == 62 && full.end == .context)
      // The socket of an ended stream is that of the next call.
      #expect(Set(engine.requests.map(\.connection)) == [0])
    }
  }

  @Test func theEndIsTheEndAgain() throws {
    try withEngine { _, connection throws in
      let stream = try connection.generate(GenerationCall(prompt: [4], maximumTokens: 1, stopIDs: []), patience)
      _ = try Self.all(stream)
      #expect(try stream.next(until: .never) == .end(.length))
      #expect(stream.descriptor == nil)
      stream.cancel()
      #expect(try stream.next(until: .never) == .end(.length))
    }
  }

  @Test func whatHasNotComeIsNotWaitedForWhereTheDeadlineHasPassed() throws {
    try withEngine { engine, connection throws in
      engine.misbehave(.stallsAfter(tokens: 2), on: "/t2/generate")
      let stream = try connection.generate(GenerationCall(prompt: [4], maximumTokens: 5, stopIDs: []), patience)
      let passed = Deadline(instant: .now)
      for _ in 0..<2 {
        guard case .token? = try stream.next(until: .after(.seconds(30))) else { throw NoFailure() }
      }
      #expect(try stream.next(until: passed) == nil)
      let descriptor = try #require(stream.descriptor)
      var polled = pollfd(fd: descriptor.number, events: Int16(POLLIN), revents: 0)
      #expect(unsafe poll(&polled, 1, 0) == 0)
      stream.cancel()
      #expect(engine.sawHangUps(1))
      #expect(try failure { try stream.next(until: passed) }.cause == .stopped)
      #expect(stream.descriptor == nil)
    }
  }

  @Test func aStreamThatIsLetGoIsCancelled() throws {
    try withEngine { engine, connection throws in
      engine.misbehave(.stallsAfter(tokens: 1), on: "/t2/generate")
      _ = try connection.generate(GenerationCall(prompt: [4], maximumTokens: 5, stopIDs: []), patience)
      #expect(engine.sawHangUps(1))
      // Another call has another socket.
      #expect(try connection.logits([1], nil, patience).count == 50)
    }
  }

  @Test func anEngineThatFallsSilentIsGivenUp() throws {
    try withEngine { engine, connection throws in
      engine.misbehave(.stallsAfter(tokens: 1), on: "/t2/generate")
      let stream = try connection.generate(
        GenerationCall(prompt: [4], maximumTokens: 5, stopIDs: []), silence: .milliseconds(80), patience)
      let failure = try failure { try Self.all(stream) }
      #expect(failure.description.contains("no whole answer within 80 ms"), "\(failure)")
      #expect(engine.sawHangUps(1))
    }
  }

  @Test func aReaderMayStopWhileItWaits() throws {
    try withEngine { engine, connection throws in
      engine.misbehave(.stallsAfter(tokens: 0), on: "/t2/generate")
      let stream = try connection.generate(GenerationCall(prompt: [4], maximumTokens: 5, stopIDs: []), patience)
      var questions = 0
      let failure = try failure {
        try stream.next(until: .never) {
          questions += 1
          return questions > 3
        }
      }
      #expect(failure.cause == .stopped)
      #expect(engine.sawHangUps(1))
    }
  }

  @Test func aStreamThatIsCutInAChunkIsAnError() throws {
    try withEngine { engine, connection throws in
      engine.misbehave(.cutInBody, on: "/t2/generate")
      let stream = try connection.generate(GenerationCall(prompt: [4], maximumTokens: 5, stopIDs: []), patience)
      let cut = try failure { try Self.all(stream) }
      guard case .closed = cut.cause else { throw cut }
      #expect(try failure { try stream.next(until: .never) } == cut)
    }
  }

  @Test func aStreamWithoutItsLastLineIsAnError() throws {
    try withEngine { engine, connection throws in
      engine.misbehave(.noLastLine, on: "/t2/generate")
      let stream = try connection.generate(GenerationCall(prompt: [4], maximumTokens: 3, stopIDs: []), patience)
      #expect(try failure { try Self.all(stream) }.description.contains("without its last line, so it was cut"))
    }
  }

  @Test(arguments: [
    (#"{"mixtures":{}}|{"token":50}"#, "the token 50 is none of a vocabulary of 50"),
    (#"{"mixtures":{}}|{"token":1}|{"token":2}|{"token":3}"#, "more tokens came than the 2"),
    (#"{"mixtures":{}}|{"end":"tired"}"#, "ends with 'tired'"),
    (#"{"mixtures":{}}|{"word":1}"#, "a line of the stream is"),
    (#"{"mixtures":{}}|{"error":{"code":"dead","message":"gone"}}"#, "dead: gone"),
    (#"{"mixtures":{}}|{"end":"length"}|{"token":1}"#, "more follows"),
    (#"{"mixtures":{}}|nonsense"#, "it is not JSON"),
    (#"{"token":1}"#, "does not say which mixtures"), (#"{"error":{"code":"internal","message":"x"}}"#, "internal: x"),
  ])
  func linesThatTheProtocolHasNotAreErrors(lines: String, problem: String) throws {
    try withEngine { engine, connection throws in
      let body = lines.replacing("|", with: "\n") + "\n"
      let text =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\(String(body.utf8.count, radix: 16))\r\n\(body)\r\n0\r\n\r\n"
      engine.misbehave(.raw(Array(text.utf8)), on: "/t2/generate")
      let failure = try failure {
        try Self.all(try connection.generate(GenerationCall(prompt: [4], maximumTokens: 2, stopIDs: []), patience))
      }
      #expect(failure.description.contains(problem), "\(failure)")
    }
  }
}
