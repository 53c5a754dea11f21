package import SystemSupport

/// A private, durable, read-only copy of a dropped file. It is removed with this object, unless someone took it over.
package final class StagedFile {
  package let path: String
  /// The copy itself when it was complete: what is read from it later is what was copied while this stands.
  package let identity: FileIdentity
  package var size: Int { identity.size }
  /// The source as it was before and after the copy.
  package let source: FileStatus
  /// Whether the kernel vouched that nobody was writing; otherwise only a quiet time did.
  package let wasLeased: Bool
  private var isOwned = true

  init(path: String, identity: FileIdentity, source: FileStatus, wasLeased: Bool) {
    self.path = path
    self.identity = identity
    self.source = source
    self.wasLeased = wasLeased
  }

  deinit {
    if isOwned { _ = try? FileSystem.remove(path) }
  }

  /// The file at `path` belongs to the caller from now on, who renames or removes it.
  package func relinquish() -> String {
    isOwned = false
    return path
  }
}

/// Why a dropped file was not copied.
package enum StagingError: Error, Equatable, CustomStringConvertible {
  /// Try again later: it is being written.
  case incomplete(name: String, reason: String)
  case vanished(name: String)
  /// Not a thing that is ever taken.
  case rejected(name: String, reason: String)
  /// The file may not be opened.
  case unreadable(SystemCallError)
  /// The system refused; it may work later.
  case failed(SystemCallError)

  package var description: String {
    switch self {
    case .incomplete(let name, let reason): "'\(escaped(name))' is not complete: \(reason)"
    case .vanished(let name): "'\(escaped(name))' is gone"
    case .rejected(let name, let reason): "'\(escaped(name))' is refused: \(reason)"
    case .unreadable(let error), .failed(let error): "\(error)"
    }
  }

  /// What to tell the watcher.
  package var outcome: DropOutcome {
    switch self {
    case .incomplete: .incomplete
    case .vanished, .rejected: .settled
    case .unreadable, .failed: .retryLater
    }
  }
}
