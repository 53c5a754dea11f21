import Registry

/// The queue in memory, which never says more than what is stored. On the catalogue's thread only.
final class CommittedQueue {
  private(set) var current = JobQueue()
  private let writer: CatalogueWriter

  init(writer: CatalogueWriter) { self.writer = writer }

  /// The one way in which the queue changes: decided on a copy, stored, and only then kept. Where that fails everything
  /// stays as it was. Both closures run within the transaction. The changes that are returned are stored and are yet to be
  /// acted upon.
  func change(
    _ decide: (inout JobQueue) throws(RegistryError) -> [JobQueue.Change],
    store: ([JobQueue.Change]) throws(RegistryError) -> Void
  ) throws(RegistryError) -> [JobQueue.Change] {
    var decided = current
    let changes = try writer.change { () throws(RegistryError) in
      let changes = try decide(&decided)
      try store(changes)
      return changes
    }
    current = decided
    return changes
  }
}
