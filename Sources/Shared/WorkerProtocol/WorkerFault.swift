package import StrictJSON

/// An error that crosses the process boundary: what kind, in words for people, and whether trying again can help.
package struct WorkerFault: Error, Sendable, Equatable, CustomStringConvertible {
  /// A short name that programs test, such as `model_unreadable`; never shown alone.
  package var kind: Kind
  package var message: String
  /// True where the same request may succeed later (memory, a file that is being replaced).
  package var retry: Bool

  /// The kinds; the daemon maps each to an RPC error in one switch.
  package enum Kind: String, Sendable, CaseIterable {
    case badRequest = "bad_request"
    case protocolMismatch = "protocol_mismatch"
    case modelUnreadable = "model_unreadable"
    case modelChanged = "model_changed"
    case expertUnreadable = "expert_unreadable"
    case taskUnreadable = "task_unreadable"
    case mixtureInvalid = "mixture_invalid"
    case noTokenizer = "no_tokenizer"
    case promptTooLong = "prompt_too_long"
    case unsupported = "unsupported"
    case busy = "busy"
    case unknownJob = "unknown_job"
    case outOfMemory = "out_of_memory"
    case files = "files"
    case cancelled = "cancelled"
    case failed = "failed"
  }

  package init(_ kind: Kind, _ message: String, retry: Bool = false) {
    self.kind = kind
    self.message = message
    self.retry = retry
  }

  package var description: String { message }

  package var json: JSONValue {
    object([("kind", .string(kind.rawValue)), ("message", .string(message)), ("retry", .bool(retry))])
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "error")
    self.init(try fields.name("kind"), try fields.string("message"), retry: try fields.bool("retry"))
  }
}
