import Registry
import RPCProtocol
import RPCServer
import StrictJSON
import WorkerProtocol

/// What becomes of a request to the worker, on the catalogue's thread.
typealias WorkerAnswer = (Result<JSONValue, RPCError>) -> Void

/// A client that reads along while its answer is made.
struct PartStream {
  let reply: RPCReply
  /// A decision as clients see it.
  let decided: (JSONValue) -> JSONValue
  var number = 0

  mutating func send(_ members: JSONObject) {
    reply.part(number, members)
    number += 1
  }
}

extension Steward {
  /// Asks the worker. While one is starting the request waits for it; while none can be started it fails at once.
  /// Returns its number, by which it can be cancelled.
  @discardableResult
  func send(_ call: WorkerCall, _ answer: @escaping WorkerAnswer) -> Int64? {
    let worker = board.worker
    guard worker.state != .failed else {
      answer(
        .failure(
          RPCError(
            .workerUnavailable, "the worker is not running: \(worker.problem ?? "it has not started yet")",
            hint: "t2d goes on trying to start it; see 't2ctl status'")))
      return nil
    }
    lastCall += 1
    let request = WorkerRequest(id: lastCall, call: call)
    calls[lastCall] = answer
    if worker.state == .ready { link?.send(request) } else { heldCalls.append(request) }
    return lastCall
  }

  /// Asks for a text that `reply`'s client waits for: it reads along where the call streams, and nothing more is
  /// computed once it has gone.
  func generate(
    _ call: GenerateCall, for reply: RPCReply, decided: @escaping (JSONValue) -> JSONValue,
    _ answer: @escaping WorkerAnswer
  ) {
    let observer = Observer()
    let number = send(.generate(call)) { [unowned self] result in
      if let number = observer.call { streams[number] = nil }
      reply.connection.forget(observer.number)
      answer(result)
    }
    guard let number else { return }
    observer.call = number
    if call.stream { streams[number] = PartStream(reply: reply, decided: decided) }
    let post = post
    observer.number = reply.connection.onDisconnect { post { $0.abandon(number) } }
  }

  /// What `generate` learns of its own request after it was sent.
  private final class Observer {
    var call: Int64?
    var number: Int?
  }

  /// Nobody waits for this request any more.
  func abandon(_ number: Int64) {
    guard calls[number] != nil else { return }
    if heldCalls.contains(where: { $0.id == number }) {
      heldCalls.removeAll { $0.id == number }
      calls.removeValue(forKey: number)?(.failure(RPCError(.cancelled, "the client has gone")))
      return
    }
    log.debug("a client has gone; its request is cancelled", ["request": number])
    send(.cancelRequest(number)) { _ in }
  }
}
