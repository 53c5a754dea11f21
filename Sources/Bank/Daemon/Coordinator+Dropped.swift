import Settings
import Glibc
import Registry
import RPCProtocol
import StrictJSON
import SystemSupport
import Watcher

/// Dropped files: each ends in exactly one visible state, and a bad one stops no other.
///
/// They are taken in batches. What is slow, and fails for one file alone, comes before the transaction: files are copied
/// and checked, then their blobs are made durable side by side. Then one transaction has all their rows, each file's a
/// part of its own; then one snapshot. Only after that is a file said to be `finished`.
extension Coordinator {
  /// The limits of a batch: after so many files, or so long, others have their turn, and what was taken is stored.
  private static let batchSize = 256
  private static let batchTime = Duration.milliseconds(20)

  /// Takes a slice of what waits. `next` gives the events in their order and removes them: one at least, and further ones
  /// as long as nothing more urgent waits for the thread; then nil.
  func dropped(_ next: () -> DropEvent?) { takeBatch { next().map { .event($0) } } }

  private func takeBatch(_ next: () -> DropStep.Cause?) {
    let start = MonotonicInstant.now
    var batch: [DropStep] = []
    while batch.count < Self.batchSize, batch.isEmpty || .now - start < Self.batchTime, let cause = next() {
      batch.append(DropStep(cause: cause, look: look(at: cause, after: batch)))
    }
    let experts = batch.flatMap { expertFiles(of: $0) }.compactMap { snapshot.ingested(.experts, $0) }
    store(&batch)
    retryTakenNames(ifFreedBy: experts)
    // Whoever follows a mixture sees that it is stale before `sync` says that all was taken.
    if batch.contains(where: \.isChange) { reconcile() }
    for step in batch { step.finish(watcher) }
  }

  // MARK: - Files that are tried again

  /// So many are tried before anything else is done: whoever waits for a model finds its experts with it.
  private static let immediateRetries = 64

  /// Tries the experts again that had no model, or none that fitted: a model was added or has changed.
  func retryExperts(all: Bool) {
    for record in snapshot.ingested where record.directory == .experts {
      let isWaiting = record.state == .waitingForModel || (record.state == .rejected && !record.identity.isEmpty)
      if all ? record.state != .ignored : isWaiting { retries.append(record) }
    }
    for _ in 0..<Self.immediateRetries where !retries.isEmpty { retrySomeExperts() }
  }

  /// Takes a slice of them; the thread does what is more urgent in between.
  func retrySomeExperts() {
    do throws(SystemCallError) {
      let directory = try FileDescriptor.open(paths.experts, O_RDONLY | O_DIRECTORY)
      takeBatch { retries.popFirst().map { .retry($0, directory) } }
    } catch {
      log.warning("cannot try the experts again at once", ["error": error])
      while let record = retries.popFirst() { watcher?.tellAgain(label: "experts", name: record.file) }
    }
    if retries.isEmpty { answerAfterRetries(nil) }
  }

  private func expertFiles(of step: DropStep) -> [String] {
    if case .event(.listed(IngestRecord.Directory.experts.rawValue, let names)) = step.cause {
      return gone(IngestRecord.Directory.experts.rawValue, names)
    }
    return step.expertFile.map { [$0] } ?? []
  }

  /// Files whose name was another's are tried again once that one is gone, or is no more what it was. `before`: what the
  /// files of a batch were before it.
  private func retryTakenNames(ifFreedBy before: [IngestRecord]) {
    let isFreed = before.contains { record in
      guard let name = record.subject, record.isExpert(name) else { return false }
      return !(snapshot.ingested(.experts, record.file)?.isExpert(name) ?? false)
    }
    guard isFreed else { return }
    for record in snapshot.ingested where record.kind == Self.nameTakenKind { retries.append(record) }
  }

  /// Once all of them were tried, at once where there are none; or with why they will not be.
  func afterRetries(_ body: @escaping (RPCError?) -> Void) {
    if retries.isEmpty { body(nil) } else { whenRetried.append(body) }
  }

  /// The daemon is about to end: what was not tried is tried by the next scan.
  func endRetries() {
    retries = FIFO()
    answerAfterRetries(RPCError(.shuttingDown, "t2d is ending"))
  }

  private func answerAfterRetries(_ error: RPCError?) {
    let waiting = whenRetried
    whenRetried = []
    for body in waiting { body(error) }
  }

  // MARK: - Before the transaction

  private func look(at cause: DropStep.Cause, after batch: [DropStep]) -> DropStep.Look {
    switch cause {
    case .event(.due(let item)):
      guard let directory = IngestRecord.Directory(rawValue: item.label) else { return .nothing }
      let identity = item.identity.text
      if let known = snapshot.ingested(directory, item.name), known.identity == identity,
        known.state == .accepted || known.state == .duplicate || known.kind == Self.removedKind,
        // What goes earlier in this batch is known no more when its turn comes.
        !batch.contains(where: { $0.forgets(item.label, item.name) })
      {
        return .known
      }
      guard directory == .experts else { return .nothing }
      return look(at: item.name, in: item.directory, identity, after: batch)
    case .retry(let record, let directory): return look(at: record.file, in: directory, record.identity, after: batch)
    case .event(.listed(let label, let names)): return gone(label, names).isEmpty ? .known : .nothing
    // Its attempts have said what it lacks.
    case .event(.incomplete): return .known
    case .event(.vanished), .event(.ignored), .event(.rejected), .event(.failed), .event(.replaced), .event(.crowded),
      .event(.condition):
      return .nothing
    }
  }

  /// The files that are shown and were not found: they went while nobody watched, or could not be forgotten then.
  private func gone(_ label: String, _ names: Set<[UInt8]>) -> [String] {
    snapshot.ingested.filter { $0.directory.rawValue == label && !names.contains(Array($0.file.utf8)) }.map(\.file)
  }

  private func look(
    at file: String, in directory: FileDescriptor, _ identity: String, after batch: [DropStep]
  ) -> DropStep.Look {
    do throws(Refusal) {
      return .expert(try check(file, in: directory, after: batch), identity: identity)
    } catch {
      return .refused(error, identity: identity)
    }
  }

  // MARK: - What is stored

  /// Makes blobs durable, then rows. Whatever happens, each step has its outcome then.
  private func store(_ batch: inout [DropStep]) {
    publishBlobs(of: &batch)
    guard batch.contains(where: \.isChange) else { return }
    do throws(RegistryError) {
      try writer.batch {
        for place in batch.indices { storeRows(of: &batch[place]) }
      }
    } catch {
      // None of it is stored.
      let failure = error
      writer.attempt("record dropped files") { () throws(RegistryError) in throw failure }
      for place in batch.indices where batch[place].isChange { batch[place].isStored = false }
      writer.showUnstored(batch.compactMap { unstoredState(of: $0, because: failure) })
    }
  }

  /// What is shown of a file while nothing can be stored.
  private func unstoredState(of step: DropStep, because failure: RegistryError) -> IngestRecord? {
    guard step.isChange else { return nil }
    switch step.cause {
    case .event(.due(let item)):
      let refusal = if case .refused(let refusal, _) = step.look { refusal } else { Refusal(failure) }
      return record(item.label, item.name, refusal, identity: item.identity.text)
    case .event(let event): return refused(event).flatMap { record($0.label, $0.name, $0.refusal) }
    // It has a state already.
    case .retry: return nil
    }
  }

  /// A name that is refused as such.
  private func refused(_ event: DropEvent) -> (label: String, name: String, refusal: Refusal)? {
    switch event {
    case .ignored(let label, let name, let rule):
      return (label, name, Refusal(.ignored, kind: rule, rules(label).explanation(ofIgnored: rule)))
    case .rejected(let label, let name, let reason):
      return (label, name, Refusal(reason: reason, else: "bad_name"))
    case .failed(let label, let name, let error): return (label, name, Refusal(error))
    case .due, .vanished, .listed, .incomplete, .crowded, .replaced, .condition: return nil
    }
  }

  private func publishBlobs(of batch: inout [DropStep]) {
    let places = batch.indices.filter { batch[$0].content != nil }
    let published = store.publish(places.compactMap { batch[$0].content })
    for (place, result) in zip(places, published) {
      batch[place].published = result
      // It is copied anew when it is tried again.
      if case .failure = result, let path = batch[place].content?.path { _ = try? FileSystem.remove(path) }
    }
  }

  /// Within the transaction, in the order of the events.
  private func storeRows(of step: inout DropStep) {
    switch step.cause {
    case .event(.due(let item)):
      do throws(Refusal) {
        // A task has files, rows and other forms of itself, and what it becomes depends on those before it.
        if case .nothing = step.look, item.label == IngestRecord.Directory.tasks.rawValue {
          try takeTask(item, identity: item.identity.text)
        } else {
          try storeExpert(of: step, item.name)
        }
      } catch {
        step.isStored = show(item.label, item.name, error, identity: item.identity.text)
        step.outcome = error.outcome
      }
    case .retry(let record, _):
      do throws(Refusal) {
        try storeExpert(of: step, record.file)
      } catch {
        guard error.kind != "vanished" else { return }
        step.isStored = show("experts", record.file, error, identity: record.identity)
        step.outcome = error.outcome
      }
    case .event(.vanished(let label, let name)): forget(label, [name])
    case .event(.listed(let label, let names)): forget(label, gone(label, names))
    // The names that files have while they are being written: they come and go, and are meant for nobody.
    case .event(.ignored(_, _, "hidden")), .event(.ignored(_, _, "temporary")): break
    case .event(.ignored), .event(.rejected), .event(.failed):
      guard case .event(let event) = step.cause, let (label, name, refusal) = refused(event) else { return }
      step.isStored = show(label, name, refusal)
    case .event(.incomplete): break
    case .event(.crowded(let label, let limit)): show(label, limit: limit)
    case .event(.replaced(let label)):
      writer.note("directory.replaced", label, ["path": .string(label == "experts" ? paths.experts : paths.tasks)])
    case .event(.condition(let label, let condition)): show(label, condition)
    }
  }

  private func storeExpert(of step: DropStep, _ file: String) throws(Refusal) {
    switch step.look {
    case .nothing, .known: break
    case .refused(let refusal, _): throw refusal
    case .expert(let expert, let identity):
      do throws(RegistryError) {
        try accept(expert, try step.published?.get(), file: file, identity: identity)
      } catch {
        throw Refusal(error)
      }
    }
  }

  private func rules(_ label: String) -> NameRules { label == "experts" ? .experts : .tasks }

  private func show(_ label: String, limit: Int?) {
    let code = "too_many_files"
    guard let limit else {
      board.end(code, about: label)
      return
    }
    board.raise(
      DaemonWarning(
        code: code, subject: label,
        message: "more than \(limit) names are in the watched directory of \(label), and the rest is not looked at",
        help: "take files away that are in the bank already, which keeps what they became"))
  }

  private func show(_ label: String, _ condition: DirectoryCondition) {
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

  private func forget(_ label: String, _ names: [String]) {
    guard let directory = IngestRecord.Directory(rawValue: label), !names.isEmpty else { return }
    writer.attempt("forget files that are gone") { () throws(RegistryError) in
      try writer.change { () throws(RegistryError) in
        for name in names { try catalogue.forget(directory, file: name) }
      }
    }
  }

  /// Makes a file's state visible; the same state again is no event. False where it could not be stored.
  @discardableResult
  func show(_ label: String, _ name: String, _ refusal: Refusal, identity: String = "") -> Bool {
    guard let record = record(label, name, refusal, identity: identity) else { return true }
    let known = snapshot.ingested(record.directory, name)
    let isShown = known.map { $0.state == record.state && $0.message == record.message && $0.identity == identity }
    if let known, isShown == true, !writer.isUnstored(known) { return true }
    if isShown != true {
      log.notice(
        "dropped file", ["file": "\(label)/\(name)", "state": refusal.state.rawValue, "reason": refusal.message])
    }
    var isStored = false
    writer.attempt("record a dropped file") { () throws(RegistryError) in
      try writer.change { () throws(RegistryError) in
        try catalogue.store(record)
        try catalogue.record(
          "ingest.\(refusal.state.rawValue)", name,
          ["directory": .string(label), "kind": .string(refusal.kind), "message": .string(refusal.message)], now: .now)
      }
      isStored = true
    }
    if !isStored { writer.showUnstored([record]) }
    return isStored
  }

  private func record(_ label: String, _ name: String, _ refusal: Refusal, identity: String = "") -> IngestRecord? {
    IngestRecord.Directory(rawValue: label).map { directory in
      IngestRecord(
        directory: directory, file: name, state: refusal.state, kind: refusal.kind, message: refusal.message,
        identity: identity, time: .now)
    }
  }
}

extension NameRules {
  /// Of the directory of tasks.
  static let tasks = NameRules.tasks(rowEndings: TaskFileName.rowEndings)
}

extension DropIdentity {
  /// Whether two texts are of files with the same sizes and times of modification, which a copy of a whole disk keeps.
  static func areOfSameTimes(_ a: String, _ b: String) -> Bool {
    func kept(_ text: String) -> [[Substring]] {
      text.split(separator: " ").map { $0.split(separator: ":").suffix(3).dropLast() }.map { Array($0) }
    }
    return kept(a) == kept(b)
  }

  /// As the catalogue keeps it, to compare with.
  var text: String {
    files.map { entry in
      let id = entry.identity
      return "\(escaped(bytes: entry.name)):\(id.device):\(id.inode):\(id.size):\(id.modifiedNanoseconds):"
        + "\(id.changedNanoseconds)"
    }.joined(separator: " ")
  }
}
