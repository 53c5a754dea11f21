import Glibc
import RPCProtocol
import SystemSupport

extension ServerLoop {
  /// Takes complete lines off the input and answers or hands over each, until one of the limits says to wait or the turn is
  /// over; of one line at least it never is.
  func answerLines(of connection: ServerConnection) {
    connection.holdsLines = false
    let limits = setup.limits
    let lineLimit = connection.shared.mayChange ? limits.lineBytes : limits.readerLineBytes
    var start = 0
    let wasPartial = connection.partialSince != nil
    while !connection.isClosing {
      let bytes = unsafe connection.input.bytes
      let from = max(start, connection.scanned)
      let found = unsafe bytes.baseAddress.flatMap { base in
        unsafe bytes.count > from ? memchr(base + from, 0x0a, bytes.count - from) : nil
      }
      guard let newline = unsafe found, let base = bytes.baseAddress else {
        connection.scanned = bytes.count
        let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[start...])
        if rest.count > lineLimit {
          refuse(connection, Self.tooLong(lineLimit))
        } else if unsafe Self.cannotBeginALine(rest), let refusal = unsafe Self.refusal(of: rest) {
          refuse(connection, refusal)
        }
        break
      }
      guard mayBegin(connection), start == 0 || .now < turnsEnd else {
        connection.holdsLines = true
        connection.scanned = start
        break
      }
      let end = unsafe UnsafeRawPointer(newline) - base
      let file = takePassed(connection, upTo: end)
      var line = unsafe UnsafeRawBufferPointer(rebasing: bytes[start..<end])
      start = end + 1
      if unsafe line.last == 0x0d { unsafe line = UnsafeRawBufferPointer(rebasing: line.dropLast()) }
      if line.count > lineLimit {
        refuse(connection, Self.tooLong(lineLimit))
      } else if unsafe !line.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) {
        unsafe answer(line, with: file, connection)
      }
    }
    if connection.isClosing { start = connection.input.count }
    connection.input.removeFirst(start)
    connection.taken += start
    connection.scanned = max(0, connection.scanned - start)
    // The clock of a line starts when it does: a later byte of the same line does not wind it back.
    if connection.input.count == 0 || connection.holdsLines {
      connection.partialSince = nil
    } else if start > 0 || !wasPartial {
      now = .now
      connection.partialSince = now
    }
  }

  /// The file that belongs to the line that ends here, if one came with it.
  private func takePassed(_ connection: ServerConnection, upTo end: Int) -> PassedFile? {
    guard let (file, byte) = connection.passed, byte <= connection.taken + end else { return nil }
    connection.passed = nil
    return file
  }

  private func answer(_ line: UnsafeRawBufferPointer, with file: PassedFile?, _ connection: ServerConnection) {
    if stopDeadline == nil, file == nil, let flat = unsafe FlatRequest(line),
      let method = fastMethods.first(where: { flat.isMethod($0) }), flat.satisfies(method),
      let prepared = setup.handler.fastAnswer(flat)
    {
      if let descriptor = prepared.descriptor { connection.attach(descriptor) }
      connection.output.append(RPCAnswer.resultPrefix)
      unsafe connection.output.append(flat.idBytes)
      connection.output.append(RPCAnswer.resultMiddle)
      connection.output.append(prepared.result)
      connection.output.append("}\n")
      setup.counters.answeredFast()
      return
    }
    connection.inFlight += 1
    connection.hasFileInFlight = file != nil
    setup.requests.put(
      .init(
        line: unsafe [UInt8](line), connection: connection.shared, file: file, isLate: stopDeadline != nil))
  }

  /// Answers a line that is refused, and closes after it where nobody knows where the next line begins.
  func refuse(_ connection: ServerConnection, _ refusal: RPCRefusal) {
    if !refusal.isNotification {
      connection.output.append(RPCAnswer.failure(idBytes: refusal.id.json.serialized(), error: refusal.error))
    }
    if refusal.closes { endReading(connection) }
  }

  /// Nothing more is read; the connection ends when what is to go has gone.
  func endReading(_ connection: ServerConnection) {
    connection.isClosing = true
    connection.partialSince = nil
  }

  private static func tooLong(_ limit: Int) -> RPCRefusal {
    RPCRefusal(RPCError(.tooLarge, "the line has more than \(limit) bytes"), closes: true)
  }

  /// Whether no JSON text begins so: there is no reason to wait for the end of a line that is TLS or HTTP.
  private static func cannotBeginALine(_ line: UnsafeRawBufferPointer) -> Bool {
    guard let first = unsafe line.first(where: { $0 != 0x20 && $0 != 0x09 && $0 != 0x0d }) else { return false }
    switch first {
    case UInt8(ascii: "{"), UInt8(ascii: "["), UInt8(ascii: "\""), UInt8(ascii: "-"), 0x30...0x39, UInt8(ascii: "t"),
      UInt8(ascii: "f"), UInt8(ascii: "n"):
      return false
    default: return true
    }
  }

  private static func refusal(of line: UnsafeRawBufferPointer) -> RPCRefusal? {
    do throws(RPCRefusal) {
      _ = try unsafe RPCRequest.parse(line)
      return nil
    } catch {
      return error
    }
  }
}
