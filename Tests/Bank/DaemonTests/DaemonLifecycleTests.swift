import Glibc
import RPCClient
import RPCProtocol
import StrictJSON
import SystemSupport
import TestSupport
import Results
import Testing
import WorkerProtocol

@testable import Daemon

@Suite struct DaemonLifecycleTests {
  @Test func theTableTheHandlersAndNothingElse() {
    #expect(Set(Service.handlers.keys) == Set(RPCMethod.all.map(\.name)))
  }

  @Test func everyKindOfJobHasAHandler() {
    for spec in JobKind.specs { #expect(spec is any HandledJob.Type, "\(spec.kind) has no HandledJob") }
  }

  @Test func aRestartedDaemonServesAtOnceWhatItServed() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try daemon.dropTask("arc")
      let before = try daemon.settledMixture("arc")
      // A worker that never answers: what is served must not need one.
      daemon.worker.script([])
      try daemon.restart()
      #expect(try daemon.call("mixture.get", ["task": "arc"]) == before)
      #expect(try daemon.call("expert.list")["experts"]?.arrayValue?.count == 1)
      try daemon.sync()
      #expect(try daemon.call("mixture.get", ["task": "arc"]) == before)
    }
  }

  @Test func aJobThatWasCutByTheDaemonsEndGoesOnAfterIt() throws {
    try withDaemon(FakeWorker([.wait])) { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try daemon.dropTask("arc")
      try daemon.sync()
      let job = try daemon.newestSearch("arc")
      // The worker must have begun: else what it was told to wait for is the second run. Each question takes a turn.
      while !daemon.worker.starts.contains(where: { $0.spec is AdaptSpec }) { try daemon.call("system.hello") }
      try daemon.restart()
      let ended = try daemon.wait(job)
      #expect(ended["state"] == "done")
      #expect(ended["attempts"] == 1)
    }
  }

  /// As after kill -9 between a temporary file and its last name.
  @Test func halfWrittenFilesOfAnEarlierRunAreRemoved() throws {
    try withDaemon { (daemon: Harness) throws in
      daemon.stop()
      let paths = daemon.daemon.paths
      let left = [
        "\(paths.run)/.t2d.pid.abc.tmp", "\(paths.state)/.catalogue.sqlite.abc.tmp",
        "\(paths.state)/redo/.0.log.abc.tmp",
      ]
      for path in left { try FileSystem.writeAtomically(path, [1]) }
      try daemon.restart()
      for path in left { #expect(try FileSystem.status(path) == nil, "\(path)") }
    }
  }

  /// A worker that is ended while it writes leaves what it wrote so far.
  @Test func whatWasBeingMadeGoesWithACleanEnd() throws {
    try withDaemon { (daemon: Harness) throws in
      let store = daemon.daemon.paths.store
      let left = ["\(store.staging)/.mixture.abc.tmp", "\(store.trainings)/.state.safetensors.abc.tmp"]
      for path in left { try FileSystem.writeAtomically(path, [1]) }
      daemon.stop()
      for path in left { #expect(try FileSystem.status(path) == nil, "\(path)") }
    }
  }

  /// What lies there then may be another daemon's, whose worker is at work.
  @Test func aStoreThatTookTheOnesPlaceIsLeftAlone() throws {
    try withDaemon { (daemon: Harness) throws in
      let paths = daemon.daemon.paths
      try FileSystem.rename(paths.state, to: paths.state + ".old")
      let other = paths.store.staging + "/mixture.abc"
      try FileSystem.createDirectories(paths.store.staging)
      try FileSystem.writeAtomically(other, [1])
      daemon.stop()
      #expect(try FileSystem.status(other) != nil)
      try FileSystem.removeTree(paths.state)
      try FileSystem.rename(paths.state + ".old", to: paths.state)
    }
  }

  @Test func aFileThatChangedWhileTheDaemonWasDownIsSeen() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try daemon.sync()
      daemon.stop()
      try daemon.dropExpert("science", value: 1.5)
      try daemon.restart()
      try daemon.sync()
      #expect(try daemon.call("expert.show", ["expert": "science"])["version"] == 2)
    }
  }

  @Test func aSecondDaemonIsRefusedAndDoesNotDisturbTheFirst() throws {
    try withDaemon { (daemon: Harness) throws in
      let error = #expect(throws: DaemonError.self) {
        try Daemon(
          paths: DaemonPaths(prefix: daemon.prefix, socket: "other.sock"), configuration: .forTests,
          launcher: FakeWorker(), log: .silent, shutDown: {})
      }
      #expect(error?.exitCode == 75)
      let text = error?.description ?? ""
      #expect(text.contains("(pid \(getpid()))") && text.contains(daemon.prefix))
      #expect(try daemon.call("system.hello")["name"] == "t2d")
    }
  }

  /// In a process of its own, where no other test opens and closes.
  @Test func aDaemonThatEndedHoldsNoDescriptor() async {
    await #expect(processExitsWith: .success) {
      func live() throws {
        try withDaemon(FakeWorker([.die(afterGenerations: 1)]), logged: ["the worker ended"]) { daemon in
          try daemon.addModel()
          try daemon.dropExpert("science", value: 1.25)
          try daemon.dropTask("arc")
          #expect(try daemon.settledMixture("arc")["stale"] == false)
          #expect(throws: RPCClientError.self) { try daemon.call("model.tokenize", ["text": 7]) }
        }
      }
      // What a process opens once and keeps is open after the first life.
      try live()
      let before = Leftovers.descriptors()
      try live()
      let deadline = Deadline.after(.seconds(10))
      while Leftovers.descriptors() != before, !deadline.hasPassed { _ = poll(nil, 0, 10) }
      #expect(Leftovers.descriptors() == before)
    }
  }

  @Test func aSocketPathThatIsTooLongIsAClearError() throws {
    try withTemporaryDirectory { prefix in
      let long = prefix + "/" + String(repeating: "x", count: 120) + "/s"
      let error = #expect(throws: DaemonError.self) {
        try Daemon(
          paths: DaemonPaths(prefix: prefix, socket: long), configuration: .forTests, launcher: FakeWorker(),
          log: .silent, shutDown: {})
      }
      #expect(error?.description.contains("at most 107") == true, "\(String(describing: error))")
    }
  }

  @Test(arguments: [0o777, 0o755, 0o750, 0o711, 0o600, 0o500] as [mode_t])
  func aStateDirectoryThatIsNotPrivateIsRefusedWithWhatCorrectsIt(mode: mode_t) throws {
    try withTemporaryDirectory { prefix in
      let state = prefix + "/var/lib/t2d"
      try FileSystem.createDirectories(state)
      try systemCall("chmod", state) { unsafe chmod(state, mode) }
      let error = #expect(throws: DaemonError.self) {
        try Daemon(
          paths: DaemonPaths(prefix: prefix, socket: "s"), configuration: .forTests, launcher: FakeWorker(),
          log: .silent, shutDown: {})
      }
      #expect(error?.description.contains("mode 0\(String(mode, radix: 8))") == true, "\(error?.description ?? "")")
      #expect(error?.description.contains("chmod 0700 '\(state)'") == true)
    }
  }

  /// Whoever connects as soon as the socket is there, before the directories are watched.
  @Test func aSyncInTheFirstMomentsWaitsUntilTheDaemonIsReady() throws {
    try withDaemon { (daemon: Harness) throws in
      let path = daemon.daemon.paths.socket
      for _ in 0..<20 {
        daemon.stop()
        let outcome = Mutex("no answer")
        let thread = try OwnedThread(name: "early") {
          let deadline = Deadline.after(.seconds(20))
          while !deadline.hasPassed {
            guard let client = try? RPCClient(socketPath: path) else { continue }
            let text: String
            do { text = try client.call("system.sync")["generation"] == nil ? "no generation" : "done" } catch {
              text = "\(error)"
            }
            return outcome.withLock { $0 = text }
          }
        }
        try daemon.restart()
        thread.join()
        #expect(outcome.withLock { $0 } == "done")
      }
    }
  }

  @Test func aSocketThatIsRemovedIsMadeAgainAndThatIsAnEvent() throws {
    try withDaemon(logged: ["the socket was removed or replaced"]) { (daemon: Harness) throws in
      let path = daemon.daemon.paths.socket
      try FileSystem.remove(path)
      let deadline = Deadline.after(.seconds(5))
      while (try? RPCClient(socketPath: path)) == nil, !deadline.hasPassed { _ = poll(nil, 0, 10) }
      let other = try RPCClient(socketPath: path)
      #expect(try other.call("system.hello")["name"] == "t2d")
      // Those who were connected still are.
      let events = try daemon.call("events.subscribe", ["follow": false, "events": ["socket.made_again"]])
      #expect(events["events"]?.arrayValue?.count == 1)
    }
  }

  @Test func garbageFromOneClientDoesNotDisturbAnother() throws {
    try withDaemon { (daemon: Harness) throws in
      let path = daemon.daemon.paths.socket
      for garbage in ["GET / HTTP/1.1\r\n\r\n", "{\n", "[1,2]\n", "\u{0}\u{0}\n", "{\"jsonrpc\":\"2.0\"}\n"] {
        let socket = try connectRaw(path)
        try socket.write(all: Array(garbage.utf8))
        var answer = [UInt8](repeating: 0, count: 4096)
        let count = try unsafe answer.withUnsafeMutableBytes { try unsafe socket.read(into: $0) }
        #expect(String(decoding: answer.prefix(count), as: UTF8.self).contains("\"error\""))
        #expect(try daemon.call("system.hello")["name"] == "t2d")
      }
    }
  }

  @Test func requestsWhileTheWorkerIsSilentFailWhenItIsGivenUp() throws {
    var configuration = Configuration.forTests
    configuration.worker.hangAfter = .milliseconds(300)
    try withDaemon(configuration: configuration, logged: ["it gave no sign of life"]) { (daemon: Harness) throws in
      try daemon.addModel()
      daemon.worker.fallSilent()
      #expect(try daemon.refusal("model.tokenize", ["text": "a"]) == "worker_unavailable")
      // The next worker answers.
      #expect(try daemon.call("model.tokenize", ["text": "a"]) == ["ids": [97]])
      #expect(daemon.worker.launches == 2)
    }
  }

  @Test func eventsAreNumberedAndFollowed() throws {
    try withDaemon { (daemon: Harness) throws in
      let follower = try RPCClient(socketPath: daemon.daemon.paths.socket)
      let start = try follower.call("events.subscribe", ["events": ["expert.version", "expert.promoted"]])
      #expect(start["events"] == [])
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try daemon.sync()
      let first = try #require(try follower.nextNotification(timeout: .seconds(10)))
      let second = try #require(try follower.nextNotification(timeout: .seconds(10)))
      #expect(first.params["event"] == "expert.version")
      #expect(first.params["subject"] == "science")
      #expect(second.params["event"] == "expert.promoted")
      let numbers = [first, second].compactMap { $0.params["sequence"]?.integerValue }
      #expect(numbers[0] < numbers[1])
      let past = try daemon.call("events.subscribe", ["after": .integer(numbers[0]), "follow": false, "limit": 1000])
      #expect(past["events"]?.arrayValue?.contains { $0["sequence"]?.integerValue == numbers[1] } == true)
    }
  }

  @Test func scoreTokenizeAndGenerateAreTheWorkers() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try daemon.sync()
      let score = try daemon.call("score", ["prompt": "a", "continuation": "bc", "expert": "science"])
      #expect(score["sum"] == -1.0)
      #expect(score["weights"] == ["expert": "science@1"])
      #expect(
        try daemon.refusal("score", ["prompt": "a", "continuation": "b", "expert": "nobody"]) == "unknown_expert")
      #expect(
        try daemon.refusal(
          "score", ["prompt": "a", "continuation": "b", "expert": "science", "alpha": ["science": 1]])
          == "invalid_params")
      #expect(
        try daemon.refusal("score", ["prompt": "a", "continuation": "b", "alpha": ["science": [1, 2, 3]]])
          == "bad_mixture")
      #expect(try daemon.call("generate", ["prompt": "hello"])["text"] == "an answer")
    }
  }

  @Test func aModelThatCannotBeReadIsAFailedJobAndAFailedModel() throws {
    try withDaemon { (daemon: Harness) throws in
      #expect(try daemon.refusal("model.add", ["path": "/nonexistent/model.gguf"]) == "file_not_readable")
      let path = daemon.prefix + "/broken.gguf"
      try FileSystem.writeAtomically(path, Array("rubbish".utf8), mode: 0o644)
      let added = try daemon.call("model.add", ["path": .string(path)])
      #expect(added["name"] == "broken")
      let job = try daemon.wait(added["job"] ?? .null)
      #expect(job["state"] == "failed")
      #expect(job["error"]?["kind"] == "model_unreadable")
      #expect(try daemon.call("model.show", ["name": "broken"])["state"] == "failed")
      #expect(try daemon.refusal("model.tokenize", ["text": "a"]) == "bad_model")
      try FileSystem.writeAtomically(path, Array("GGUF whole".utf8), mode: 0o644)
      let again = try daemon.call("model.add", ["path": .string(path)])
      #expect(try daemon.wait(again["job"] ?? .null)["state"] == "done")
      #expect(try daemon.call("model.add", ["path": .string(path)])["state"] == "ready")
    }
  }

  @Test func whatIsFactoredOfAModelStaysWhatItWasWhenItWasAdded() throws {
    try withDaemon { (daemon: Harness) throws in
      let path = daemon.prefix + "/tiny.gguf"
      try FileSystem.writeAtomically(path, Array("GGUF tiny".utf8), mode: 0o644)
      let added = try daemon.call("model.add", ["path": .string(path), "modules": ["up_proj"]])
      #expect(try daemon.wait(try #require(added["job"]))["state"] == "done")
      func isFactoredPartly() throws {
        let shown = try daemon.call("model.show", ["name": "tiny", "matrices": true])
        #expect(shown["modules"] == ["up_proj"] && shown["target_matrices"] == 2 && shown["factored_matrices"] == 1)
        #expect(shown["matrices"]?.arrayValue?.map { $0["factored"] } == [false, nil])
        #expect(try daemon.call("model.list")["models"]?.arrayValue?.first?["modules"] == ["up_proj"])
      }
      try isFactoredPartly()
      // The same once more, in the same words or in others, is no job; all of them, or others, are an error.
      #expect(try daemon.call("model.add", ["path": .string(path), "modules": ["up_proj"]])["job"] ?? .null == .null)
      for other: JSONValue in [[], ["mlp"], ["gate_proj"]] {
        do {
          _ = try daemon.call("model.add", ["path": .string(path), "modules": other])
          Issue.record("\(other.jsonText) was taken for up_proj")
        } catch let RPCClientError.refused(refusal) {
          #expect(refusal.kind == "conflict")
          #expect(refusal.message == "there is a model 'tiny' already, of which up_proj are factored")
          #expect(refusal.hint?.contains("t2ctl model remove tiny") == true)
        }
      }
      // An expert for the other matrix finds none, and one for this is accepted.
      try daemon.dropExpert("science", value: 1.25)
      try daemon.sync()
      #expect(try daemon.ingestState(of: "science.safetensors") == "rejected")
      let row = try daemon.call("system.status")["ingest"]?.arrayValue?.first
      #expect(
        row?["message"]?.stringValue?.contains("'model.layers.0.mlp.gate_proj.weight'") == true, "\(row ?? .null)")
      // A daemon that starts again knows it, and so does the model when its file has changed.
      daemon.stop()
      try daemon.restart()
      try isFactoredPartly()
      try FileSystem.writeAtomically(path, Array("GGUF other".utf8), mode: 0o644)
      try daemon.sync()
      let again = try daemon.call("model.add", ["path": .string(path), "modules": ["up_proj"]])
      if let job = again["job"] { try daemon.wait(job) }
      try isFactoredPartly()
      // The same file may be there twice.
      let whole = try daemon.call("model.add", ["path": .string(path), "name": "whole"])
      #expect(try daemon.wait(try #require(whole["job"]))["state"] == "done")
      let shown = try daemon.call("model.show", ["name": "whole"])
      #expect(shown["modules"] == nil && shown["factored_matrices"] == 2)
    }
  }

  @Test func aModelInPartsHasTheirNameAndChangesWithEachOfThem() throws {
    try withDaemon { (daemon: Harness) throws in
      let paths = (1...2).map { "\(daemon.prefix)/big-0000\($0)-of-00002.gguf" }
      for path in paths { try FileSystem.writeAtomically(path, Array("GGUF part".utf8), mode: 0o644) }
      let added = try daemon.call("model.add", ["path": .string(paths[0])])
      #expect(added["name"] == "big")
      #expect(try daemon.wait(added["job"] ?? .null)["state"] == "done")
      #expect(try daemon.call("model.add", ["path": .string(paths[0])])["job"] ?? .null == .null)
      try FileSystem.writeAtomically(paths[1], Array("GGUF other part".utf8), mode: 0o644)
      let again = try daemon.call("model.add", ["path": .string(paths[0])])
      #expect(try daemon.wait(try #require(again["job"]))["state"] == "done")
    }
  }

  @Test func aModelShowsItsMatricesWhereAskedForAndReady() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      let shown = try daemon.call("model.show", ["name": "tiny", "matrices": true])
      let matrices = try #require(shown["matrices"]?.arrayValue)
      #expect(matrices.count == shown["target_matrices"]?.intValue)
      for member in ["name", "rows", "columns", "layer"] { #expect(matrices[0][member] != nil, "\(member)") }
      #expect(try daemon.call("model.show", ["name": "tiny"])["matrices"] == nil)
    }
  }

  private func connectRaw(_ path: String) throws -> FileDescriptor {
    let socket = FileDescriptor(takingOwnershipOf: Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0))
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { buffer in
      unsafe buffer.copyBytes(from: path.utf8.prefix(buffer.count - 1))
    }
    let size = socklen_t(MemoryLayout<sockaddr_un>.size)
    let result = unsafe withUnsafePointer(to: &address) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe connect(socket.number, $0, size) }
    }
    try #require(result == 0)
    return socket
  }
}
