import Records

/// An error that crosses the process boundary: what kind, in words for people, and whether trying again can help.
package struct WorkerFault: Error, WorkerMessage, CustomStringConvertible {
  /// A short name that programs test, such as `model_unreadable`; never shown alone.
  package var kind: Kind
  package var message: String
  /// True where the same request may succeed later (memory, a file that is being replaced).
  package var retry: Bool
  /// Of `damaged`: the stored file.
  package var file: String?

  /// The kinds; the daemon maps each to an RPC error in one switch.
  package enum Kind: String, Choice {
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
    /// It would need more than the worker may take; nothing was tried.
    case notEnoughMemory = "not_enough_memory"
    case files = "files"
    /// A stored file is not what was stored.
    case damaged = "damaged"
    /// An engine elsewhere is away, starting or broken.
    case engineUnavailable = "engine_unavailable"
    /// An engine elsewhere is not what it was, or answered what cannot be.
    case engineUntrusted = "engine_untrusted"
    case cancelled = "cancelled"
    case failed = "failed"
  }

  package init(_ kind: Kind, _ message: String, retry: Bool = false) {
    self.kind = kind
    self.message = message
    self.retry = retry
  }

  /// A stored file is not what was stored: `problem` says how, as "it is missing".
  package static func damaged(_ what: String, _ file: String, _ problem: String) -> WorkerFault {
    var fault = WorkerFault(.damaged, "\(what) is damaged: '\(file)': \(problem)")
    fault.file = file
    return fault
  }

  package var description: String { message }
}
