import Registry
import StrictJSON
import SystemSupport
import Testing

@testable import Daemon

@Suite struct FsckTests {
  private func fill(_ daemon: Harness) throws -> JSONValue {
    try daemon.addModel()
    try daemon.dropExpert("science", value: 1.25)
    try daemon.dropTask("arc")
    return try daemon.settledMixture("arc")
  }

  private func fsck(_ daemon: Harness, rebuilds: Bool = false, isQuick: Bool = false) throws -> (Int32, String) {
    var text = ""
    let program = FsckProgram(paths: daemon.daemon.paths, rebuilds: rebuilds, isQuick: isQuick) { text += $0 }
    return (try program.run(), text)
  }

  private func blob(of expert: String, _ daemon: Harness) throws -> String {
    try #require(try daemon.call("expert.export", ["expert": .string(expert)])["path"]?.stringValue)
  }

  @Test func aWholeStoreHasNoProblem() throws {
    try withDaemon { daemon in
      _ = try fill(daemon)
      daemon.stop()
      for isQuick in [false, true] {
        let (status, text) = try fsck(daemon, isQuick: isQuick)
        #expect(status == 0 && text.hasPrefix("2 files of "), "\(text)")
        #expect(text.hasSuffix(" compared: 0 problems\n"), "\(text)")
      }
      try daemon.restart()
    }
  }

  @Test func aStoreThatIsInUseIsNotLookedAt() throws {
    try withDaemon { daemon in
      let error = #expect(throws: DaemonError.self) { try fsck(daemon) }
      #expect(error?.exitCode == 75)
    }
  }

  @Test func whatIsDamagedMissingOrNamedByNothingIsSaid() throws {
    try withDaemon(logged: ["a stored file is damaged"]) { daemon in
      _ = try fill(daemon)
      let path = try blob(of: "science", daemon)
      daemon.stop()
      let bytes = try FileSystem.readAll(path, maximumBytes: 1 << 20)
      let state = daemon.daemon.paths.state
      try FileSystem.writeAtomically("\(state)/blobs/ab/left-over", [1, 2, 3])
      let (status, text) = try fsck(daemon)
      #expect(
        status == 0 && text.contains("unnamed: \(state)/blobs/ab/left-over: a blob: the catalogue does not name it"))
      #expect(text.hasSuffix("0 problems, 1 files that nothing names (t2ctl gc)\n"), "\(text)")
      try FileSystem.remove("\(state)/blobs/ab/left-over")

      var damaged = bytes
      damaged[bytes.count / 2] ^= 1
      try FileSystem.writeAtomically(path, damaged, mode: 0o444)
      #expect(try fsck(daemon, isQuick: true).0 == 0)
      let second = try fsck(daemon)
      #expect(second.0 == 65 && second.1.contains("damaged: \(path): expert science@1: "), "\(second.1)")
      try FileSystem.writeAtomically(path, Array(bytes.dropLast()), mode: 0o444)
      #expect(
        try fsck(daemon, isQuick: true).1.contains("it has \(bytes.count - 1) bytes, and should have \(bytes.count)"))
      try FileSystem.remove(path)
      let third = try fsck(daemon, isQuick: true)
      #expect(third.0 == 65 && third.1.contains("missing: \(path): expert science@1: it is not there"), "\(third.1)")
      try daemon.restart()
    }
  }

  /// What can become of a catalogue.
  enum Loss: CaseIterable {
    case deleted, emptied, noDatabase, zeroPage

    func apply(to path: String) throws {
      switch self {
      case .deleted: try FileSystem.remove(path)
      case .emptied: try FileSystem.writeAtomically(path, [])
      case .noDatabase: try FileSystem.writeAtomically(path, Array("this is no database at all".utf8))
      case .zeroPage:
        var bytes = try FileSystem.readAll(path, maximumBytes: 1 << 24)
        for index in 4096..<bytes.count { bytes[index] = 0 }
        try FileSystem.writeAtomically(path, bytes)
      }
    }
  }

  @Test(arguments: Loss.allCases) func aCatalogueThatIsLostIsSaidAndMadeAgain(loss: Loss) throws {
    try withDaemon { daemon in
      let mixture = try fill(daemon)
      let path = daemon.daemon.paths.catalogue
      daemon.stop()
      try loss.apply(to: path)
      let error = #expect(throws: DaemonError.self) { try daemon.restart() }
      #expect(error?.exitCode == 65, "\(String(describing: error))")
      #expect(error?.description.contains("t2d fsck --rebuild") == true, "\(String(describing: error))")
      #expect(throws: DaemonError.self) { try fsck(daemon) }
      let (status, text) = try fsck(daemon, rebuilds: true)
      #expect(status == 0 && text.contains("it was made again from the redo log"), "\(text)")
      #expect(text.hasSuffix("0 problems\n"), "\(text)")
      let again = try fsck(daemon, rebuilds: true)
      #expect(again.1.hasPrefix("the catalogue can be opened, so nothing is made again"))
      try daemon.restart()
      #expect(try daemon.call("mixture.get", ["task": "arc"]) == mixture)
      try daemon.dropExpert("science", value: 1.5)
      try daemon.sync()
      #expect(try daemon.call("expert.show", ["expert": "science"])["version"] == 2)
    }
  }

  @Test func anEmptyPlaceIsNoStore() throws {
    try withTemporaryDirectory { prefix in
      var text = ""
      let paths = DaemonPaths(prefix: prefix, socket: "s")
      try FileSystem.createDirectories(paths.state, mode: 0o700)
      #expect(try FsckProgram(paths: paths, rebuilds: true, isQuick: false) { text += $0 }.run() == 0)
      #expect(text.contains("there is nothing to check"))
    }
  }
}
