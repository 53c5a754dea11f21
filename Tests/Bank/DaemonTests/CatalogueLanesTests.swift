import Glibc
import RPCClient
import RPCProtocol
import StrictJSON
import SystemSupport
import TestSupport
import Testing

@testable import Daemon

@Suite struct CatalogueLanesTests {
  /// Takes everything, as the thread does, and says in what order: "own", "USER/CONNECTION", a file's name.
  private struct Recorder {
    var lanes = CatalogueLanes()
    let start = MonotonicInstant.now

    mutating func own() { lanes.put(.own { _ in }, at: start) }
    mutating func file(_ name: String) { lanes.put(.file(.vanished(label: "experts", name: name)), at: start) }
    mutating func request(_ user: UInt32, _ connection: UInt64, afterFiles: Bool = false) {
      let request = CatalogueLanes.Request(user: user, connection: connection) { _ in
      } refuse: { _ in
      }
      lanes.put(afterFiles ? .afterFiles(request) : .request(request), at: start)
    }

    /// The kinds of what comes out.
    mutating func kinds(at time: MonotonicInstant? = nil) -> [String] {
      var kinds: [String] = []
      while let next = lanes.next(at: time ?? start) {
        switch next {
        case .run: kinds.append("run")
        case .refuse(let request): kinds.append("refused \(request.user)/\(request.connection)")
        case .files:
          guard case .vanished(_, let name)? = lanes.nextFile() else { return kinds + ["no file"] }
          kinds.append(name)
        }
      }
      return kinds
    }
  }

  @Test func ownWorkGoesBeforeRequestsAndRequestsBeforeFiles() {
    var recorder = Recorder()
    recorder.file("a")
    recorder.request(1, 1)
    recorder.own()
    #expect(recorder.lanes.somethingIsMoreUrgent)
    #expect(recorder.kinds() == ["run", "run", "a"])
    #expect(recorder.lanes.isEmpty)
  }

  @Test func aRequestOfAnotherUserPassesAFlood() {
    var recorder = Recorder()
    for _ in 0..<500 { for connection in 1...8 { recorder.request(1000, UInt64(connection)) } }
    recorder.request(1001, 99)
    recorder.lanes.put(.ending, at: recorder.start)
    let order = recorder.kinds()
    #expect(order.firstIndex(of: "refused 1001/99") == 1, "one of the flood, then the other user")
    #expect(order.count == 4001)
    // And the flood's own connections take turns too.
    #expect(Set(order.prefix(9)).count == 9)
  }

  @Test func aSyncIsAnsweredBehindTheFilesThatWereThereAndBeforeLaterOnes() {
    var recorder = Recorder()
    recorder.file("a")
    recorder.request(1, 1, afterFiles: true)
    recorder.file("b")
    #expect(recorder.kinds() == ["a", "run", "b"])
  }

  @Test func aFloodOfRequestsDoesNotStopFilesForEver() {
    var recorder = Recorder()
    recorder.file("a")
    recorder.file("b")
    for _ in 0..<10 { recorder.request(1, 1) }
    guard case .run? = recorder.lanes.next(at: recorder.start) else {
      Issue.record("no request")
      return
    }
    let late = recorder.start + CatalogueLanes.patience
    // One file, and then requests have their time again.
    #expect(recorder.kinds(at: late) == ["a"] + Array(repeating: "run", count: 9) + ["b"])
  }

  @Test func atTheEndFilesAreDroppedAndRequestsRefusedWhereverTheyWait() {
    var recorder = Recorder()
    recorder.file("a")
    recorder.request(1, 1, afterFiles: true)
    recorder.request(2, 2)
    recorder.own()
    recorder.lanes.put(.ending, at: recorder.start)
    recorder.file("b")
    recorder.request(3, 3, afterFiles: true)
    #expect(recorder.kinds() == ["run", "refused 2/2", "refused 1/1", "refused 3/3"])
  }

  // MARK: - With the daemon

  private func drop(_ count: Int, into daemon: Harness) throws {
    for number in 0..<count { try daemon.drop("experts", "bad-\(number).safetensors", [1, 2, 3]) }
  }

  @Test func aRequestIsAnsweredWhileThousandsOfFilesWaitAndTheEndDoesNotTakeThem() throws {
    try withDaemon { (daemon: Harness) throws in
      daemon.stop()
      let count = 600
      try drop(count, into: daemon)
      try daemon.restart()
      let deadline = Deadline.after(.seconds(20))
      func taken() throws -> Int { try daemon.call("system.status")["ingest"]?.arrayValue?.count ?? 0 }
      while try taken() == 0, !deadline.hasPassed {}
      // It goes to the catalogue's thread, which has only begun with the files.
      #expect(try daemon.call("job.list")["jobs"] == [])
      #expect(try taken() < count)
      let start = MonotonicInstant.now
      daemon.stop()
      #expect(MonotonicInstant.now - start < .seconds(2))
    }
  }

  @Test func whoWaitsForASyncOrAJobIsToldAtOnceThatTheDaemonEnds() throws {
    try withDaemon(FakeWorker([.wait])) { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try daemon.dropTask("arc")
      try daemon.sync()
      let job = try daemon.newestSearch("arc")
      let path = daemon.daemon.paths.socket
      let answer = Mutex<String?>(nil)
      let thread = try OwnedThread(name: "waits") {
        do {
          _ = try RPCClient(socketPath: path).call("job.wait", ["job": job, "timeout_ms": 30_000])
        } catch {
          answer.withLock { $0 = "\(error)" }
        }
      }
      while try daemon.call("system.status")["connections"]?.intValue != 2 {}
      try daemon.call("job.show", ["job": job])
      let start = MonotonicInstant.now
      daemon.stop()
      #expect(MonotonicInstant.now - start < .seconds(2))
      thread.join()
      #expect(answer.withLock { $0 }?.contains("ending") == true, "\(answer.withLock { $0 } ?? "no error")")
    }
  }
}
