import Glibc
import ModelFormats
import ModelSamples
import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// An error of the system at every call of an ingest: it refuses no good file, what is answered is true, and once the
/// error is gone the file is taken, by itself or by a sync.
@Suite(.serialized) struct IngestFaultTests {
  /// Whatever goes to a file. Not `close`, which strace skips and the kernel never does; not what gets memory, where every
  /// program of Swift ends.
  private static let calls = [
    "openat", "fstat", "newfstatat", "pread64", "pwrite64", "write", "fchmod", "fsync", "fdatasync", "fcntl", "linkat",
    "link", "rename", "renameat", "mkdir", "chmod", "getdents64", "ftruncate", "lseek", "access", "inotify_add_watch",
    "statfs", "fstatfs", "readlink",
  ]
  private static let errors = ["EIO", "ENOSPC", "EMFILE", "ENFILE", "ENOMEM", "EDQUOT", "EINTR"]

  @Test(arguments: ["catalogue", "watcher"])
  func anErrorAtAnyCallRefusesNoExpert(thread: String) throws {
    try sweep(thread, directory: "experts", ending: ".safetensors") { daemon, name, number in
      try daemon.drop(expertBytes(name, number), "experts", name + ".safetensors")
    }
  }

  @Test(arguments: ["catalogue", "watcher"])
  func anErrorAtAnyCallRefusesNoTask(thread: String) throws {
    try sweep(thread, directory: "tasks", ending: "") { daemon, name, number in
      let spool = "\(daemon.prefix)/var/spool/t2d/tasks"
      try FileSystem.createDirectories("\(spool)/.\(name)")
      try FileSystem.writeAtomically("\(spool)/.\(name)/fewshot.jsonl", rows(number))
      try FileSystem.writeAtomically("\(spool)/.\(name)/eval.jsonl", rows(-1 - number))
      try FileSystem.rename("\(spool)/.\(name)", to: "\(spool)/\(name)")
    }
  }

  @Test func aFileThatMayNotBeReadIsShownAsThatAndTakenWhenItMay() throws {
    try withBank { daemon, client in
      let catalogue = try FaultyThread(named: "catalogue", of: daemon)
      let file = "locked.safetensors"
      var row: JSONValue?
      let point = FaultyThread.Point(call: "openat", number: 1, error: "EACCES", persists: true)
      let isInjected = try catalogue.fails(at: point) {
        try daemon.drop(expertBytes("locked", 1), "experts", file)
        try client.call("system.sync")
        row = try self.row(of: file, client)
      }
      #expect(isInjected)
      #expect(row?["state"] == "incomplete")
      #expect(row?["kind"] == "unreadable", "\(row?.jsonText ?? "")")
      #expect(row?["message"]?.stringValue?.contains("Permission denied") == true)
      // Its owner opens it.
      #expect(unsafe chmod("\(daemon.prefix)/var/spool/t2d/experts/\(file)", 0o644) == 0)
      try eventually("the file is taken", within: .seconds(20)) {
        try self.row(of: file, client)?["state"] == "accepted"
      }
    }
  }

  // MARK: - The sweep

  /// `drop` puts the item of a name there whole; each number is another content.
  private func sweep(
    _ thread: String, directory: String, ending: String, _ drop: (RunningDaemon, String, Int) throws -> Void
  ) throws {
    try withBank { daemon, client in
      let faulty = try FaultyThread(named: thread, of: daemon)
      var number = 0
      func next() -> String {
        number += 1
        return "item\(number)"
      }
      let first = next()
      let found = try faulty.points(of: Self.calls) {
        try drop(daemon, first, number)
        try client.call("system.sync")
      }
      #expect(try self.row(of: first + ending, client)?["state"] == "accepted")
      #expect(found.count >= (thread == "catalogue" ? 20 : 3), "\(found)")

      var injected = 0
      for point in Self.chosen(of: found) {
        let name = next()
        let file = name + ending
        if try faulty.fails(
          at: point,
          during: {
            try drop(daemon, name, number)
            try client.call("system.sync")
            let row = try self.row(of: file, client)
            let isTrue = ["accepted", "incomplete"].contains(row?["state"]?.stringValue)
            #expect(isTrue, "\(point): \(row?.jsonText ?? "")")
            if row?["state"] == "incomplete" {
              // Without a lease it waits for a quiet time instead.
              let isTheCause = row?["kind"] == "io_error" || point.call == "fcntl"
              #expect(isTheCause, "\(point): \(row?.jsonText ?? "")")
            }
          })
        {
          injected += 1
        }
        if injected % 2 == 0 { try client.call("system.sync") }
        try eventually("\(file) is taken after \(point)", within: .seconds(injected % 2 == 0 ? 1 : 20)) {
          try self.row(of: file, client)?["state"] == "accepted"
        }
        try FileSystem.removeTree("\(daemon.prefix)/var/spool/t2d/\(directory)/\(file)")
        try client.call("system.sync")
        #expect(try self.row(of: file, client) == nil, "after \(point)")
      }
      print("\(directory), thread \(thread): \(injected) errors at \(found.count) calls")
      #expect(injected > found.count / 10, "\(found)")

      // One version of each, no more and no less, also for the next start.
      #expect(try daemon.stop() == .code(0))
      try daemon.restart()
      let again = try daemon.client()
      let method = directory == "experts" ? "expert.list" : "task.list"
      let items = try again.call(method)[directory]?.arrayValue ?? []
      #expect(Set(items.compactMap { $0["name"]?.stringValue }) == Set((1...number).map { "item\($0)" }))
      #expect(items.allSatisfy { ($0["version"] ?? $0["revision"]) == 1 })
    }
  }

  /// All of them with every error, once and from then on; or few.
  private static func chosen(of points: [FaultyThread.Point]) -> [FaultyThread.Point] {
    var all: [FaultyThread.Point] = []
    for point in points {
      for error in errors {
        all.append(.init(call: point.call, number: point.number, error: error))
        // A signal does not interrupt for ever, and by `write` the threads wake each other too.
        if error != "EINTR", point.call != "write", point.number == 1 {
          all.append(.init(call: point.call, number: 1, error: error, persists: true))
        }
      }
    }
    // Once, and not again on the real model's run.
    if longSweeps, realModel == nil { return all }
    let step = max(1, all.count / 16)
    return stride(from: step / 2, to: all.count, by: step).map { all[$0] }
  }

  // MARK: - The bank

  private func withBank(_ body: (RunningDaemon, RPCClient) throws -> Void) throws {
    try withTemporaryDirectory { prefix in
      let daemon = try RunningDaemon(prefix: prefix)
      defer { if daemon.process.pollExit() == nil { daemon.kill() } }
      do {
        let model = try SyntheticModel(in: prefix + "/sample")
        let client = try daemon.client()
        let added = try client.call("model.add", ["path": .string(model.path), "name": "tiny"])
        try daemon.finish(try #require(added["job"]?.integerValue))
        try body(daemon, client)
      } catch {
        throw Failure("\(error)\nthe daemon's log:\n\(daemon.log)")
      }
      #expect(try daemon.stop() == .code(0), "\(daemon.log)")
      #expect(try Leftovers.files(ofPrefix: prefix) == [])
    }
  }

  private func row(of file: String, _ client: RPCClient) throws -> JSONValue? {
    let rows = try client.call("system.status")["ingest"]?.arrayValue ?? []
    return rows.first { $0["path"]?.stringValue?.hasSuffix("/" + file) == true }
  }
}

private func expertBytes(_ name: String, _ number: Int) -> [UInt8] {
  safetensorsBytes(
    tensors: SyntheticModel.targets.map { target in
      SafetensorsTensor(
        name: target.name, shape: [target.rank],
        values: (0..<target.rank).map { 1 + Float($0) / 64 + Float(number) / 4096 })
    },
    metadata: [
      ("t2.format", "t2-expert"), ("t2.version", "1"), ("t2.name", name), ("t2.param_space", "multiplier"),
      ("t2.rescale", "none"), ("t2.max_mult", "1"),
    ])
}

private func rows(_ number: Int) -> [UInt8] {
  let rows = ["A", "B", "C", "D"].map { letter in
    #"{"question":"\#(letter) \#(number)?","choices":{"text":["Honey \#(letter)","Milk"],"label":["A","B"]},"answerKey":"A"}"#
  }
  return Array(rows.joined(separator: "\n").utf8)
}
