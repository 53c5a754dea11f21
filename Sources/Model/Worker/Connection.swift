package import StrictJSON
package import SystemSupport
package import WorkerProtocol

/// The worker's end of the socketpair.
///
/// One thread reads; any thread sends, one whole line at a time. When the daemon's end is gone there is nobody left to
/// work for: reading ends, sending is forgotten, and the process exits.
package final class Connection: Sendable {
  private let descriptor: FileDescriptor
  /// Held for one line, so that lines of several threads do not mix. The daemon always reads: it blocks only briefly.
  private let sending = Mutex(())

  package init(_ descriptor: FileDescriptor) { self.descriptor = descriptor }

  package func send(_ reply: WorkerReply) {
    let line = reply.json.workerLine
    sending.withLock { _ in
      // A daemon that has gone is noticed by the reader.
      try? descriptor.write(all: line)
    }
  }

  /// Answers the first request with a reason why there will be no other one.
  func refuse(_ reason: String) throws {
    struct Refused: Error {}
    do {
      try readLines { line in
        let fault = WorkerFault(.outOfMemory, reason)
        send(.fault(id: line["id"]?.integerValue ?? 0, fault))
        throw Refused()
      }
    } catch is Refused {}
  }

  /// Reads until the other end is closed, in the calling thread, handing each line on; throws where the stream cannot be
  /// understood or read any more.
  package func readLines(_ handle: (JSONValue) throws -> Void) throws {
    var assembler = LineAssembler()
    while true {
      let bytes = try descriptor.read(upTo: 1 << 16)
      if bytes.isEmpty { return }
      assembler.append(bytes)
      while let line = try assembler.next() { try handle(try JSONValue(workerLine: line)) }
    }
  }
}
