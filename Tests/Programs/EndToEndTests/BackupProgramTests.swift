import Glibc
import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// `t2ctl backup` and `t2d restore` as they are built.
@Suite(.serialized) struct BackupProgramTests {
  private func fill(_ daemon: RunningDaemon, _ client: RPCClient) throws {
    for number in 0..<5 { try daemon.drop(expertBytes("e\(number)", number), "experts", "e\(number).safetensors") }
    try daemon.drop(rows(1), "tasks", "arc.jsonl")
    try client.call("system.sync")
  }

  private func stderr(_ daemon: RunningDaemon, of program: String) throws -> String {
    String(
      decoding: try FileSystem.readAll("\(daemon.prefix)/\(program).out.err", maximumBytes: 1 << 20), as: UTF8.self)
  }

  @Test func aBankIsBackedUpLostAndRestored() throws {
    try withBank(configuration: stillBank) { daemon, client in
      try fill(daemon, client)
      let file = daemon.prefix + "/bank.tar"
      let experts = try client.call("expert.list", ["all": true])
      let made = try daemon.t2ctl("--json", "backup", file)
      #expect(made.exit == .code(0), "\(made.output)")
      let answer = try parseJSON(Array(made.output.utf8))
      #expect(answer["bytes"]?.intValue == (try FileSystem.status(file)?.size) && answer["damaged"] == [])
      #expect(try FileSystem.status(file)?.mode == 0o600)
      // It overwrites nothing, not even itself.
      let again = try daemon.t2ctl("backup", file)
      #expect(again.exit == .code(1))
      #expect(try stderr(daemon, of: "t2ctl").contains("exists, and a backup overwrites nothing"))

      let busy = try daemon.restore(file)
      #expect(busy.exit == .code(75), "\(busy.output)")
      #expect(try daemon.stop() == .code(0))
      #expect(try daemon.restore(file).exit == .code(73))
      try FileSystem.removeTree(daemon.prefix + "/var/lib/t2d")
      let restored = try daemon.restore(file)
      #expect(restored.exit == .code(0) && restored.output.contains("t2d can be started"), "\(restored.output)")
      #expect(try daemon.fsck().exit == .code(0))
      try daemon.restart()
      #expect(try daemon.client().call("expert.list", ["all": true]) == experts)
    }
  }

  @Test func whereTheDaemonIsKilledThereIsNoFile() throws {
    try withBank(configuration: stillBank) { daemon, client in
      try fill(daemon, client)
      // As in a bank of which a backup takes long.
      let tasks = daemon.prefix + "/var/lib/t2d/tasks/arc"
      let copy = try #require(try FileSystem.entries(tasks).first?.text)
      let path = "\(tasks)/\(copy)/long"
      try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600).truncate(to: 1 << 36)
      let file = daemon.prefix + "/bank.tar"
      let command = try ChildProcess(
        "\(try builtPrograms())/t2ctl", arguments: ["t2ctl", "--prefix", daemon.prefix, "backup", file],
        environment: ChildProcess.environment(without: ["T2D_PREFIX", "T2D_SOCKET"]), socket: nil)
      try eventually("the backup is begun", within: .seconds(20)) { daemon.log.contains("a backup is begun") }
      daemon.kill()
      let exit = command.waitForExit(until: .after(.seconds(20)))
      #expect(exit == .code(2), "\(String(describing: exit))")
      #expect(try FileSystem.status(file) == nil)
      try FileSystem.remove(path)
      try daemon.restart()
      #expect(try daemon.fsck().exit == .code(75))
      #expect(try daemon.client().call("system.audit")["ok"] == true)
      #expect(try FileSystem.entries(daemon.prefix + "/var/lib/t2d/staging").isEmpty)
    }
  }

  @Test func aFullDiskIsSaidAndCostsNothing() throws {
    try withTemporaryDirectory { prefix in
      let daemon = try RunningDaemon(
        prefix: prefix, configuration: stillBank, under: ["unshare", "--mount", "--propagation", "private"])
      defer { if daemon.process.pollExit() == nil { daemon.kill() } }
      try backUpToASmallDisk(daemon)
      #expect(try daemon.faultsOfEnd(logged: []) == [])
    }
  }

  private func backUpToASmallDisk(_ daemon: RunningDaemon) throws {
    let (prefix, client) = (daemon.prefix, try daemon.client())
    try addTinyModel(daemon, client)
    try fill(daemon, client)
    try FileSystem.createDirectories(prefix + "/small")
    let mount = try ChildProcess(
      "/usr/bin/env",
      arguments: [
        "env", "nsenter", "--target", "\(daemon.process.processID)", "--mount", "mount", "-t", "tmpfs", "-o",
        "size=64k",
        "none", prefix + "/small",
      ], environment: ChildProcess.environment(), socket: nil)
    #expect(mount.waitForExit(until: .after(.seconds(20))) == .code(0), "it needs root")
    let file = "/proc/\(daemon.process.processID)/root\(prefix)/small/bank.tar"
    let failed = try daemon.t2ctl("backup", file)
    #expect(failed.exit == .code(1), "\(failed.output)")
    let said = try stderr(daemon, of: "t2ctl")
    #expect(said.contains("No space left on device (ENOSPC); free some space"), "\(said)")
    #expect(try FileSystem.entries(FileSystem.split(file).directory).isEmpty)
    // The store is not full, and another place has room.
    #expect(try client.call("system.status")["warnings"]?.arrayValue?.contains { $0["code"] == "store" } == false)
    #expect(try daemon.t2ctl("backup", prefix + "/bank.tar").exit == .code(0))
    try FileSystem.remove(prefix + "/bank.tar")
  }
}
