import RPCClient
import Registry
import StrictJSON
import SystemSupport
import TestSupport
import Testing

@testable import Daemon

/// The catalogue and its redo log are both lost: `t2d fsck --rebuild` makes one of the stored files.
@Suite struct RebuildTests {
  private func fsck(_ paths: DaemonPaths) throws -> (Int32, String) {
    var text = ""
    let program = FsckProgram(paths: paths, rebuilds: true, isQuick: false) { text += $0 }
    return (try program.run(), text)
  }

  private func lose(_ paths: DaemonPaths, notes: Bool = false) throws {
    for path in [paths.catalogue, paths.catalogue + "-wal", paths.store.redo] { try FileSystem.removeTree(path) }
    if notes { try FileSystem.remove(paths.state + "/versions.jsonl") }
  }

  /// Versions of which not the newest is active, one that is quarantined by nobody, one that is removed.
  private func fill(_ daemon: Harness) throws {
    try daemon.addModel()
    for value in [1.25, 1.5, 1.75] as [Float] {
      try daemon.dropExpert("science", value: value)
      try daemon.sync()
    }
    try daemon.call("expert.rollback", ["expert": "science"])
    for value in [0.5, 0.75] as [Float] {
      try daemon.dropExpert("social", value: value)
      try daemon.sync()
    }
    try daemon.dropExpert("retired", value: 1.125)
    try daemon.sync()
    try daemon.call("expert.retire", ["expert": "retired"])
    try daemon.dropTask("arc")
    _ = try daemon.settledMixture("arc")
    try daemon.dropTask("arc", question: "What do wasps make?")
    _ = try daemon.settledMixture("arc")
  }

  /// Each version with its state and its bytes.
  private func versions(_ daemon: Harness) throws -> [String: [UInt8]] {
    var versions: [String: [UInt8]] = [:]
    for expert in try daemon.call("expert.list", ["all": true])["experts"]?.arrayValue ?? [] {
      let name = try #require(expert["name"]?.stringValue)
      for number in try daemon.call("expert.show", ["expert": .string(name)])["versions"]?.arrayValue ?? [] {
        let version = "\(name)@\(number.intValue ?? 0)"
        let shown = try daemon.call("expert.show", ["expert": .string(version)])
        let path = try #require(
          try daemon.call("expert.export", ["expert": .string(version)])["path"]?.stringValue)
        let state =
          "\(shown["state"]?.stringValue ?? "") \(shown["digest"]?.stringValue ?? "") \(shown["added"]?.stringValue ?? "")"
        versions["\(version) \(state)"] = try FileSystem.readAll(path, maximumBytes: 1 << 20)
      }
    }
    return versions
  }

  private func isReady(_ daemon: Harness) throws {
    let deadline = Deadline.after(.seconds(20))
    while try daemon.call("model.show", ["name": "tiny"])["state"] != "ready" {
      try #require(!deadline.hasPassed, "the model is not inspected again")
    }
  }

  @Test func namesNumbersStatesAndContentsComeBack() throws {
    try withDaemon { daemon in
      try fill(daemon)
      let before = try versions(daemon)
      #expect(before.count == 6)
      let paths = daemon.daemon.paths
      daemon.stop()
      try lose(paths)
      let error = #expect(throws: DaemonError.self) { try daemon.restart() }
      #expect(error?.exitCode == 65 && error?.description.contains("t2d fsck --rebuild") == true)
      let (status, text) = try fsck(paths)
      #expect(
        status == 0 && text.contains("6 versions of experts as they were noted, 0 that were not, 2 rev"), "\(text)")
      #expect(!text.contains("not told"), "\(text)")
      try daemon.restart()
      #expect(try versions(daemon) == before)
      try isReady(daemon)
      // The task is there as it was last, and is searched again.
      let task = try daemon.call("task.show", ["task": "arc"])
      #expect(task["revision"] == 2, "\(task.jsonText)")
      #expect(try daemon.settledMixture("arc")["stale"] == false)
      // What lies in the watched directory is known, and a number does not come again.
      #expect(try versions(daemon) == before)
      try daemon.dropExpert("science", value: 1.875)
      try daemon.sync()
      #expect(try daemon.call("expert.show", ["expert": "science"])["versions"] == [1, 2, 3, 4])
      #expect(try daemon.call("system.audit")["ok"] == true)
    }
  }

  @Test(arguments: [false, true]) func theNumberOfARemovedVersionStaysTaken(isCollected: Bool) throws {
    var configuration = Configuration.forTests
    configuration.gc.grace = .zero
    try withDaemon(configuration: configuration) { daemon in
      try fill(daemon)
      try daemon.call("expert.remove", ["expert": "science@3", "apply": true])
      if isCollected { try daemon.call("system.gc", ["apply": true]) }
      let paths = daemon.daemon.paths
      daemon.stop()
      try FileSystem.remove(paths.experts + "/science.safetensors")
      try lose(paths)
      let (status, text) = try fsck(paths)
      #expect(status == 0, "\(text)")
      try daemon.restart(with: configuration)
      #expect(try daemon.call("expert.show", ["expert": "science"])["versions"] == [1, 2])
      try isReady(daemon)
      try daemon.dropExpert("science", value: 1.875)
      try daemon.sync()
      #expect(try daemon.call("expert.show", ["expert": "science"])["versions"] == [1, 2, 4])
    }
  }

  @Test func withoutNotesTheFilesSayWhatTheyKnow() throws {
    try withDaemon { daemon in
      try fill(daemon)
      let before = try versions(daemon)
      let paths = daemon.daemon.paths
      daemon.stop()
      for name in try FileSystem.entries(paths.experts).compactMap(\.text) {
        try FileSystem.remove("\(paths.experts)/\(name)")
      }
      try lose(paths, notes: true)
      let (status, text) = try fsck(paths)
      #expect(status == 0 && text.contains("0 versions of experts as they were noted, 6 that were not"), "\(text)")
      #expect(text.contains("which version of 'science' it was, and whether it was in use; it is science@3"), "\(text)")
      let store = try Catalogue(path: paths.catalogue, store: paths.store, now: .now)
      let found = try store.experts().flatMap(\.versions)
      // By the times of the files, which are those of their coming.
      let contents = found.map { "\($0.name)@\($0.version) \($0.digest)" }
      #expect(found.allSatisfy { $0.state == .candidate })
      let expected = before.keys.map { key in
        let words = key.split(separator: " ")
        return "\(words[0]) \(words[2])"
      }
      #expect(Set(contents) == Set(expected))
      #expect(try store.models().map(\.state) == [.failed])
      store.close()
    }
  }

  @Test func aDamagedNoteCostsItsLineAndNoMore() throws {
    try withDaemon { daemon in
      try fill(daemon)
      let paths = daemon.daemon.paths
      daemon.stop()
      // Written anew, there is one line for each name.
      try FileSystem.remove(paths.state + "/versions.jsonl")
      try daemon.restart()
      daemon.stop()
      let path = paths.state + "/versions.jsonl"
      var text = String(decoding: try FileSystem.readAll(path, maximumBytes: 1 << 20), as: UTF8.self)
      text = text.replacing(#""expert":"social""#, with: #""expert":"sociable""#)
      try FileSystem.writeAtomically(path, Array(text.utf8))
      try lose(paths)
      let (status, said) = try fsck(paths)
      #expect(status == 0 && said.contains("1 lines of what was noted beside the blobs are damaged"), "\(said)")
      #expect(said.contains("4 versions of experts as they were noted, 2 that were not"), "\(said)")
      let store = try Catalogue(path: paths.catalogue, store: paths.store, now: .now)
      let social = try #require(try store.experts().first { $0.name == "social" })
      #expect(social.versions.map(\.version) == [1, 2] && social.active == nil)
      #expect(social.versions.map(\.model) == ["tiny", "tiny"])
      store.close()
      try daemon.restart()
    }
  }

  /// After kill -9, and in the store of an earlier version.
  @Test func notesThatAreNotWholeAreWrittenAnewAtTheStart() throws {
    try withDaemon { daemon in
      try fill(daemon)
      let before = try versions(daemon)
      let paths = daemon.daemon.paths
      let path = paths.state + "/versions.jsonl"
      for cut in [1, 40, 2000, Int.max] {
        daemon.stop()
        let bytes = try FileSystem.readAll(path, maximumBytes: 1 << 20)
        if cut == Int.max {
          try FileSystem.remove(path)
        } else {
          try FileSystem.writeAtomically(path, Array(bytes.dropLast(cut)))
        }
        try daemon.restart()
      }
      daemon.stop()
      try lose(paths)
      let (status, text) = try fsck(paths)
      #expect(status == 0 && text.contains("6 versions of experts as they were noted, 0 that were not"), "\(text)")
      try daemon.restart()
      #expect(try versions(daemon) == before)
    }
  }

  @Test func aRebuildThatWasCutIsSaidAndBegunAgain() throws {
    try withDaemon { daemon in
      try fill(daemon)
      let before = try versions(daemon)
      let paths = daemon.daemon.paths
      daemon.stop()
      try lose(paths)
      try paths.store.prepare()
      // As a kill leaves it: there is a catalogue, with nothing in it.
      let cut = try Catalogue.beginAgain(
        path: paths.catalogue, store: paths.store, aside: paths.store.backups + "/cut", now: .now)
      cut.close()
      let error = #expect(throws: DaemonError.self) { try daemon.restart() }
      #expect(error?.exitCode == 65 && error?.description.contains("t2d fsck --rebuild") == true)
      let (status, text) = try fsck(paths)
      #expect(status == 0 && text.contains("6 versions of experts as they were noted"), "\(text)")
      try daemon.restart()
      #expect(try versions(daemon) == before)
    }
  }

  /// It has no notes; its experts' files say their names.
  @Test func theStoreOfAnEarlierVersionIsMadeAgainAsFarAsItsFilesSay() throws {
    try withTemporaryDirectory { prefix in
      let paths = DaemonPaths(prefix: prefix, socket: "s")
      try paths.prepare()
      let copy = try ChildProcess(
        "/bin/sh",
        arguments: [
          "sh", "-c",
          "cp -R '\(repository)/Tests/Golden/store/blobs' '\(repository)/Tests/Golden/store/tasks' '\(paths.state)'",
        ], environment: ChildProcess.environment(), socket: nil)
      #expect(copy.waitForExit(until: .after(.seconds(20))) == .code(0))
      let (status, text) = try fsck(paths)
      #expect(status == 0 && text.contains("0 versions of experts as they were noted"), "\(text)")
      let store = try Catalogue(path: paths.catalogue, store: paths.store, now: .now)
      defer { store.close() }
      let names = Set(try store.experts().map(\.name))
      #expect(names.isSuperset(of: ["learned", "science", "social", "sorter", "stranger"]), "\(names)\n\(text)")
      #expect(try store.tasks().map(\.name) == ["letters", "numbers", "waiting"])
      // Each file that is not named by the new catalogue is a mixture, or was said.
      #expect(try StoreAudit(of: store, depth: .contents).problems.isEmpty)
    }
  }
}
