import Digests
package import Settings
import StrictJSON
package import SystemSupport

/// What is to be generated behind a prompt.
package struct GenerationCall: Sendable {
  package var prompt: [Int32]
  package var mixture: EngineMixture?
  package var maximumTokens: Int
  package var stopIDs: [Int32]
  /// 0 is greedy.
  package var temperature: Double
  package var topP: Double
  package var seed: UInt64

  package init(
    prompt: [Int32], mixture: EngineMixture? = nil, maximumTokens: Int, stopIDs: [Int32], temperature: Double = 0,
    topP: Double = 1, seed: UInt64 = 0
  ) {
    self.prompt = prompt
    self.mixture = mixture
    self.maximumTokens = maximumTokens
    self.stopIDs = stopIDs
    self.temperature = temperature
    self.topP = topP
    self.seed = seed
  }
}

extension EngineConnection {
  /// Begins to generate. Returns when the engine has said under which mixture it does so. Other calls may be made meanwhile, by
  /// the thread that reads the stream; they take another socket.
  ///
  /// - Parameter silence: how long the engine may say nothing between two tokens.
  package func generate(
    _ call: GenerationCall, silence: Duration = .seconds(120), _ patience: Patience
  ) throws(EngineFailure) -> TokenStream {
    let attempt = "generate behind \(call.prompt.count) tokens"
    return try self.call(attempt, patience) { facts throws(EngineFailure.Cause) in
      guard facts.abilities.generate else { throw .unable("this engine generates nothing") }
      guard call.temperature.isFinite, call.topP.isFinite else {
        throw .unsendable("the temperature \(call.temperature) or top_p \(call.topP) is not finite")
      }
      var text = RequestText()
      text.text("{\"prompt\":")
      text.ids(call.prompt)
      text.text(",\"mixture\":")
      text.digest(call.mixture?.digest)
      text.text(",\"max_tokens\":")
      text.number(call.maximumTokens)
      text.text(",\"stop_ids\":")
      text.ids(call.stopIDs)
      text.text(",\"temperature\":")
      text.number(call.temperature)
      text.text(",\"top_p\":")
      text.number(call.topP)
      text.text(",\"seed\":")
      // No reader of JSON takes more than 63 bits without a sign.
      text.number(Int(call.seed & UInt64(Int64.max)))
      text.text("}")
      let ranks = facts.engine.parallelism
      let connection = try begin(
        HTTPRequest(method: .post, path: "/t2/generate", body: text.bytes),
        bodyBytes: Self.smallBody + 128 * ranks + 96 * max(0, call.maximumTokens), patience)
      let stream = TokenStream(
        connection, of: self, attempt: attempt, vocabulary: facts.model.vocabulary, maximumTokens: call.maximumTokens,
        silence: silence)
      try stream.readMixtures(call.mixture.map { [$0.digest] } ?? [], ranks: ranks, patience)
      return stream
    }
  }
}

/// The tokens of one generation as they come. For one thread at a time. Whoever lets it go before its end cancels it: the
/// connection is closed.
package final class TokenStream {
  package enum End: String, Sendable, CaseIterable {
    /// A stop token was the last.
    case stop
    case length
    /// The model's context is full.
    case context
  }

  package enum Event: Sendable, Equatable {
    /// The stop token is one too.
    case token(Int32)
    case end(End)
  }

  package let address: EngineAddress
  private let attempt: String
  private let vocabulary: Int
  private let maximumTokens: Int
  private let silence: Duration
  private var connection: HTTPConnection?
  /// Gets its socket back for the next call.
  private let owner: EngineConnection
  /// Called once, when nothing more is read: at the end, after an error, or when the stream is let go.
  var whenReleased: (() -> Void)?
  /// Bytes of the stream that have come, from the first line that was not read.
  private var text: [UInt8] = []
  private var position = 0
  private var tokenCount = 0
  private var lastBytes = MonotonicInstant.now
  private var failure: EngineFailure?
  private var end: End?

  /// Far more than a line of the protocol has.
  private static let longestLine = 64 << 10

  init(
    _ connection: HTTPConnection, of owner: EngineConnection, attempt: String, vocabulary: Int, maximumTokens: Int,
    silence: Duration
  ) {
    address = connection.address
    self.connection = connection
    self.owner = owner
    self.attempt = attempt
    self.vocabulary = vocabulary
    self.maximumTokens = maximumTokens
    self.silence = silence
    text = connection.takeBody()
  }

  deinit { release() }

  private func release() {
    if let connection {
      if end != nil, failure == nil { owner.keep(connection) } else { connection.shutDown() }
    }
    connection = nil
    whenReleased.take()?()
  }

  /// Readable when there may be something; nil when all has come or it was cancelled. Poll it only after `next` had nothing:
  /// of what lies here already it knows nothing.
  package var descriptor: FileDescriptor? { connection?.socket }

  /// The next event; nil where none came until then. After the end it is the end again, after an error the error. A deadline
  /// that has passed takes what is there and does not wait.
  package func next(
    until deadline: Deadline, shouldStop: @escaping () -> Bool = { false }
  ) throws(EngineFailure) -> Event? {
    if let failure { throw failure }
    if let end { return .end(end) }
    do throws(EngineFailure.Cause) {
      while true {
        if let line = try takeLine() { return try event(line) }
        guard let connection else { throw .stopped }
        guard !connection.parser.isComplete else {
          throw .notTheProtocol("the stream is at its end without its last line, so it was cut")
        }
        if !connection.isQuiet {
          try connection.receive(Patience(until: .never, shouldStop: shouldStop))
          text += connection.takeBody()
          lastBytes = .now
          continue
        }
        if shouldStop() { throw .stopped }
        if MonotonicInstant.now - lastBytes >= silence {
          throw .deadline(after: silence, received: connection.received)
        }
        if deadline.instant <= .now { return nil }
        let wait = Deadline(
          instant: min(
            deadline.instant, lastBytes + silence, MonotonicInstant.now + Patience.betweenQuestions))
        connection.waitForBytes(until: wait)
      }
    } catch {
      let failure = EngineFailure(address, attempt, error)
      self.failure = failure
      release()
      throw failure
    }
  }

  /// Closes the connection, by which the engine learns that nobody waits any more. What follows throws `.stopped`.
  package func cancel() {
    guard end == nil, failure == nil else { return }
    release()
    failure = EngineFailure(address, attempt, .stopped)
  }

  // MARK: - Lines

  func readMixtures(
    _ asked: Set<Digest>, ranks: Int, _ patience: Patience
  ) throws(EngineFailure.Cause) {
    while true {
      if let line = try takeLine() {
        let object = try Self.object(line)
        if let refusal = Self.refusal(object) { throw .refused(refusal) }
        return try ReadBack.check(object["mixtures"], of: asked, ranks: ranks)
      }
      guard let connection, !connection.parser.isComplete else { throw .closed(received: text.count) }
      try connection.receive(patience)
      text += connection.takeBody()
      lastBytes = .now
    }
  }

  private func takeLine() throws(EngineFailure.Cause) -> ArraySlice<UInt8>? {
    guard let newline = text[position...].firstIndex(of: 0x0A) else {
      guard text.count - position <= Self.longestLine else {
        throw .tooLarge("a line of the stream has more than \(Self.longestLine) bytes")
      }
      if position > 0 {
        text.removeSubrange(..<position)
        position = 0
      }
      return nil
    }
    defer { position = newline + 1 }
    return text[position..<newline]
  }

  private static func object(_ line: ArraySlice<UInt8>) throws(EngineFailure.Cause) -> JSONObject {
    try Frame.object(line, EngineConnection.receiptLimits)
  }

  /// A stream's status was 200 before it failed.
  private static func refusal(_ object: JSONObject) -> EngineRefusal? {
    object["error"]?.objectValue.flatMap { EngineRefusal(status: 200, $0) }
  }

  private func event(_ line: ArraySlice<UInt8>) throws(EngineFailure.Cause) -> Event {
    let object = try Self.object(line)
    if let id = object["token"]?.integerValue {
      guard (0..<Int64(vocabulary)).contains(id) else {
        throw .notTheProtocol("the token \(id) is none of a vocabulary of \(vocabulary)")
      }
      tokenCount += 1
      guard tokenCount <= maximumTokens else {
        throw .notTheProtocol("more tokens came than the \(maximumTokens) that were asked for")
      }
      return .token(Int32(id))
    }
    if let word = object["end"]?.stringValue {
      guard let end = End.allCases.first(where: { $0.rawValue.utf8.elementsEqual(word.utf8) }) else {
        throw .notTheProtocol("the stream ends with '\(word.excerpt)'")
      }
      try finish(end)
      return .end(end)
    }
    if let refusal = Self.refusal(object) { throw .refused(refusal) }
    throw .notTheProtocol("a line of the stream is '\(escaped(bytes: line.prefix(80)))'")
  }

  /// The end of the chunks comes with the last line or right behind it. An engine that lets it wait loses the connection, and
  /// nothing else.
  private func finish(_ end: End) throws(EngineFailure.Cause) {
    guard let connection else { return }
    do throws(EngineFailure.Cause) {
      while !connection.parser.isComplete { try connection.receive(Patience(Self.afterEnd)) }
    } catch {
      switch error {
      case .deadline, .closed: break
      default: throw error
      }
    }
    guard position == text.count, connection.takeBody().isEmpty else {
      throw .notTheProtocol("more follows behind the end of the stream")
    }
    self.end = end
    release()
  }

  private static let afterEnd: Duration = .milliseconds(100)
}
