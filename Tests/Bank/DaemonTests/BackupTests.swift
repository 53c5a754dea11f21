import Glibc
import RPCClient
import Registry
import StrictJSON
import SystemSupport
import TestSupport
import Testing

@testable import Daemon

/// Backups are written while the daemon goes on, and a store is made of them again.
@Suite struct BackupTests {
  private func fill(_ daemon: Harness) throws -> JSONValue {
    try daemon.addModel()
    try daemon.dropExpert("science", value: 1.25)
    try daemon.dropExpert("social", value: 0.75)
    try daemon.dropTask("arc")
    try daemon.dropTaskWithEval("bees")
    let mixture = try daemon.settledMixture("arc")
    try daemon.dropExpert("science", value: 1.5)
    _ = try daemon.settledMixture("bees")
    return mixture
  }

  private func backUp(_ daemon: Harness, to path: String) throws -> JSONValue {
    let file = try NewFile(at: path, mode: 0o600)
    let answer = try daemon.client.call("system.backup", ["path": .string(path)], file: file.descriptor)
    try file.publish()
    return answer
  }

  @discardableResult
  private func restore(_ paths: DaemonPaths, from file: String) throws -> (Int32, String) {
    var text = ""
    return (try RestoreProgram(paths: paths, file: file) { text += $0 }.run(), text)
  }

  /// What a user sees of the store, but for what names the run.
  private func shown(_ daemon: Harness) throws -> [JSONValue] {
    let lists: [(String, JSONObject)] = [
      ("expert.list", ["all": true]), ("task.list", [:]), ("mixture.list", [:]), ("model.list", [:]),
      ("expert.log", ["expert": "science"]), ("expert.show", ["expert": "science@1"]),
      ("mixture.log", ["task": "arc"]), ("mixture.get", ["task": "arc"]), ("mixture.get", ["task": "bees"]),
      ("job.list", ["limit": 1000]),
    ]
    return try lists.map { method, params in try daemon.call(method, params) }
  }

  private func isEmpty(_ paths: DaemonPaths) throws -> Bool {
    for path in [paths.catalogue, paths.store.unfinishedRestore] where try FileSystem.status(path) != nil {
      return false
    }
    for directory in [paths.store.blobs, paths.store.tasks] where try FileSystem.status(directory) != nil {
      return false
    }
    return try !Catalogue.exists(path: paths.catalogue, store: paths.store)
  }

  @Test func aStoreThatIsRestoredIsTheStoreThatWasBackedUp() throws {
    try withDaemon { daemon in
      _ = try fill(daemon)
      let file = daemon.prefix + "/bank.tar"
      let before = try shown(daemon)
      let answer = try backUp(daemon, to: file)
      // 3 versions, 2 or more mixtures, a file and two files of tasks, the catalogue, the manifest and the sums.
      let (files, event) = (try #require(answer["files"]?.intValue), try #require(answer["event"]?.integerValue))
      #expect(files >= 11 && answer["damaged"] == [] && answer["path"] == .string(file))
      #expect(try FileSystem.status(file)?.size == answer["bytes"]?.intValue)
      let noted = try daemon.call("events.subscribe", ["events": ["store.backed_up"]])["events"]?.arrayValue?.first
      #expect(noted?["last_event"] == .integer(event) && noted?["files"] == JSONValue(files))
      #expect(try #require(noted?["sequence"]?.integerValue) > event)

      try daemon.dropExpert("later", value: 1.75)
      try daemon.sync()
      daemon.stop()
      let paths = daemon.daemon.paths
      // Not over what is there.
      let error = #expect(throws: DaemonError.self) { try restore(paths, from: file) }
      #expect(error?.exitCode == 73 && error?.description.contains("mv '\(paths.state)'") == true)
      #expect(try FileSystem.status(paths.catalogue) != nil)
      // What was dropped since is gone from the directory too, and would come again.
      try FileSystem.remove(paths.experts + "/later.safetensors")
      try FileSystem.rename(paths.state, to: daemon.prefix + "/old")
      let (status, text) = try restore(paths, from: file)
      #expect(status == 0 && text.contains("as of event \(event) at "), "\(text)")
      try daemon.restart()
      #expect(try shown(daemon) == before)
      #expect(try daemon.call("system.audit")["ok"] == true)
      let restored = try daemon.call("events.subscribe", ["events": ["store.restored"]])["events"]?.arrayValue
      #expect(restored?.count == 1 && restored?[0]["sequence"] == .integer(event + 1))
      // It goes on, and numbers too.
      try daemon.dropExpert("science", value: 1.875)
      try daemon.sync()
      #expect(try daemon.call("expert.show", ["expert": "science"])["version"] == 3)
      try FileSystem.removeTree(daemon.prefix + "/old")
    }
  }

  @Test func aStoreIsRestoredAtAnotherPlace() throws {
    try withDaemon { daemon in
      _ = try fill(daemon)
      let file = daemon.prefix + "/bank.tar"
      _ = try backUp(daemon, to: file)
      try withTemporaryDirectory { other in
        let paths = DaemonPaths(prefix: other, socket: "s")
        #expect(try restore(paths, from: file).0 == 0)
        let catalogue = try Catalogue(path: paths.catalogue, store: paths.store, now: .now)
        defer { catalogue.close() }
        let audit = try StoreAudit(of: catalogue, depth: .contents)
        #expect(audit.findings.isEmpty && audit.files > 4, "\(audit.findings)")
        #expect(try catalogue.namedTasks().allSatisfy { $0.path.hasPrefix(paths.state + "/tasks/") })
      }
    }
  }

  @Test func tarAndSha256sumReadABackup() throws {
    try withDaemon { daemon in
      _ = try fill(daemon)
      let file = daemon.prefix + "/bank.tar"
      let answer = try backUp(daemon, to: file)
      let out = daemon.prefix + "/out"
      try FileSystem.createDirectories(out)
      let shell = try ChildProcess(
        "/bin/sh",
        arguments: [
          "sh", "-c",
          "cd \(out) && tar -xf ../bank.tar && sha256sum -c --quiet --strict SHA256SUMS && find . -type f | wc -l >../count",
        ], environment: ChildProcess.environment(), socket: nil)
      #expect(shell.waitForExit(until: .after(.seconds(60))) == .code(0))
      let count = String(decoding: try FileSystem.readAll(daemon.prefix + "/count", maximumBytes: 99), as: UTF8.self)
      #expect(Int(count.dropLast()) == answer["files"]?.intValue)
    }
  }

  @Test func whatIsDamagedIsNamedAndIsNotInTheBackup() throws {
    try withDaemon(logged: ["a stored file is damaged"]) { daemon in
      _ = try fill(daemon)
      let path = try #require(try daemon.call("expert.export", ["expert": "science@1"])["path"]?.stringValue)
      var bytes = try FileSystem.readAll(path, maximumBytes: 1 << 20)
      bytes[bytes.count - 3] ^= 4
      try FileSystem.remove(path)
      try FileSystem.writeAtomically(path, bytes, mode: 0o444)
      let file = daemon.prefix + "/bank.tar"
      let answer = try backUp(daemon, to: file)
      let damaged = try #require(answer["damaged"]?.arrayValue)
      #expect(damaged.map { $0["subject"] } == ["expert science@1"])
      #expect(damaged[0]["message"]?.stringValue?.contains("its content is not what was stored") == true)
      try withTemporaryDirectory { other in
        let paths = DaemonPaths(prefix: other, socket: "s")
        let (status, text) = try restore(paths, from: file)
        #expect(status == 65 && text.contains("expert science@1: its content is not what was stored"), "\(text)")
        let catalogue = try Catalogue(path: paths.catalogue, store: paths.store, now: .now)
        defer { catalogue.close() }
        let audit = try StoreAudit(of: catalogue, depth: .contents)
        #expect(audit.findings.map(\.kind) == [.missing] && audit.findings[0].subject == "expert science@1")
      }
    }
  }

  @Test func aBackupWhileExpertsAreDroppedIsOfOneMoment() throws {
    try withDaemon { daemon in
      _ = try fill(daemon)
      let dropping = try OwnedThread(name: "drops") { [prefix = daemon.prefix] in
        for number in 0..<150 {
          let path = "\(prefix)/var/spool/t2d/experts/e\(number % 40).safetensors"
          let bytes = expertBytes("e\(number % 40)", value: 1 + Float(number) / 512)
          try? FileSystem.writeAtomically(path, bytes, mode: 0o644)
        }
      }
      var backups: [(file: String, event: Int64)] = []
      for number in 0..<4 {
        let file = "\(daemon.prefix)/\(number).tar"
        let answer = try backUp(daemon, to: file)
        #expect(answer["damaged"] == [])
        backups.append((file, try #require(answer["event"]?.integerValue)))
      }
      dropping.join()
      try daemon.sync()
      #expect(backups[0].event < backups[3].event, "nothing was dropped meanwhile")
      let all = try daemon.client.call("events.subscribe", ["events": ["expert.version"], "after": 0, "limit": 1000])
      let events = try #require(all["events"]?.arrayValue)
      for (file, event) in backups {
        try withTemporaryDirectory { other in
          let paths = DaemonPaths(prefix: other, socket: "s")
          #expect(try restore(paths, from: file).0 == 0)
          let catalogue = try Catalogue(path: paths.catalogue, store: paths.store, now: .now)
          defer { catalogue.close() }
          #expect(try StoreAudit(of: catalogue, depth: .contents).findings.isEmpty)
          let versions = try catalogue.experts().flatMap { $0.versions.map { "\($0.name)@\($0.version)" } }
          let then = events.filter { $0["sequence"]?.integerValue ?? .max <= event }.map {
            "\($0["subject"]?.stringValue ?? "")@\($0["version"]?.intValue ?? 0)"
          }
          #expect(Set(versions) == Set(then), "as of event \(event)")
        }
      }
    }
  }

  /// One bit at many places, and many lengths.
  @Test func aBackupThatWasAlteredOrCutIsRefusedAndLeavesNothing() throws {
    try withDaemon { daemon in
      _ = try fill(daemon)
      let file = daemon.prefix + "/bank.tar"
      _ = try backUp(daemon, to: file)
      let bytes = try FileSystem.readAll(file, maximumBytes: 1 << 24)
      try withTemporaryDirectory { other in
        let paths = DaemonPaths(prefix: other, socket: "s")
        let altered = other + "/altered.tar"
        var cases = 0
        func refused(_ bytes: [UInt8], _ what: String) throws {
          try FileSystem.writeAtomically(altered, bytes)
          let error = #expect(throws: DaemonError.self, "\(what)") { try restore(paths, from: altered) }
          #expect(error?.exitCode == 65 && error?.description.contains("is damaged: ") == true, "\(what): \(error!)")
          #expect(try isEmpty(paths), "\(what)")
          cases += 1
        }
        var place = 0
        while place < bytes.count {
          var changed = bytes
          changed[place] ^= 1 << UInt8(place % 8)
          try refused(changed, "a bit of byte \(place)")
          place += 1 + bytes.count / 90 + place % 7
        }
        // The last files and the end, each byte.
        for place in stride(from: bytes.count - 3 * 1024, to: bytes.count, by: 61) {
          var changed = bytes
          changed[place] ^= 0x20
          try refused(changed, "a bit of byte \(place)")
        }
        for length in [
          0, 1, 511, 512, bytes.count / 3, bytes.count / 2, bytes.count - 1024, bytes.count - 512, bytes.count - 1,
        ] {
          try refused(Array(bytes[..<length]), "the first \(length) bytes")
        }
        try refused(bytes + [0], "a byte more")
        #expect(cases > 100)
        // The place is as it was.
        #expect(try restore(paths, from: file).0 == 0)
      }
    }
  }

  @Test func aRestoreThatWasCutIsSaidAndBegunAgain() throws {
    try withDaemon { daemon in
      _ = try fill(daemon)
      let before = try shown(daemon)
      let file = daemon.prefix + "/bank.tar"
      _ = try backUp(daemon, to: file)
      daemon.stop()
      let paths = daemon.daemon.paths
      // As kill -9 within a restore leaves it.
      try FileSystem.removeTree(paths.catalogue)
      try FileSystem.removeTree(paths.store.redo)
      try FileSystem.writeAtomically(paths.store.unfinishedRestore, [1])
      let error = #expect(throws: DaemonError.self) { try daemon.restart() }
      #expect(error?.exitCode == 65 && error?.description.contains("t2d restore FILE") == true, "\(error!)")
      #expect(throws: DaemonError.self) {
        try FsckProgram(paths: paths, rebuilds: true, isQuick: false, say: { _ in }).run()
      }
      #expect(try restore(paths, from: file).0 == 0)
      try daemon.restart()
      #expect(try shown(daemon) == before)
    }
  }

  // MARK: - While one is written

  /// A backup that takes long, because a very long file lies in a task's copy.
  private func withLongBackup(_ daemon: Harness, _ body: (RPCClient, Int64, String) throws -> Void) throws {
    let tasks = daemon.daemon.paths.store.tasks + "/arc"
    let copy = try #require(try FileSystem.entries(tasks).first?.text)
    let path = "\(tasks)/\(copy)/long"
    try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600).truncate(to: 1 << 36)
    let file = daemon.prefix + "/bank.tar"
    let written = try FileDescriptor.open(file, O_RDWR | O_CREAT | O_EXCL, mode: 0o600)
    let client = try RPCClient(socketPath: daemon.daemon.paths.socket)
    let id = try client.send("system.backup", ["path": .string(file)], file: written)
    let deadline = Deadline.after(.seconds(20))
    // The catalogue and the blobs are behind it.
    while try written.status().size < 1 << 20 {
      try #require(!deadline.hasPassed, "nothing is written")
      _ = poll(nil, 0, 5)
    }
    try body(client, id, file)
    try FileSystem.remove(file)
    try FileSystem.remove(path)
  }

  @Test func theDaemonsEndEndsABackupAtOnceAndSaysSo() throws {
    try withDaemon { daemon in
      _ = try fill(daemon)
      try withLongBackup(daemon) { client, id, _ in
        let start = MonotonicInstant.now
        daemon.stop()
        #expect(.now - start < .seconds(2))
        let error = #expect(throws: RPCClientError.self) { try client.receive(id) }
        guard case .refused(let refusal)? = error else {
          Issue.record("\(String(describing: error))")
          return
        }
        #expect(refusal.kind == "shutting_down")
      }
      try daemon.restart()
      #expect(try daemon.call("system.audit")["ok"] == true)
    }
  }

  @Test func whileABackupIsWrittenOthersAreAnsweredAndNothingIsRemoved() throws {
    var configuration = Configuration.forTests
    configuration.gc.grace = .zero
    try withDaemon(configuration: configuration) { daemon in
      _ = try fill(daemon)
      let left = daemon.daemon.paths.state + "/blobs/ab/left-over"
      try FileSystem.writeAtomically(left, [1, 2, 3])
      try withLongBackup(daemon) { client, _, _ in
        #expect(try daemon.refusal("system.gc", ["apply": true]) == "conflict")
        #expect(try FileSystem.status(left) != nil)
        #expect(try daemon.call("system.gc")["files"] == 1)
        let second = daemon.prefix + "/second.tar"
        let file = try NewFile(at: second, mode: 0o600)
        let error = #expect(throws: RPCClientError.self) {
          try daemon.client.call("system.backup", ["path": .string(second)], file: file.descriptor)
        }
        if case .refused(let refusal)? = error { #expect(refusal.kind == "conflict") }
        try daemon.dropExpert("meanwhile", value: 1.75)
        try daemon.sync()
        #expect(try daemon.call("expert.show", ["expert": "meanwhile"])["version"] == 1)
      }
      // Who had asked for it is gone, and so is the backup, some pieces later.
      let deadline = Deadline.after(.seconds(20))
      while try daemon.refusal("system.gc", ["apply": true]) == "conflict" {
        try #require(!deadline.hasPassed, "the backup goes on for nobody")
        _ = poll(nil, 0, 5)
      }
      #expect(try FileSystem.status(left) == nil)
    }
  }

  // MARK: - What is refused

  @Test func onlyAnEmptyFileThatIsOpenForWritingIsTaken() throws {
    try withDaemon { daemon in
      _ = try fill(daemon)
      let path = daemon.prefix + "/some"
      #expect(try daemon.refusal("system.backup", ["path": "x"]) == "invalid_params")
      try FileSystem.writeAtomically(path, [])
      // For reading alone.
      #expect(try daemon.refusal("system.backup", ["path": .string(path)], file: path) == "file_not_writable")
      #expect(try daemon.refusal("system.backup", ["path": "x"], file: daemon.prefix) == "file_not_writable")
      for (flags, bytes) in [(O_RDWR | O_APPEND, []), (O_RDWR, [1, 2, 3])] as [(Int32, [UInt8])] {
        try FileSystem.writeAtomically(path, bytes)
        let error = #expect(throws: RPCClientError.self) {
          try daemon.client.call("system.backup", ["path": "x"], file: try FileDescriptor.open(path, flags))
        }
        guard case .refused(let refusal)? = error else { throw error ?? .notRunning(path: path) }
        #expect(refusal.kind == "file_not_writable")
        #expect(try FileSystem.readAll(path, maximumBytes: 9) == bytes)
      }
      try FileSystem.remove(path)
    }
  }

  @Test(.enabled(if: geteuid() == 0, "the tests do not run as root, so there is one user only"))
  func whoMayOnlyReadCannotBackUp() throws {
    var configuration = Configuration.forTests
    configuration.socketMode = 0o666
    try withDaemon(configuration: configuration) { daemon in
      try systemCall("open to all", daemon.prefix) { unsafe chmod(daemon.prefix, 0o755) }
      let path = daemon.prefix + "/bank.tar"
      let file = try NewFile(at: path, mode: 0o600)
      let socket = daemon.daemon.paths.socket
      let client = try asUser(65_534) { try RPCClient(socketPath: socket) }
      let error = #expect(throws: RPCClientError.self) {
        try client.call("system.backup", ["path": .string(path)], file: file.descriptor)
      }
      guard case .refused(let refusal)? = error else {
        Issue.record("\(String(describing: error))")
        return
      }
      #expect(refusal.kind == "permission")
      #expect(try file.descriptor.status().size == 0)
    }
  }
}
