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
    snapshots.publish(try catalogue.snapshot(after: nil, configuredModel: configuredModel) { store.path($0) })
  }

  var snapshot: Snapshot { snapshots.get() }

  /// One transaction; then its snapshot and its events are public. What is thrown has changed nothing.
  @discardableResult
  func change<Value>(_ body: () throws(RegistryError) -> Value) throws(RegistryError) -> Value {
    let value: Value
    do throws(RegistryError) { value = try catalogue.transaction(body) } catch {
      if error.isOfTheDisk { refused(error) }
      throw error
    }
    publish()
    return value
  }

  /// What was committed is true whether or not it can be read at this moment.
  private func publish() {
    let store = store
    do throws(RegistryError) {
      snapshots.publish(try catalogue.snapshot(after: snapshot, configuredModel: configuredModel) { store.path($0) })
      isBehind = false
      for event in catalogue.takeEvents() { followers.tell(event) }
    } catch {
      isBehind = true
      refused(error)
    }
  }

  /// A change that nobody waits for an answer of: what fails is logged, and stays as it was.
  func attempt(_ what: String, _ body: () throws(RegistryError) -> Void) {
    do throws(RegistryError) {
      try body()
    } catch {
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

  /// Tries again whether changes can be stored. True once, when they can again.
  func hasRecovered(at now: MonotonicInstant) -> Bool {
    guard let trouble, now >= trouble.next else { return false }
    if isBehind { publish() }
    do throws(RegistryError) {
      try change { () throws(RegistryError) in
        try catalogue.record("store.recovered", "store", ["since": .string(trouble.since.description)], now: .now)
      }
    } catch {
      return false
    }
    guard !isBehind else { return false }
    self.trouble = nil
    board.end(Self.warning)
    log.notice("changes can be stored again", ["since": trouble.since.description])
    return true
  }
}
