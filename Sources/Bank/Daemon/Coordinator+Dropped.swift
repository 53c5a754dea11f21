import Glibc
import Registry
import StrictJSON
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
    case .rejected(_, let reason): self.init(kind: "not_taken", reason)
    case .failed(let error): self.init(.incomplete, kind: "io_error", error.description, outcome: .retryLater)
    }
  }

  init(_ error: RegistryError) { self.init(.incomplete, kind: "io_error", error.description, outcome: .retryLater) }
}

/// Dropped files: each ends in exactly one visible state, and a bad one stops no other.
extension Coordinator {
  /// Takes a slice of what waits. `next` gives the events in their order and removes them: one at least, and further ones
  /// as long as nothing more urgent waits for the thread; then nil.
  func dropped(_ next: () -> DropEvent?) {
    if let event = next() { dropped(event) }
  }

  func dropped(_ event: DropEvent) {
    switch event {
    case .due(let item):
      item.finished(take(item))
    case .vanished(let label, let name):
      guard let directory = IngestRecord.Directory(rawValue: label) else { return }
      writer.attempt("forget a file that is gone") { () throws(RegistryError) in
        try writer.change { () throws(RegistryError) in try catalogue.forget(directory, file: name) }
      }
    // The names that files have while they are being written: they come and go, and are meant for nobody.
    case .ignored(_, _, "hidden"), .ignored(_, _, "temporary"): break
    case .ignored(let label, let name, let rule):
      show(label, name, Refusal(.ignored, kind: rule, "the name is that of no expert and no task (\(rule))"))
    case .rejected(let label, let name, let reason):
      let kind = reason.split(separator: ":", maxSplits: 1).first.map { String($0) } ?? "bad_name"
      show(label, name, Refusal(kind: kind, reason))
    case .incomplete(let label, let name):
      show(
        label, name,
        Refusal(.incomplete, kind: "incomplete", "it has been incomplete for a while; is it still being written?"))
    case .condition(let label, let condition):
      let code = "watch_\(label)"
      switch condition {
      case .watching: board.end(code)
      case .polling, .missing, .unreadable:
        let path = label == "experts" ? paths.experts : paths.tasks
        board.raise(
          DaemonWarning(
            code: code, message: "the watched directory '\(path)' is \(condition)",
            help: "files dropped there are seen late, or not at all"))
        log.warning("watched directory", ["path": path, "condition": condition.description])
      }
    }
  }

  private func take(_ item: DropItem) -> DropOutcome {
    guard let directory = IngestRecord.Directory(rawValue: item.label) else { return .settled }
    let identity = item.identity.text
    if let known = snapshot.ingested.first(where: { $0.directory == directory && sameName($0.file, item.name) }),
      known.identity == identity, known.state == .accepted || known.state == .duplicate
    {
      return .settled
    }
    do throws(Refusal) {
      switch directory {
      case .experts: try takeExpert(item.name, in: item.directory, identity: identity)
      case .tasks: try takeTask(item, identity: identity)
      }
      reconcile()
      return .settled
    } catch {
      show(item.label, item.name, error, identity: identity)
      return error.outcome
    }
  }

  /// Makes a file's state visible; the same state again is no event.
  func show(_ label: String, _ name: String, _ refusal: Refusal, identity: String = "") {
    guard let directory = IngestRecord.Directory(rawValue: label) else { return }
    let known = snapshot.ingested.first { $0.directory == directory && sameName($0.file, name) }
    let record = IngestRecord(
      directory: directory, file: name, state: refusal.state, kind: refusal.kind, message: refusal.message,
      identity: identity, time: .now)
    if let known, known.state == record.state, known.message == record.message, known.identity == identity { return }
    log.notice(
      "dropped file", ["file": "\(label)/\(name)", "state": refusal.state.rawValue, "reason": refusal.message])
    writer.attempt("record a dropped file") { () throws(RegistryError) in
      try writer.change { () throws(RegistryError) in
        try catalogue.store(record)
        try catalogue.record(
          "ingest.\(refusal.state.rawValue)", name,
          ["directory": .string(label), "kind": .string(refusal.kind), "message": .string(refusal.message)], now: .now)
      }
    }
  }

  /// Tries the experts again that had no model, or none that fitted: a model was added or has changed.
  func retryExperts(all: Bool) {
    let again = snapshot.ingested.filter { record in
      guard record.directory == .experts else { return false }
      if all { return record.state != .ignored }
      return record.state == .waitingForModel || (record.state == .rejected && !record.identity.isEmpty)
    }
    guard !again.isEmpty else { return }
    let directory: FileDescriptor
    do throws(SystemCallError) {
      directory = try FileDescriptor.open(paths.experts, O_RDONLY | O_DIRECTORY)
    } catch {
      return log.warning("cannot try the experts again", ["error": error])
    }
    for record in again {
      do throws(Refusal) {
        try takeExpert(record.file, in: directory, identity: record.identity)
      } catch {
        if error.kind != "vanished" { show("experts", record.file, error, identity: record.identity) }
      }
    }
  }
}

extension DropIdentity {
  /// As the catalogue keeps it, to compare with.
  var text: String {
    files.map { entry in
      let id = entry.identity
      return "\(escaped(bytes: entry.name)):\(id.device):\(id.inode):\(id.size):\(id.modifiedNanoseconds):"
        + "\(id.changedNanoseconds)"
    }.joined(separator: " ")
  }
}
