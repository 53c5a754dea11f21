import Glibc
import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// What only root can do to a watched directory, in a mount namespace of the daemon's own, so that nobody else sees it.
@Suite(.serialized) struct MountedOverTests {
  @Test(arguments: ["tmpfs", "bind"])
  func aMountOnTopIsSeenAndSoIsItsEnd(kind: String) throws {
    try withTemporaryDirectory { prefix in
      let daemon = try RunningDaemon(prefix: prefix, under: ["unshare", "--mount", "--propagation", "private"])
      defer { if daemon.process.pollExit() == nil { daemon.kill() } }
      try mountAndUnmount(kind, daemon, daemon.client())
      #expect(try daemon.faultsOfEnd(logged: []) == [])
    }
  }

  private func mountAndUnmount(_ kind: String, _ daemon: RunningDaemon, _ client: RPCClient) throws {
    let prefix = daemon.prefix
    let tasks = "\(prefix)/var/spool/t2d/tasks"
    try drop("below", in: tasks)
    try client.call("system.sync")
    #expect(try files(client) == ["below.jsonl"])

    if kind == "tmpfs" {
      try inNamespace(of: daemon, ["mount", "-t", "tmpfs", "none", tasks])
    } else {
      try FileSystem.createDirectories("\(prefix)/other")
      try inNamespace(of: daemon, ["mount", "--bind", "\(prefix)/other", tasks])
    }
    // As the daemon sees it.
    let mounted = "/proc/\(daemon.process.processID)/root\(tasks)"
    try drop("above", in: mounted)
    try client.call("system.sync")
    #expect(try files(client) == ["above.jsonl"])
    // It is watched: the next file needs no sync.
    try drop("later", in: mounted)
    try eventually("a file in the mounted directory is taken", within: .seconds(20)) {
      try files(client) == ["above.jsonl", "later.jsonl"]
    }

    // The daemon has it open, so it goes only lazily; this time nobody asks for a sync.
    try inNamespace(of: daemon, ["umount", "--lazy", tasks])
    try eventually("what lay below is seen again", within: .seconds(20)) { try files(client) == ["below.jsonl"] }
    let said = try client.call("events.subscribe", ["events": ["directory.replaced"]])["events"]?.arrayValue ?? []
    #expect(said.map { $0["subject"] } == ["tasks", "tasks"])
    #expect(daemon.log.contains("a watched directory was replaced, and the new one is watched"))
    #expect(try client.call("system.status")["warnings"]?.arrayValue?.contains { $0["code"] == "watch_tasks" } == false)
  }

  private func drop(_ name: String, in directory: String) throws {
    let row =
      #"{"question":"Who is \#(name)?","choices":{"text":["Honey","Milk"],"label":["A","B"]},"answerKey":"A"}"#
    try FileSystem.writeAtomically("\(directory)/\(name).jsonl", Array(row.utf8), mode: 0o644)
  }

  private func files(_ client: RPCClient) throws -> [String] {
    (try client.call("system.status")["ingest"]?.arrayValue ?? []).compactMap { $0["path"]?.stringValue }
      .map { FileSystem.split($0).name }.sorted()
  }

  private func inNamespace(of daemon: RunningDaemon, _ command: [String]) throws {
    let child = try ChildProcess(
      "/usr/bin/env", arguments: ["env", "nsenter", "--target", "\(daemon.process.processID)", "--mount"] + command,
      environment: ChildProcess.environment(), socket: nil)
    guard child.waitForExit(until: .after(.seconds(20))) == .code(0) else {
      throw Failure("\(command) failed in the daemon's mount namespace; it needs root")
    }
  }
}
