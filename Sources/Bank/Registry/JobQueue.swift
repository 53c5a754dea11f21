package import Settings

/// The rules of the queue: one job runs, identical submissions coalesce, a search whose inputs changed gives way to
/// its successor, a job of low priority gives way to one of higher, and a job that loses its worker is tried three times.
///
/// A pure state machine: no clock, no lock, no I/O. Each call returns the changes for the caller to store, in order,
/// and then to act upon (`start` and `stop` are messages to the worker).
package struct JobQueue: Sendable {
  /// A job is given up after this many starts.
  package static let maximumAttempts = 3
  /// A job of this priority that runs is put back when one of higher priority comes: its journal keeps what it did.
  package static let yieldingPriority = -10

  /// What decides a job's place, and nothing of what it does.
  package struct Ticket: Sendable, Equatable {
    package let id: Int64
    /// Equal for submissions that ask for the very same thing.
    package let key: String
    /// What the job is about, such as `adapt\0arc_easy\0smollm2`; jobs of one target with other inputs are outdated.
    package let target: String
    /// A digest of the inputs; nil where a changed input does not outdate the job.
    package let inputs: String?
    /// Higher goes first; equal ones go in the order of their numbers.
    package let priority: Int
    package var state: JobState
    /// How often the job was started.
    package var attempts: Int
    /// Why the worker was told to stop it; nil while it may go on.
    package var stopping: String?
    /// The job that it was told to make room for; nil while it may go on.
    package var yieldsTo: Int64?

    package init(
      id: Int64, key: String, target: String, inputs: String?, priority: Int = 0, state: JobState = .queued,
      attempts: Int = 0
    ) {
      self.id = id
      self.key = key
      self.target = target
      self.inputs = inputs
      self.priority = priority
      self.state = state
      self.attempts = attempts
    }
  }

  package enum Change: Equatable, Sendable {
    /// The job's row gets this state, these attempts and, where it ends badly, this reason.
    case store(id: Int64, state: JobState, attempts: Int, reason: String?)
    case start(id: Int64)
    case stop(id: Int64)
  }

  package enum Submission: Equatable, Sendable {
    /// The same thing is queued or running already.
    case coalesced(Int64)
    case accepted([Change])
  }

  /// Jobs that are not at their end, by number.
  package private(set) var tickets = SortedChunks<Ticket>()
  // The same jobs, as they are looked for. Chunks, since whoever decides on a copy copies them with it.
  private var byKey = SortedChunks<TextPlace>()
  private var byTarget = SortedChunks<TextPlace>()
  private var turns = SortedChunks<Turn>()
  package private(set) var runningID: Int64?
  /// False while there is no worker to give a job to.
  package private(set) var hasWorker = false

  package init() {}

  /// Jobs that wait, in the order in which they will run.
  package var waiting: [Ticket] { turns.compactMap { tickets[$0.id] } }

  /// The live job that asks for the same thing, unless it is being stopped.
  package func live(key: String) -> Ticket? { live(byKey, key).first }

  /// Oldest first.
  package func live(target: String) -> [Ticket] { live(byTarget, target) }

  private func live(_ places: SortedChunks<TextPlace>, _ text: String) -> [Ticket] {
    places.after(TextPlace(text, 0)).prefix { sameName($0.text.text, text) }
      .compactMap { tickets[$0.id] }.filter { $0.stopping == nil }
  }

  /// The one way in which a job changes.
  private subscript(id: Int64) -> Ticket? {
    get { tickets[id] }
    set {
      if let old = tickets.remove(id) {
        byKey.remove(TextPlace(old.key, id))
        byTarget.remove(TextPlace(old.target, id))
        turns.remove(Turn(old))
      }
      guard let new = newValue else { return }
      tickets.set(new)
      byKey.set(TextPlace(new.key, id))
      byTarget.set(TextPlace(new.target, id))
      if new.state == .queued { turns.set(Turn(new)) }
    }
  }

  /// Where a job stands among those with the same key or the same target.
  private struct TextPlace: Placed, Comparable {
    var text: Name
    var id: Int64

    init(_ text: String, _ id: Int64) { (self.text, self.id) = (Name(text), id) }

    var place: TextPlace { self }
    static func < (a: Self, b: Self) -> Bool { a.text == b.text ? a.id < b.id : a.text < b.text }
  }

  /// Where a job stands among those that wait.
  private struct Turn: Placed, Comparable {
    var priority: Int
    var id: Int64

    init(_ ticket: Ticket) { (priority, id) = (ticket.priority, ticket.id) }

    var place: Turn { self }
    static func < (a: Self, b: Self) -> Bool { (-a.priority, a.id) < (-b.priority, b.id) }
  }

  /// Takes up what the last daemon left: a job that ran is queued again, or failed where it had its three attempts.
  package mutating func restore(_ stored: [Ticket]) -> [Change] {
    var changes: [Change] = []
    for var ticket in stored.sorted(by: { $0.id < $1.id }) where !ticket.state.isFinal {
      if ticket.state == .running, ticket.attempts >= Self.maximumAttempts {
        changes.append(
          .store(id: ticket.id, state: .failed, attempts: ticket.attempts, reason: Self.gaveUp(ticket.attempts)))
        continue
      }
      if ticket.state != .queued {
        ticket.state = .queued
        changes.append(.store(id: ticket.id, state: .queued, attempts: ticket.attempts, reason: nil))
      }
      self[ticket.id] = ticket
    }
    return changes
  }

  /// A new job. Those of the same target with other inputs end: queued ones at once, a running one when the worker
  /// reaches its next stopping point.
  package mutating func submit(_ ticket: Ticket) -> Submission {
    if let same = live(key: ticket.key) { return .coalesced(same.id) }
    precondition(tickets[ticket.id] == nil, "job \(ticket.id) is in the queue already")
    var changes: [Change] = []
    if let inputs = ticket.inputs {
      for old in live(target: ticket.target) where old.inputs.map({ $0 != inputs }) ?? false {
        changes += cancel(old.id, reason: "its inputs changed; job \(ticket.id) takes its place")
      }
    }
    self[ticket.id] = ticket
    return .accepted(changes + makeRoom(for: ticket) + startNext())
  }

  /// Tells a job of low priority that runs to stop, where one of higher priority has come.
  private mutating func makeRoom(for ticket: Ticket) -> [Change] {
    guard let id = runningID, var running = tickets[id], running.priority <= Self.yieldingPriority,
      running.priority < ticket.priority, running.stopping == nil, running.yieldsTo == nil
    else { return [] }
    running.yieldsTo = ticket.id
    self[id] = running
    return [.stop(id: id)]
  }

  /// Ends a job. One that runs is only told to stop; its end comes with `ended`. An unknown or ended one: no change.
  package mutating func cancel(_ id: Int64, reason: String) -> [Change] {
    guard var ticket = tickets[id], ticket.stopping == nil else { return [] }
    guard ticket.state == .running else {
      self[id] = nil
      return [.store(id: id, state: .cancelled, attempts: ticket.attempts, reason: reason)]
    }
    ticket.stopping = reason
    self[id] = ticket
    return [.stop(id: id)]
  }

  /// The worker has ended the job. A message about a job that does not run (any more) changes nothing.
  package mutating func ended(_ id: Int64, _ state: JobState, reason: String? = nil) -> [Change] {
    precondition(state.isFinal, "a job cannot end as \(state)")
    guard id == runningID, var ticket = tickets[id] else { return [] }
    runningID = nil
    if state == .cancelled, ticket.stopping == nil, let other = ticket.yieldsTo {
      // That was not its fault: it does not count as an attempt.
      ticket.state = .queued
      ticket.attempts -= 1
      ticket.yieldsTo = nil
      self[id] = ticket
      let reason = "it makes room for job \(other)"
      return [.store(id: id, state: .queued, attempts: ticket.attempts, reason: reason)] + startNext()
    }
    self[id] = nil
    // One that was told to stop and came to its end first is as good as any other; whether its inputs are still those of
    // its task the caller has looked.
    return [.store(id: id, state: state, attempts: ticket.attempts, reason: reason ?? ticket.stopping)] + startNext()
  }

  /// The worker is ready for a job.
  package mutating func workerArrived() -> [Change] {
    hasWorker = true
    return startNext()
  }

  /// The worker is gone. The job it ran is queued again, with its journal, or given up.
  package mutating func workerLost(reason: String) -> [Change] {
    hasWorker = false
    guard let id = runningID else { return [] }
    return putBack(id, reason)
  }

  /// What the worker made is lost, and the job with it: it runs again, or is given up.
  package mutating func resultLost(_ id: Int64, reason: String) -> [Change] {
    guard id == runningID else { return [] }
    return putBack(id, reason) + startNext()
  }

  private mutating func putBack(_ id: Int64, _ reason: String) -> [Change] {
    guard var ticket = tickets[id] else { return [] }
    runningID = nil
    if let stopping = ticket.stopping {
      self[id] = nil
      return [.store(id: id, state: .cancelled, attempts: ticket.attempts, reason: stopping)]
    }
    if ticket.attempts >= Self.maximumAttempts {
      self[id] = nil
      let text = "\(Self.gaveUp(ticket.attempts)); the last time: \(reason)"
      return [.store(id: id, state: .failed, attempts: ticket.attempts, reason: text)]
    }
    ticket.state = .queued
    ticket.yieldsTo = nil
    self[id] = ticket
    return [.store(id: id, state: .queued, attempts: ticket.attempts, reason: reason)]
  }

  /// The daemon ends: what runs is marked, so that the next start takes it up and the cut does not count against it.
  package mutating func shutDown() -> [Change] {
    hasWorker = false
    guard let id = runningID, var ticket = tickets[id] else { return [] }
    runningID = nil
    if let stopping = ticket.stopping {
      self[id] = nil
      return [.store(id: id, state: .cancelled, attempts: ticket.attempts, reason: stopping)]
    }
    ticket.state = .interrupted
    ticket.attempts -= 1
    self[id] = ticket
    return [.store(id: id, state: .interrupted, attempts: ticket.attempts, reason: "t2d ended")]
  }

  private mutating func startNext() -> [Change] {
    guard hasWorker, runningID == nil, let turn = turns.first, var next = tickets[turn.id] else { return [] }
    next.state = .running
    next.attempts += 1
    self[next.id] = next
    runningID = next.id
    return [.store(id: next.id, state: .running, attempts: next.attempts, reason: nil), .start(id: next.id)]
  }

  private static func gaveUp(_ attempts: Int) -> String {
    "given up after \(attempts) attempts, each of which lost its worker or its result"
  }
}

extension JobQueue.Ticket: Placed {
  package var place: Int64 { id }
}
