import Registry
import RPCProtocol
import SystemSupport
import Watcher

extension SystemSync: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let timeout = Duration.milliseconds(asked.timeout)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      guard let watcher = coordinator.watcher else {
        throw RPCError(.shuttingDown, "t2d is starting or stopping")
      }
      watcher.sync(until: .after(timeout)) { result in
        // From the watcher's thread: behind what it announced before.
        service.afterFiles(reply) { coordinator throws(RPCError) in
          switch result {
          case .done: break
          case .timedOut:
            throw RPCError(
              .timeout, "t2d is not done with the watched directories after \(timeout.inSeconds) s",
              hint: "a file is still being written, or a large one is being read; see: t2ctl status")
          case .stopped: throw RPCError(.shuttingDown, "t2d is ending")
          }
          coordinator.afterRetries { error in
            if let error { return reply.fail(error) }
            for model in coordinator.snapshot.models { coordinator.lookAgain(at: model) }
            coordinator.examineDamage()
            coordinator.stopWaiting()
            let snapshot = coordinator.snapshot
            let (rejected, leftOut) = Page.beginning(of: snapshot.rejected()) {
              $0.row(directory: service.paths.directory($0.directory))
            }
            reply.succeed(
              Result(
                generation: snapshot.generation, experts: snapshot.experts.count, tasks: snapshot.tasks.count,
                rejected: rejected, rejectedLeftOut: leftOut > 0 ? leftOut : nil))
          }
        }
      }
    }
  }
}
