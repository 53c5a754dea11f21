import Glibc
import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// An error of the system at every call of an ingest: it refuses no good file, what is answered is true, and once the
/// error is gone the file is taken, by itself or by a sync.
@Suite(.serialized) struct IngestFaultTests {
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
      let found = try faulty.points(of: FaultyThread.fileCalls) {
        try drop(daemon, first, number)
        try client.call("system.sync")
      }
      #expect(try self.row(of: first + ending, client)?["state"] == "accepted")
      #expect(found.count >= (thread == "catalogue" ? 20 : 3), "\(found)")

      var injected = 0
      for point in FaultyThread.Point.chosen(of: found, Self.errors, sample: 16) {
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
      let items = try everyRow(again, method, of: directory)
      #expect(Set(items.compactMap { $0["name"]?.stringValue }) == Set((1...number).map { "item\($0)" }))
      #expect(items.allSatisfy { ($0["version"] ?? $0["revision"]) == 1 })
    }
  }

  private func row(of file: String, _ client: RPCClient) throws -> JSONValue? {
    let rows = try client.call("system.status")["ingest"]?.arrayValue ?? []
    return rows.first { $0["path"]?.stringValue?.hasSuffix("/" + file) == true }
  }
}
