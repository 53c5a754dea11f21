import Glibc
import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// A file that the worker has mapped is cut short, which ends it (SIGBUS). The daemon stays, what was computed is made good
/// or said, nothing wrong is published, and nobody starts workers for ever.
@Suite(.serialized) struct CutFilesTests {
  @Test func aFactorizationThatIsCutUnderASearchIsMadeAnew() throws {
    try withSearches { daemon, client in
      let expected = try mixture(after: try search(client), daemon, client)
      let path = try factorization(daemon)
      let good = try FileSystem.readAll(path, maximumBytes: 1 << 24)
      let before = try restarts(client)

      let job = try search(client)
      try waitUntilItComputes(job, client)
      try cut(path)
      let mixture = try mixture(after: job, daemon, client)
      #expect(mixture["search"]?["job"] == .integer(job))
      #expect(mixture["alpha"] == expected["alpha"] && mixture["scores"] == expected["scores"])
      #expect(try FileSystem.readAll(path, maximumBytes: 1 << 24) == good, "it is made anew")
      #expect(try restarts(client) == before + 1)
      let shown = try client.call("job.show", ["job": .integer(job)])
      #expect(shown["attempts"] == 2, "\(shown.jsonText)")
    }
  }

  @Test func whoCutsItAgainAndAgainEndsTheJobAndNoMore() throws {
    try withSearches { daemon, client in
      let expected = try mixture(after: try search(client), daemon, client)
      let path = try factorization(daemon)
      let before = try restarts(client)

      let job = try search(client, population: Self.population * 2)
      for attempt in 1...3 {
        try waitUntilItComputes(job, attempt: Int64(attempt), client)
        try cut(path)
      }
      let shown = try client.call("job.wait", ["job": .integer(job), "timeout_ms": 60_000])
      #expect(shown["state"] == "failed", "\(shown.jsonText)")
      let message = shown["error"]?["message"]?.stringValue ?? ""
      #expect(message.hasPrefix("given up after 3 attempts"), "\(message)")
      #expect(message.contains("signal 7: a file that it had mapped was cut short"), "\(message)")
      #expect(try restarts(client) == before + 3)
      // What was served is served.
      #expect(try client.call("mixture.get", ["task": "letters"])["search"] == expected["search"])
      // By itself nothing is begun again, and whoever asks again is served.
      try client.call("system.sync")
      #expect(try client.call("job.list")["jobs"]?.arrayValue?.first?["job"] == .integer(job))
      let again = try mixture(after: try search(client), daemon, client)
      #expect(again["alpha"] == expected["alpha"] && again["scores"] == expected["scores"])
      #expect(try restarts(client) == before + 3)
    }
  }

  @Test func aModelThatIsCutWhileItIsReadIsNamed() throws {
    try withBank(configuration: stillBank) { daemon, client in
      let path = daemon.prefix + "/sample/cut.gguf"
      try FileSystem.writeAtomically(path, SyntheticGGUF.tinyLlama().build())
      let before = try restarts(client)
      let worker = try #require(try client.call("system.status")["worker"]?["pid"]?.integerValue)
      // The call that maps the file returns when it is cut already.
      let strace = try ChildProcess(
        "/usr/bin/env",
        arguments: [
          "env", "strace", "-f", "-q", "-o", daemon.prefix + "/strace", "-P", path, "-e", "trace=mmap", "-e",
          "inject=mmap:delay_exit=3000000", "-p", "\(worker)",
        ], environment: ChildProcess.environment(), socket: nil)
      defer {
        strace.signal(SIGTERM)
        _ = strace.waitForExit(until: .after(.seconds(20)))
      }
      try eventually("strace is attached; etc/test installs it, and it needs root", within: .seconds(20)) {
        try FileSystem.entries("/proc/\(worker)/task").compactMap(\.text).allSatisfy { thread in
          let status = (try? FileSystem.readVirtual("/proc/\(worker)/task/\(thread)/status")) ?? []
          return !String(decoding: status, as: UTF8.self).contains("TracerPid:\t0\n")
        }
      }
      let job = try #require(
        try client.call("model.add", ["path": .string(path), "name": "cut"])["job"]?.integerValue)
      try eventually("the model is mapped", within: .seconds(20)) {
        let maps = try FileSystem.readVirtual("/proc/\(worker)/maps", maximumBytes: 1 << 24)
        return String(decoding: maps, as: UTF8.self).contains(path)
      }
      try cut(path)
      let shown = try client.call("job.wait", ["job": .integer(job), "timeout_ms": 60_000])
      #expect(shown["state"] == "failed", "\(shown.jsonText)")
      #expect(shown["error"]?["message"]?.stringValue?.contains(path) == true, "\(shown.jsonText)")
      #expect(shown["attempts"] == 2, "\(shown.jsonText)")
      #expect(try restarts(client) == before + 1)
      let model = try client.call("model.show", ["name": "cut"])
      #expect(model["problem"]?.stringValue?.contains(path) == true, "\(model.jsonText)")
      // Another one is as it was.
      #expect(try client.call("model.show", ["name": "tiny"])["state"] == "ready")
    }
  }

  // MARK: - What they share

  /// Two experts, and a task without a mixture.
  private func withSearches(_ body: (RunningDaemon, RPCClient) throws -> Void) throws {
    try withBank(configuration: stillBank) { daemon, client in
      for (name, number) in [("calm", 1), ("bold", 900)] {
        try daemon.drop(expertBytes(name, number), "experts", name + ".safetensors")
        try client.call("system.sync")
        try client.call("expert.promote", ["expert": .string(name + "@1")])
      }
      try daemon.drop(rows(1), "tasks", "letters.jsonl")
      try client.call("system.sync")
      try body(daemon, client)
    }
  }

  /// Candidates of a search that takes some seconds in either build.
  #if DEBUG
    private static let population = 160
  #else
    private static let population = 512
  #endif

  /// The same search each time.
  private func search(_ client: RPCClient, population: Int = Self.population) throws -> Int64 {
    let asked = try client.call(
      "task.adapt",
      [
        "task": "letters", "search": "random", "iterations": 400, "population": JSONValue(population),
        "shots": 4, "seed": 5,
      ])
    return try #require(asked["job"]?.integerValue)
  }

  private func mixture(after job: Int64, _ daemon: RunningDaemon, _ client: RPCClient) throws -> JSONValue {
    try daemon.finish(job, within: .seconds(120))
    return try client.call("mixture.get", ["task": "letters"])
  }

  /// It goes on before one's eyes: what is shown first may be of an attempt before.
  private func waitUntilItComputes(_ job: Int64, attempt: Int64 = 1, _ client: RPCClient) throws {
    var seen: Set<String> = []
    try eventually("attempt \(attempt) of job \(job) computes", within: .seconds(60)) {
      let shown = try client.call("job.show", ["job": .integer(job)])
      try #require(shown["ended"] == .null, "\(shown.jsonText)")
      guard shown["state"] == "running", shown["attempts"] == .integer(attempt), shown["phase"] == "search" else {
        return false
      }
      seen.insert(shown["fraction"]?.jsonText ?? "")
      return seen.count > 1
    }
  }

  private func restarts(_ client: RPCClient) throws -> Int64 {
    try #require(try client.call("system.status")["worker"]?["restarts"]?.integerValue)
  }

  private func factorization(_ daemon: RunningDaemon) throws -> String {
    let directory = daemon.prefix + "/var/lib/t2d/factorizations"
    return try "\(directory)/" + #require(try FileSystem.entries(directory).first?.text)
  }

  private func cut(_ path: String) throws {
    let file = try FileDescriptor.open(path, O_RDWR)
    #expect(ftruncate(file.number, 0) == 0)
  }
}
