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
    /// Whether it ends a request, which is then no longer in flight; of a notification, or one that nobody reads, without
    /// bytes.
    var isAnswer = false
    /// Whether a file was passed with that request.
    var passed = false
    /// Nothing is read from the connection any more, and it ends when this was sent.
    var closes = false
  }
}

typealias Outbox = Mailbox<Outgoing>
