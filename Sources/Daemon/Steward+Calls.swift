import Registry
import RPCProtocol
import StrictJSON
import WorkerProtocol

/// What becomes of a request to the worker, on the catalogue's thread.
typealias WorkerAnswer = (Result<JSONValue, RPCError>) -> Void

extension Steward {
  /// Asks the worker. While one is starting the request waits for it; while none can be started it fails at once.
  func send(_ call: WorkerCall, _ answer: @escaping WorkerAnswer) {
    let worker = board.worker
    guard worker.state != .failed else {
      return answer(
        .failure(
          RPCError(
            .workerUnavailable, "the worker is not running: \(worker.problem ?? "it has not started yet")",
            hint: "t2d goes on trying to start it; see 't2ctl status'")))
    }
    lastCall += 1
    let request = WorkerRequest(id: lastCall, call: call)
    calls[lastCall] = answer
    if worker.state == .ready { link?.send(request) } else { heldCalls.append(request) }
  }
}
