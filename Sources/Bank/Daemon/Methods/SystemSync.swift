import Registry
import RPCProtocol
import SystemSupport
import Watcher

extension SystemSync: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let timeout = Duration.milliseconds(asked.timeout)
    service.onCatalogue(reply) { (coordinator) throws(RPCError) in
      coordinator.withWatcher { watcher in
        watcher.sync(until: .after(timeout)) { seen in
          // From the watcher's thread: behind what it announced before.
          service.afterFiles(reply) { (coordinator) throws(RPCError) in
            try check(seen, after: timeout)
            coordinator.afterRetries { error in
              if let error { reply.fail(error) } else { reply.succeed(settle(coordinator)) }
            }
          }
        }
      } refuse: {
        reply.fail($0)
      }
    }
  }

  private static func check(_ seen: DirectoryWatcher.SyncResult, after timeout: Duration) throws(RPCError) {
    switch seen {
    case .done: break
    case .timedOut:
      throw RPCError(
        .timeout, "t2d is not done with the watched directories after \(timeout.inSeconds) s",
        hint: "a file is still being written, or a large one is being read; see: t2ctl status")
    case .stopped: throw CatalogueThread.ending
    }
  }

  /// Looks at what is outside of the watched directories, begins what waits for quiet, and says what there is.
  private static func settle(_ coordinator: Coordinator) -> Result {
    for model in coordinator.snapshot.models { coordinator.lookAgain(at: model) }
    coordinator.examineDamage()
    coordinator.stopWaiting()
    let snapshot = coordinator.snapshot
    let (rejected, leftOut) = Page.beginning(of: snapshot.rejected) {
      $0.row(directory: coordinator.paths.directory($0.directory))
    }
    return Result(
      generation: snapshot.generation, experts: snapshot.experts.count, tasks: snapshot.tasks.count,
      rejected: rejected, rejectedLeftOut: leftOut > 0 ? leftOut : nil)
  }
}
