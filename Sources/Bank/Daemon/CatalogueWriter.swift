import Registry
import StrictJSON
import SystemSupport

/// The one way in which the catalogue changes: a transaction, then the snapshot that readers see, then whoever follows
/// the events.
///
/// On the catalogue's thread only. Who answers a client answers after `change` has returned.
final class CatalogueWriter {
  /// For what a snapshot does not hold: journals, logs, jobs that have ended.
  let catalogue: Catalogue
  let followers = EventFollowers()
  private let snapshots: CurrentSnapshot
  private let store: BlobStore
  private let configuredModel: String?
  private let board: StatusBoard
  private let log: Logger

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
    catalogue = try Catalogue(path: path, backups: store.backups, now: .now)
    snapshots.publish(try catalogue.snapshot(after: nil, configuredModel: configuredModel) { store.path($0) })
  }

  var snapshot: Snapshot { snapshots.get() }

  /// One transaction; then its snapshot and its events are public.
  @discardableResult
  func change<Value>(_ body: () throws(RegistryError) -> Value) throws(RegistryError) -> Value {
    let value = try catalogue.transaction(body)
    let store = store
    snapshots.publish(try catalogue.snapshot(after: snapshot, configuredModel: configuredModel) { store.path($0) })
    for event in catalogue.takeEvents() { followers.tell(event) }
    return value
  }

  /// A change that nobody waits for an answer of: what fails is logged, and stays as it was.
  func attempt(_ what: String, _ body: () throws(RegistryError) -> Void) {
    do throws(RegistryError) {
      try body()
    } catch {
      log.error("cannot \(what)", ["error": error])
      board.raise(
        DaemonWarning(
          code: "store", message: "cannot \(what): \(error)", help: "see the log; free space, or repair the disk"))
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
}
