import Glibc
import SystemSupport
import Testing
import Watcher

/// A drop directory with a watcher and a thread that takes what is due, as the daemon does.
///
/// A file counts as complete when it ends in "END"; what was taken is kept by name in the order in which it was taken.
final class WatcherHarness: Sendable {
  let path: String
  private let started = Mutex<DirectoryWatcher?>(nil)
  private let state = Mutex(State())
  private let work: EventDescriptor
  private let changed: EventDescriptor
  private let ingester = Mutex<OwnedThread?>(nil)
  /// The watcher's thread stops here on the event of a file of this name.
  static let gateName = "gate.safetensors"
  private let gate: EventDescriptor

  struct State {
    var queue: [DropItem] = []
    var taken: [String: [String]] = [:]
    var attempts: [String: Int] = [:]
    var events: [String] = []
    var isStopping = false
    var isHeld = false
    var atGate = false
    /// Names for which the ingester reports trouble of its own.
    var trouble: Set<String> = []
  }

  let drop: String
  var staging: String { "\(path)/staging" }
  var watcher: DirectoryWatcher {
    guard let watcher = started.withLock({ $0 }) else { preconditionFailure("the watcher was not started") }
    return watcher
  }

  /// `place`: where the drop directory lies below `path`.
  init(_ path: String, place: String = "drop") throws {
    self.path = path
    drop = "\(path)/\(place)"
    work = try EventDescriptor()
    changed = try EventDescriptor()
    gate = try EventDescriptor()
    for name in [place, "staging", "cookies"] { try FileSystem.createDirectories("\(path)/\(name)") }
  }

  func start(_ settings: DirectoryWatcher.Settings = .init(), rules: NameRules = .experts) throws {
    let directories = [DropDirectory(label: "experts", path: drop, rules: rules)]
    let watcher = try DirectoryWatcher(directories, cookieDirectory: "\(path)/cookies", settings: settings) {
      [weak self] event in self?.handle(event)
    }
    started.withLock { $0 = watcher }
    let thread = try OwnedThread(name: "ingester") { [self] in ingest() }
    ingester.withLock { $0 = thread }
    // The first scan is over then, so that it is the events that tests see afterwards.
    #expect(try sync() == .done)
  }

  func stop() {
    started.withLock { $0 }?.stop()
    state.withLock { $0.isStopping = true }
    work.signal()
    ingester.withLock { $0 }?.join()
  }

  private func handle(_ event: DropEvent) {
    var isGate = false
    state.withLock { state in
      switch event {
      case .due(let item):
        isGate = item.name == Self.gateName
        state.queue.append(item)
        state.events.append("due \(item.name)")
      case .vanished(_, let name): state.events.append("vanished \(name)")
      case .ignored(_, let name, let rule): state.events.append("ignored \(name) \(rule)")
      case .rejected(_, let name, let reason): state.events.append("rejected \(name) \(reason)")
      case .incomplete(_, let name): state.events.append("incomplete \(name)")
      case .failed(_, let name, let error): state.events.append("failed \(name) \(error.name)")
      case .listed: break
      case .crowded(_, let limit): state.events.append("crowded \(limit.map(String.init) ?? "no more")")
      case .replaced(let label): state.events.append("replaced \(label)")
      case .condition(_, let condition): state.events.append("condition \(condition)")
      }
      if isGate { state.atGate = true }
    }
    work.signal()
    changed.signal()
    if isGate { Self.await(gate, until: .after(.seconds(60))) }
  }

  private func ingest() {
    while true {
      let (item, isStopping) = state.withLock { state in
        (state.isHeld || state.queue.isEmpty ? nil : state.queue.removeFirst(), state.isStopping)
      }
      guard let item else {
        if isStopping { return }
        Self.await(work, until: .after(.seconds(60)))
        continue
      }
      let outcome = take(item)
      changed.signal()
      item.finished(outcome)
    }
  }

  private func take(_ item: DropItem) -> DropOutcome {
    state.withLock { $0.attempts[item.name, default: 0] += 1 }
    if state.withLock({ $0.trouble.contains(item.name) }) { return .retryLater }
    do throws(StagingError) {
      var text = ""
      if item.isDirectory {
        let names = item.identity.files.map { String(decoding: $0.name, as: UTF8.self) }
        text = names.joined(separator: ",")
      } else {
        let staged = try stageCopy(item.name, from: item.directory, into: staging)
        let bytes = (try? FileSystem.readAll(staged.path, maximumBytes: 1 << 20)) ?? []
        text = String(decoding: bytes, as: UTF8.self)
        guard text.hasSuffix("END") else { return .incomplete }
      }
      let taken = text
      state.withLock { $0.taken[item.name, default: []].append(taken) }
      return .settled
    } catch {
      return error.outcome
    }
  }

  // MARK: - What tests do

  func write(_ name: String, _ content: String) throws {
    let file = try FileDescriptor.open("\(drop)/\(name)", O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
    try file.write(all: Array(content.utf8))
    try file.close()
  }

  /// The way that users are told: a hidden temporary name, then a rename.
  func put(_ name: String, _ content: String) throws {
    try write(".\(name).tmp", content)
    try FileSystem.rename("\(drop)/.\(name).tmp", to: "\(drop)/\(name)")
  }

  func taken(_ name: String) -> [String] { state.withLock { $0.taken[name] ?? [] } }
  func attempts(_ name: String) -> Int { state.withLock { $0.attempts[name] ?? 0 } }
  var events: [String] { state.withLock { $0.events } }
  func change(_ body: (inout State) -> Void) {
    state.withLock { body(&$0) }
    work.signal()
  }

  /// Waits for a condition, woken by what happens; false after 30 s.
  func wait(_ condition: () -> Bool) -> Bool {
    let deadline = Deadline.after(.seconds(30))
    while !condition() {
      if deadline.hasPassed { return false }
      // Also at times by itself, for conditions that come true without an event.
      Self.await(changed, until: .after(.milliseconds(20)))
    }
    return true
  }

  func waitTaken(_ name: String, _ contents: [String]) -> Bool { wait { taken(name) == contents } }
  func waitEvent(_ event: String) -> Bool { wait { events.contains { $0.hasPrefix(event) } } }

  func sync(_ timeout: Duration = .seconds(30)) throws -> DirectoryWatcher.SyncResult {
    let outcome = try Mailbox<DirectoryWatcher.SyncResult>()
    watcher.sync(until: .after(timeout)) { outcome.put($0) }
    outcome.wait(until: .after(.seconds(60)))
    return outcome.takeAll().first ?? .timedOut
  }

  /// Makes the watcher's thread stand still in a callback until `openGate`.
  func closeGate() throws {
    try put(Self.gateName, "END")
    #expect(wait { state.withLock { $0.atGate } })
  }

  func openGate() { gate.signal() }

  private static func await(_ event: EventDescriptor, until deadline: Deadline) {
    var poll = pollfd(fd: event.descriptor.number, events: Int16(POLLIN), revents: 0)
    _ = unsafe Glibc.poll(&poll, 1, deadline.pollMilliseconds)
    event.drain()
  }
}

func withWatcher(place: String = "drop", _ body: (WatcherHarness) throws -> Void) throws {
  try withTemporaryDirectory { path in
    let harness = try WatcherHarness(path, place: place)
    defer { harness.stop() }
    try body(harness)
  }
}

extension NameRules {
  /// As the daemon makes them, with the endings of files of rows.
  static let jsonTasks = NameRules.tasks(rowEndings: [".jsonl", ".json", ".csv"])
}
