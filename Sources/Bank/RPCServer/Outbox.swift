import SystemSupport

/// On its way from any thread to the server's, which alone touches connections.
enum Outgoing: Sendable {
  case line(Line)
  /// No new requests from now on; those in flight may end until then. The first one counts.
  case stop(Deadline)

  struct Line: Sendable {
    let connection: UInt64
    let bytes: [UInt8]
    let descriptor: FileDescriptor?
    /// Whether it answers a request, which is then no longer in flight.
    let isAnswer: Bool
  }
}

typealias Outbox = Mailbox<Outgoing>
