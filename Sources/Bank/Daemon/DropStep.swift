import Registry
import SystemSupport
import Watcher

/// One file of a batch, or another event of the watcher, on its way into the catalogue.
struct DropStep {
  enum Cause {
    case event(DropEvent)
    /// A file of the directory of experts, which had this state, is tried again.
    case retry(IngestRecord, FileDescriptor)
  }

  /// What was found before the transaction.
  enum Look {
    case nothing
    /// This very file has its state already.
    case known
    case expert(CheckedExpert, identity: String)
    case refused(Refusal, identity: String)
  }

  let cause: Cause
  let look: Look
  /// What became of the blob; nil where there is none to store.
  var published: Result<BlobReference, RegistryError>?
  /// What the watcher is told.
  var outcome = DropOutcome.settled
  /// False where what it came to could not be kept.
  var isStored = true

  init(cause: Cause, look: Look) {
    self.cause = cause
    self.look = look
  }

  /// False where the catalogue need not be touched.
  var isChange: Bool {
    if case .known = look { return false }
    return true
  }

  /// Whether the state of this file goes with it.
  func forgets(_ label: String, _ name: String) -> Bool {
    switch cause {
    case .event(.vanished(label, name)): true
    case .event(.listed(label, let names)): !names.contains(Array(name.utf8))
    case .event, .retry: false
    }
  }

  /// The file in the directory of experts that it is about; nil for other events.
  var expertFile: String? {
    switch cause {
    case .event(.due(let item)): item.label == IngestRecord.Directory.experts.rawValue ? item.name : nil
    case .event(.vanished(IngestRecord.Directory.experts.rawValue, let name)): name
    case .event: nil
    case .retry(let record, _): record.file
    }
  }

  /// Whether it is to be an expert of this one's name with other content.
  func isInTheWay(of other: ExpertVersion) -> Bool {
    guard case .expert(let expert, _) = look, sameName(expert.version.name, other.name) else { return false }
    return expert.version.digest != other.digest || expert.version.modelDigest != other.modelDigest
  }

  var content: StagedContent? {
    if case .expert(let expert, _) = look { expert.content } else { nil }
  }

  /// What it came to can be seen by all, or comes again.
  func finish(_ watcher: DirectoryWatcher?) {
    switch cause {
    case .event(.due(let item)): item.finished(isStored ? outcome : .retryLater)
    case .retry(let record, _):
      if !isStored || outcome != .settled { watcher?.tellAgain(label: "experts", name: record.file) }
    case .event(.ignored(let label, let name, _)), .event(.rejected(let label, let name, _)):
      if !isStored { watcher?.tellAgain(label: label, name: name) }
    // The next scan tells of what is gone.
    case .event: break
    }
  }
}
