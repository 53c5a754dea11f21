import Registry
import StrictJSON
import SystemSupport

/// The one way in which the catalogue changes: a transaction, then the snapshot that readers see, then whoever follows
/// the events.
///
/// On the catalogue's thread only. Who answers a client answers after `change` has returned. While the disk refuses changes
/// the last snapshot is served, `status` says so, and it is tried again and again; what waited for it is told by `hasRecovered`.
final class CatalogueWriter {
  /// For what a snapshot does not hold: journals, logs, jobs that have ended.
  let catalogue: Catalogue
  let followers = EventFollowers()
  private let snapshots: CurrentSnapshot
  private let store: BlobStore
  private let configuredModel: String?
  private let board: StatusBoard
  private let log: Logger
  /// Since when the disk refuses, and when to try next; nil while it works.
  private var trouble: (since: Timestamp, pause: Duration, next: MonotonicInstant)?
  /// A commit whose snapshot could not be read yet.
  private var isBehind = false

  private static let firstPause = Duration.milliseconds(250)
  private static let longestPause = Duration.seconds(10)
  private static let warning = "store"

  /// What the running batch has come to so far; nil where none runs.
  private var working: Snapshot?
  /// The states of dropped files that could not be stored: they are shown from memory until they can be.
  private var unstored: [IngestRecord.Place: IngestRecord] = [:]
  /// What `takeChanges` has not given out yet.
  private var untakenChanges = CatalogueChanges.everything

  /// Opens the catalogue and publishes what it holds.
  init(
    path: String, store: BlobStore, configuredModel: String?, snapshots: CurrentSnapshot, board: StatusBoard,
    log: Logger
  ) throws(RegistryError) {
    self.snapshots = snapshots
    self.store = store
    self.configuredModel = configuredModel
    self.board = board
    self.log = log
    catalogue = try Catalogue(path: path, store: store, now: .now)
    snapshots.publish(try nextSnapshot(after: nil))
  }

  /// What stands, and within a batch what it has changed so far: whoever decides on the catalogue's thread decides by
  /// this. All others see what is durable.
  var snapshot: Snapshot { working ?? snapshots.get() }

  /// One transaction; then its snapshot and its events are public. What is thrown has changed nothing. Within a batch, a
  /// part of that which can fail alone.
  @discardableResult
  func change<Value>(_ body: () throws(RegistryError) -> Value) throws(RegistryError) -> Value {
    let value: Value
    do throws(RegistryError) {
      if let before = working {
        let after: Snapshot
        (value, after) = try catalogue.transaction { () throws(RegistryError) -> (Value, Snapshot) in
          (try body(), try nextSnapshot(after: before))
        }
        working = after
        return value
      }
      value = try catalogue.transaction(body)
    } catch {
      if error.isOfTheDisk { refused(error) }
      throw error
    }
    publish()
    return value
  }

  /// Many changes in one transaction, with one snapshot: when this returns, all that succeeded is durable and public, and
  /// when it throws nothing is. What acts upon a change must wait for that.
  func batch(_ body: () -> Void) throws(RegistryError) {
    precondition(working == nil, "a batch within a batch")
    let (before, changesBefore) = (snapshots.get(), catalogue.changes)
    working = before
    defer { working = nil }
    do throws(RegistryError) { try catalogue.transaction { () throws(RegistryError) in body() } } catch {
      // What an earlier snapshot could not read is still to be read.
      catalogue.changes.formUnion(changesBefore)
      if error.isOfTheDisk { refused(error) }
      throw error
    }
    guard let working, working !== before else { return }
    snapshots.publish(working)
    publish()
  }

  /// What was committed is true whether or not it can be read at this moment.
  private func publish() {
    do throws(RegistryError) {
      snapshots.publish(try nextSnapshot(after: snapshots.get()))
      isBehind = false
      for event in catalogue.takeEvents() { followers.tell(event) }
    } catch {
      isBehind = true
      refused(error)
    }
  }

  private func nextSnapshot(after previous: Snapshot?) throws(RegistryError) -> Snapshot {
    untakenChanges.formUnion(catalogue.changes)
    // What is stored of a file by now, or forgotten, is what is shown of it.
    for place in catalogue.changes.files { unstored[place] = nil }
    let store = store
    let stored = try catalogue.snapshot(after: previous, configuredModel: configuredModel) { store.path($0) }
    return unstored.isEmpty ? stored : stored.showing(unstored.values, configuredModel: configuredModel)
  }

  /// Shows the states of dropped files that could not be stored. The files are tried again, so they are stored later.
  func showUnstored(_ records: [IngestRecord]) {
    for record in records { unstored[record.place] = record }
    snapshots.publish(snapshots.get().showing(records, configuredModel: configuredModel))
  }

  func isUnstored(_ record: IngestRecord) -> Bool { unstored[record.place] == record }

  /// What may have changed since the last call.
  func takeChanges() -> CatalogueChanges {
    defer { untakenChanges = CatalogueChanges() }
    return untakenChanges
  }

  /// A change that nobody waits for an answer of: what fails is logged, and stays as it was. Where the disk failed, also at
  /// a file outside the catalogue, it is made up for when `hasRecovered`.
  func attempt(_ what: String, _ body: () throws(RegistryError) -> Void) {
    do throws(RegistryError) {
      try body()
    } catch {
      if error.isOfTheDisk { refused(error) }
      log.error("cannot \(what)", ["error": error])
    }
  }

  /// An event that is no part of another change.
  func note(_ kind: String, _ subject: String, _ detail: JSONObject) {
    attempt("record an event") { () throws(RegistryError) in
      _ = try change { () throws(RegistryError) in try catalogue.record(kind, subject, detail, now: .now) }
    }
  }

  /// Nothing may be read or changed any more.
  func close() { catalogue.close() }

  // MARK: - While the disk refuses

  private func refused(_ error: RegistryError) {
    // What fails between two tries does not put off the next.
    if trouble.map({ $0.next <= .now }) ?? true {
      let pause = trouble.map { min($0.pause * 2, Self.longestPause) } ?? Self.firstPause
      trouble = (trouble?.since ?? .now, pause, .now + pause)
    }
    board.raise(
      DaemonWarning(
        code: Self.warning, message: "nothing can be stored, what is there is served: \(error)",
        help: "free space, or repair the disk; t2d tries again by itself"))
  }

  /// When to try again; nil while the disk works.
  var nextDeadline: MonotonicInstant? { trouble?.next }

  /// Tries again whether changes can be stored, and first those that `storeWhatWaits` makes. True once, when they can again.
  func hasRecovered(at now: MonotonicInstant, _ storeWhatWaits: () throws(RegistryError) -> Void) -> Bool {
    guard let trouble, now >= trouble.next else { return false }
    if isBehind { publish() }
    do throws(RegistryError) {
      try storeWhatWaits()
      try change { () throws(RegistryError) in
        try catalogue.record("store.recovered", "store", ["since": .string(trouble.since.description)], now: .now)
      }
    } catch {
      // Once more, where a change has said so already.
      refused(error)
      return false
    }
    guard !isBehind else { return false }
    self.trouble = nil
    board.end(Self.warning)
    log.notice("changes can be stored again", ["since": trouble.since.description])
    return true
  }
}
