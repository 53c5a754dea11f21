import Records
import Registry
import RPCProtocol
import RPCServer
import StrictJSON
import SystemSupport
import WorkerProtocol

/// What becomes of a request to the worker, on the catalogue's thread.
typealias WorkerAnswer = (Result<JSONValue, RPCError>) -> Void

/// Requests to the worker: those that it is answering, those that wait until one has started, and the clients that read
/// along while their answer is made. On the catalogue's thread only.
final class WorkerCalls {
  /// A client that reads along.
  private struct Stream {
    let reply: Reply<Generate.Result>
    /// A decision as clients see it.
    let decided: (Decision) -> ShownDecision?
    var number = 0

    mutating func send(_ part: Generate.Part) {
      reply.part(number, RecordWriter.object(part))
      number += 1
    }
  }

  private let board: StatusBoard
  private let log: Logger
  /// Runs something with these calls on the catalogue's thread later; any thread may call it.
  private let later: @Sendable (@escaping @Sendable (WorkerCalls) -> Void) -> Void
  /// Nil until the daemon has started it.
  private var link: WorkerLink?
  /// The link's number of the worker that is there, or of the last one.
  private var worker = 0
  private var answers: [Int64: WorkerAnswer] = [:]
  private var held: [WorkerRequest] = []
  /// By the number of the request.
  private var streams: [Int64: Stream] = [:]
  private var lastNumber: Int64 = 0

  init(
    board: StatusBoard, log: Logger, later: @escaping @Sendable (@escaping @Sendable (WorkerCalls) -> Void) -> Void
  ) {
    self.board = board
    self.log = log
    self.later = later
  }

  func attach(_ link: WorkerLink) { self.link = link }

  // MARK: - Asking

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
    lastNumber += 1
    let request = WorkerRequest(id: lastNumber, call: call)
    answers[lastNumber] = answer
    if worker.state == .ready { link?.send(request, to: self.worker) } else { held.append(request) }
    return lastNumber
  }

  /// The same, with the answer read.
  @discardableResult
  func send<Answer: WorkerResult>(
    _ call: WorkerCall, as type: Answer.Type, _ answer: @escaping (Result<Answer, RPCError>) -> Void
  ) -> Int64? {
    send(call) { result in
      answer(
        result.flatMap { json in
          do throws(WorkerProtocolError) {
            return .success(try Answer(decoding: json))
          } catch {
            return .failure(RPCError(.internal, "the worker's answer to '\(call.method)' cannot be read: \(error)"))
          }
        })
    }
  }

  /// Asks for a text that `reply`'s client waits for: it reads along where the call streams, and nothing more is
  /// computed once it has gone.
  func generate(
    _ call: GenerateCall, for reply: Reply<Generate.Result>, decided: @escaping (Decision) -> ShownDecision?,
    _ answer: @escaping (Result<GenerateAnswer.Generation, RPCError>) -> Void
  ) {
    let own = OwnRequest()
    let number = send(.generate(call), as: GenerateAnswer.self) { [unowned self] result in
      if let number = own.number { streams[number] = nil }
      reply.connection.forget(own.observer)
      answer(
        result.flatMap { $0.generations.first.map { .success($0) } ?? .failure(RPCError(.internal, "no text came")) })
    }
    guard let number else { return }
    own.number = number
    if call.stream { streams[number] = Stream(reply: reply, decided: decided) }
    let later = later
    own.observer = reply.connection.onDisconnect { later { $0.abandon(number) } }
  }

  /// What `generate` learns of its own request after it was sent.
  private final class OwnRequest {
    var number: Int64?
    /// Of the connection's end.
    var observer: Int?
  }

  /// Nobody waits for this request any more.
  private func abandon(_ number: Int64) {
    guard answers[number] != nil else { return }
    if held.contains(where: { $0.id == number }) {
      held.removeAll { $0.id == number }
      answered(number, .failure(RPCError(.cancelled, "the client has gone")))
      return
    }
    log.debug("a client has gone; its request is cancelled", ["request": number])
    send(.cancelRequest(number)) { _ in }
  }

  /// Kills the worker, which ends every request; another is started.
  func restartWorker(_ reason: String) { link?.restart(worker, reason) }

  // MARK: - What the worker says

  /// Sends what has waited for it.
  func workerStarted(_ number: Int) {
    worker = number
    let waiting = held
    held = []
    for request in waiting where answers[request.id] != nil { link?.send(request, to: worker) }
  }

  func workerEnded(_ reason: String) {
    failAll(
      RPCError(
        .workerUnavailable, "the worker ended during the request: \(reason)",
        hint: "t2d starts it again; try once more"))
  }

  func answered(_ number: Int64, _ result: Result<JSONValue, RPCError>) {
    answers.removeValue(forKey: number)?(result)
  }

  func decided(_ number: Int64, _ decision: Decision) {
    if let shown = streams[number]?.decided(decision) { streams[number]?.send(.init(decision: shown)) }
  }

  func generated(_ number: Int64, token: Int32, _ text: String) {
    streams[number]?.send(.init(text: text, ids: [token]))
  }

  // MARK: - The end

  func end() { failAll(RPCError(.shuttingDown, "t2d is ending")) }

  /// Whoever waits is answered with this; what they ask then is a request like any other.
  private func failAll(_ error: RPCError) {
    let lost = answers
    answers = [:]
    held = []
    for answer in lost.sorted(by: { $0.key < $1.key }) { answer.value(.failure(error)) }
  }
}
