import Engines
import Synchronization
import SystemSupport
import WorkerProtocol

/// The threads that decode: all requests of one model share a batch, whatever weights each of them sees, and one that
/// comes while others decode joins them at the next step. What engines elsewhere decode has a thread of its own, which waits
/// for them and holds up nobody else.
final class Generator: Sendable {
  /// Told what becomes of a request, in the thread of the generator; it must not block.
  typealias Handler = @Sendable (DecodingEvent) -> Void

  /// By which a request is cancelled.
  final class Ticket: Sendable {
    fileprivate let isCancelled = Atomic<Bool>(false)
    fileprivate let generator: Generator

    fileprivate init(_ generator: Generator) { self.generator = generator }

    func cancel() {
      isCancelled.store(true, ordering: .relaxed)
      for mailbox in [generator.here, generator.elsewhere] { mailbox.put(.look) }
    }
  }

  private enum Message: Sendable {
    case add(ModelStore.Lease, GenerationRequest, Ticket, Handler)
    /// A ticket has been cancelled.
    case look
  }

  private let here: Mailbox<Message>
  private let elsewhere: Mailbox<Message>

  init() throws(SystemCallError) {
    here = try Mailbox()
    elsewhere = try Mailbox()
    _ = try OwnedThread(name: "generate") { [self] in run(here) }
    _ = try OwnedThread(name: "generate engine") { [self] in run(elsewhere) }
  }

  func add(_ model: ModelStore.Lease, _ request: GenerationRequest, _ handle: @escaping Handler) -> Ticket {
    let ticket = Ticket(self)
    (model.model.isElsewhere ? elsewhere : here).put(.add(model, request, ticket, handle))
    return ticket
  }

  /// The threads end after their step; what is being decoded is forgotten.
  func stop() {
    here.close()
    elsewhere.close()
  }

  // MARK: - a thread

  /// The requests of one model.
  private final class Lane {
    let model: any Engine
    let batch: any Decoding
    var members: [Int: (lease: ModelStore.Lease, ticket: Ticket, handle: Handler)] = [:]

    init(_ model: any Engine) {
      self.model = model
      batch = model.decoding()
    }
  }

  private func run(_ mailbox: Mailbox<Message>) {
    var lanes: [Lane] = []
    while true {
      while lanes.isEmpty || !mailbox.wouldBlock {
        guard let message = mailbox.take() else { return }
        accept(message, &lanes)
      }
      for lane in lanes { step(lane) }
      lanes.removeAll { $0.batch.isEmpty }
    }
  }

  private func accept(_ message: Message, _ lanes: inout [Lane]) {
    switch message {
    case .look:
      for lane in lanes {
        for (number, member) in lane.members where member.ticket.isCancelled.load(ordering: .relaxed) {
          lane.batch.cancel(number)
        }
      }
    case .add(let lease, let request, let ticket, let handle):
      let model = lease.model.model
      let known = lanes.first { $0.model === model }
      let lane = known ?? Lane(model)
      do throws(EngineError) {
        let number = try lane.batch.add(request)
        lane.members[number] = (lease, ticket, handle)
        if ticket.isCancelled.load(ordering: .relaxed) { lane.batch.cancel(number) }
        if known == nil { lanes.append(lane) }
      } catch {
        handle(.failed(0, error))
      }
    }
  }

  private func step(_ lane: Lane) {
    lane.batch.step { event in
      switch event {
      case .began(let number): lane.members[number]?.handle(event)
      case .token(let token): lane.members[token.request]?.handle(event)
      case .ended(let number, _), .failed(let number, _): lane.members.removeValue(forKey: number)?.handle(event)
      }
    }
  }
}
