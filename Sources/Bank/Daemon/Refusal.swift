import Glibc
import Registry
import SystemSupport
import Watcher

/// Why a dropped file is not taken, for its one visible state.
struct Refusal: Error {
  var state: IngestState = .rejected
  /// A stable name, such as `not_finite`.
  var kind: String
  var message: String
  var outcome = DropOutcome.settled

  init(_ state: IngestState = .rejected, kind: String, _ message: String, outcome: DropOutcome = .settled) {
    self.state = state
    self.kind = kind
    self.message = message
    self.outcome = outcome
  }

  init(_ error: StagingError) {
    switch error {
    case .incomplete(_, let reason): self.init(.incomplete, kind: "incomplete", reason, outcome: .incomplete)
    case .vanished(let name): self.init(.incomplete, kind: "vanished", "'\(name)' is gone")
    case .rejected(_, let reason): self.init(reason: reason, else: "not_taken")
    case .unreadable(let error): self.init(.incomplete, kind: "unreadable", error.description, outcome: .retryLater)
    case .failed(let error): self.init(ofSystem: error.description)
    }
  }

  /// Of a text that may begin with its kind and a colon.
  init(reason: String, else kind: String) {
    let beginning = reason.prefix { $0 != ":" }
    let isKind = beginning.count < reason.count && beginning.allSatisfy { $0 == "_" || $0.isLowercase }
    self.init(kind: isKind ? String(beginning) : kind, reason)
  }

  /// Of a call on what was dropped.
  init(_ error: SystemCallError) {
    let isForbidden = error.number == EACCES || error.number == EPERM
    self.init(
      .incomplete, kind: isForbidden ? "unreadable" : "io_error", error.description, outcome: .retryLater)
  }

  init(_ error: RegistryError) { self.init(ofSystem: error.description) }

  /// What is not the file's fault refuses no file: it is tried again by itself. Names in `staging` are random, and are left
  /// out so that the same cause is the same message.
  private init(ofSystem message: String) {
    var message = message
    while let place = message.firstRange(of: "/staging/") {
      let end = message[place.upperBound...].firstIndex { $0 == "'" || $0 == " " } ?? message.endIndex
      message.replaceSubrange(message.index(before: place.upperBound)..<end, with: "")
    }
    self.init(.incomplete, kind: "io_error", message, outcome: .retryLater)
  }
}
