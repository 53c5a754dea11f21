import Glibc
import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

/// The files that people have in the watched directories: each case with its outcome and its message.
@Suite struct WatchedFilesTests {
  private struct Case: CustomTestStringConvertible, Sendable {
    var testDescription: String
    /// Which directory, and the name that is looked for there.
    var file: String
    var state: String
    var kind: String
    /// What the message has in it.
    var says: [String]
    var make: @Sendable (_ harness: Harness, _ spool: String) throws -> Void
  }

  private static func link(_ target: String, _ path: String) {
    #expect(unsafe symlink(target, path) == 0, "\(path)")
  }

  private static let cases: [Case] = [
    Case(
      testDescription: "watch-hub-symlink", file: "experts/hubby.safetensors", state: "rejected", kind: "symbolic_link",
      says: [
        "is a symbolic link to '", "/snapshots/aa/hubby.safetensors'; links are not followed",
        "cp -L hubby.safetensors .hubby.safetensors && mv -T .hubby.safetensors hubby.safetensors",
      ]
    ) { harness, spool in
      let hub = "\(harness.prefix)/hub"
      try FileSystem.createDirectories("\(hub)/blobs")
      try FileSystem.createDirectories("\(hub)/snapshots/aa")
      try FileSystem.writeAtomically("\(hub)/blobs/0123", expertBytes("hubby", value: 1.25), mode: 0o644)
      link("../../blobs/0123", "\(hub)/snapshots/aa/hubby.safetensors")
      link("\(hub)/snapshots/aa/hubby.safetensors", "\(spool)/experts/hubby.safetensors")
    },
    Case(
      testDescription: "watch-configmap", file: "experts/cm.safetensors", state: "rejected", kind: "symbolic_link",
      says: ["to '..data/cm.safetensors'", "a volume of Kubernetes", "subPath", "cp -L cm.safetensors .cm.safetensors"]
    ) { _, spool in
      try FileSystem.createDirectories("\(spool)/experts/..1")
      try FileSystem.writeAtomically("\(spool)/experts/..1/cm.safetensors", expertBytes("cm", value: 1.25), mode: 0o644)
      link("..1", "\(spool)/experts/..data")
      link("..data/cm.safetensors", "\(spool)/experts/cm.safetensors")
    },
    Case(
      testDescription: "a ConfigMap as a task", file: "tasks/cmtask", state: "rejected", kind: "symbolic_link",
      says: ["'fewshot.jsonl' is a symbolic link to '..data/fewshot.jsonl'", "subPath", "cp -L"]
    ) { _, spool in
      try FileSystem.createDirectories("\(spool)/tasks/.cmtask/..1")
      try FileSystem.writeAtomically("\(spool)/tasks/.cmtask/..1/fewshot.jsonl", taskBytes(question: "c"), mode: 0o644)
      link("..1", "\(spool)/tasks/.cmtask/..data")
      link("..data/fewshot.jsonl", "\(spool)/tasks/.cmtask/fewshot.jsonl")
      try FileSystem.rename("\(spool)/tasks/.cmtask", to: "\(spool)/tasks/cmtask")
    },
    Case(
      testDescription: "a linked directory of a task", file: "tasks/linked", state: "rejected", kind: "symbolic_link",
      says: ["'linked' is a symbolic link to '", "cp -L -r linked .linked && rm linked && mv .linked linked"]
    ) { harness, spool in
      try FileSystem.createDirectories("\(harness.prefix)/elsewhere")
      try FileSystem.writeAtomically(
        "\(harness.prefix)/elsewhere/fewshot.jsonl", taskBytes(question: "l"), mode: 0o644)
      link("\(harness.prefix)/elsewhere", "\(spool)/tasks/linked")
    },
    Case(
      testDescription: "a linked directory among experts", file: "experts/snapshot", state: "ignored", kind: "link",
      says: ["a symbolic link is not followed", "cp -L", ".safetensors"]
    ) { harness, spool in
      link(harness.prefix, "\(spool)/experts/snapshot")
    },
    Case(
      testDescription: "a link to nothing", file: "experts/dangling.safetensors", state: "rejected",
      kind: "symbolic_link", says: ["to 'nothing'; links are not followed"]
    ) { _, spool in link("nothing", "\(spool)/experts/dangling.safetensors") },
    Case(
      testDescription: "a link to itself", file: "tasks/loop.jsonl", state: "rejected", kind: "symbolic_link",
      says: ["to 'loop.jsonl'"]
    ) { _, spool in link("loop.jsonl", "\(spool)/tasks/loop.jsonl") },
    Case(
      testDescription: "a link to a FIFO", file: "experts/pipe.safetensors", state: "rejected", kind: "symbolic_link",
      says: ["to '.pipe'"]
    ) { _, spool in
      #expect(unsafe mkfifo("\(spool)/experts/.pipe", 0o600) == 0)
      link(".pipe", "\(spool)/experts/pipe.safetensors")
    },
    Case(
      testDescription: "a link to a file that only t2d may read", file: "tasks/shadow.jsonl", state: "rejected",
      kind: "symbolic_link", says: ["to '/etc/shadow'; links are not followed"]
    ) { _, spool in link("/etc/shadow", "\(spool)/tasks/shadow.jsonl") },
    Case(
      testDescription: "a link with control characters", file: "tasks/odd.jsonl", state: "rejected",
      kind: "symbolic_link", says: [#"to '\x1b[2J\n'"#]
    ) { _, spool in link("\u{1B}[2J\n", "\(spool)/tasks/odd.jsonl") },
    Case(
      testDescription: "watch-odd-endings: parquet", file: "tasks/a.parquet", state: "rejected", kind: "not_a_task",
      says: ["a Parquet table", "pandas.read_parquet('a.parquet').to_json('a.jsonl'"]
    ) { harness, _ in try harness.drop("tasks", "a.parquet", Array("PAR1".utf8)) },
    Case(
      testDescription: "watch-odd-endings: jsonl.gz", file: "tasks/b.jsonl.gz", state: "rejected", kind: "packed",
      says: ["a gzip archive", "gunzip b.jsonl.gz"]
    ) { harness, _ in try harness.drop("tasks", "b.jsonl.gz", [0x1F, 0x8B]) },
    Case(
      testDescription: "watch-odd-endings: JSONL", file: "tasks/D.JSONL", state: "accepted", kind: "", says: []
    ) { harness, _ in try harness.drop("tasks", "D.JSONL", taskBytes(question: "d")) },
    Case(
      testDescription: "watch-odd-endings: arrow", file: "tasks/h.arrow", state: "rejected", kind: "not_a_task",
      says: ["datasets.Dataset.from_file('h.arrow')"]
    ) { harness, _ in try harness.drop("tasks", "h.arrow", [0xFF, 0xFF, 0xFF, 0xFF]) },
    Case(
      testDescription: "watch-odd-endings: SAFETENSORS", file: "experts/Loud.SAFETENSORS", state: "accepted", kind: "",
      says: []
    ) { harness, _ in
      try harness.drop(
        "experts", "Loud.SAFETENSORS", expertBytes("loud", value: 1.25, metadata: [("t2.name", "Loud")]))
    },
    Case(
      testDescription: "watch-odd-endings: safetensors.gz", file: "experts/g.safetensors.gz", state: "rejected",
      kind: "packed", says: ["gunzip g.safetensors.gz"]
    ) { harness, _ in try harness.drop("experts", "g.safetensors.gz", [0x1F, 0x8B]) },
    Case(
      testDescription: "the hub's bookkeeping", file: "tasks/dataset_infos.json", state: "ignored", kind: "bookkeeping",
      says: ["what hubs, git and programs keep", "rename it"]
    ) { harness, _ in try harness.drop("tasks", "dataset_infos.json", Array("{}".utf8)) },
    Case(
      testDescription: "a model card", file: "experts/README.md", state: "ignored", kind: "bookkeeping",
      says: ["what hubs, git and programs keep"]
    ) { harness, _ in try harness.drop("experts", "README.md", Array("# expert".utf8)) },
  ]

  @Test(arguments: cases) private func eachHasItsStateAndSaysWhatToDo(of one: Case) throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      try one.make(daemon, daemon.spool)
      try daemon.sync()
      let row = try daemon.ingestRow(one.file)
      #expect(row?["state"]?.stringValue == one.state)
      #expect(row?["kind"]?.stringValue ?? "" == one.kind)
      let message = row?["message"]?.stringValue ?? ""
      for text in one.says { #expect(message.contains(text), "\(message)") }
      // Seen again it is the same.
      daemon.stop()
      try daemon.restart()
      try daemon.sync()
      #expect(try daemon.ingestRow(one.file)?["message"] == row?["message"])
      try daemon.emptySpool()
    }
  }

  /// The kubelet makes a new directory and a new link, and renames the link over `..data`.
  @Test func theSwapOfAVolumeIsNotMistakenForADrop() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      let spool = daemon.spool + "/experts"
      for (number, value) in [Float(1.25), 1.5].enumerated() {
        try FileSystem.createDirectories("\(spool)/..\(number)")
        try FileSystem.writeAtomically(
          "\(spool)/..\(number)/cm.safetensors", expertBytes("cm", value: value), mode: 0o644)
      }
      Self.link("..0", "\(spool)/..data")
      Self.link("..data/cm.safetensors", "\(spool)/cm.safetensors")
      try daemon.sync()
      #expect(try daemon.ingestRow("experts/cm.safetensors")?["kind"] == "symbolic_link")
      Self.link("..1", "\(spool)/..data_tmp")
      try FileSystem.rename("\(spool)/..data_tmp", to: "\(spool)/..data")
      try daemon.sync()
      #expect(try daemon.call("system.status")["ingest"]?.arrayValue?.count == 1)
      #expect(try daemon.call("expert.list")["experts"] == [])
      // What the message says to do: a copy, renamed over the link.
      let bytes = try FileSystem.readAll("\(spool)/cm.safetensors", maximumBytes: 1 << 20)
      try FileSystem.writeAtomically("\(spool)/.cm.safetensors", bytes, mode: 0o644)
      try FileSystem.rename("\(spool)/.cm.safetensors", to: "\(spool)/cm.safetensors")
      try daemon.sync()
      #expect(try daemon.ingestState(of: "cm.safetensors") == "accepted")
      try daemon.emptySpool()
    }
  }

  /// A link that is switched to another target says so: what was told of the old one would be wrong.
  @Test func aLinkThatLeadsElsewhereIsToldAnew() throws {
    try withDaemon { (daemon: Harness) throws in
      for target in ["one", "two"] {
        Self.link(target, "\(daemon.spool)/experts/.new")
        try FileSystem.rename("\(daemon.spool)/experts/.new", to: "\(daemon.spool)/experts/a.safetensors")
        try daemon.sync()
        let message = try daemon.ingestRow("experts/a.safetensors")?["message"]?.stringValue
        #expect(message?.contains("a symbolic link to '\(target)'") == true, "\(message ?? "-")")
      }
      try daemon.emptySpool()
    }
  }

  /// Whichever came first stays, over restarts and changes; the other is taken when that is gone.
  @Test(arguments: [
    ("arc.jsonl", "arc"), ("arc", "arc.jsonl"), ("arc.jsonl", "arc.Jsonl"), ("arc.JSONL", "arc"),
  ])
  func theSecondFormOfATaskIsRefusedUntilTheFirstIsGone(first: String, second: String) throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      func drop(_ name: String, _ question: String) throws {
        if name == "arc" {
          try daemon.dropTask("arc", question: question, files: [:])
        } else {
          try daemon.drop("tasks", name, taskBytes(question: question))
        }
      }
      try drop(first, "one")
      try daemon.sync()
      try drop(second, "two")
      try daemon.sync()
      for _ in 0..<2 {
        #expect(try daemon.ingestRow("tasks/\(first)")?["state"] == "accepted")
        let refused = try daemon.ingestRow("tasks/\(second)")
        #expect(refused?["kind"] == "two_forms")
        #expect(refused?["message"]?.stringValue?.hasPrefix("'\(first)' is there too and is the task 'arc'") == true)
        daemon.stop()
        try daemon.restart()
        try daemon.sync()
      }
      try FileSystem.removeTree("\(daemon.spool)/tasks/\(first)")
      try daemon.sync()
      #expect(try daemon.ingestRow("tasks/\(second)")?["state"] == "accepted")
      #expect(try daemon.call("task.show", ["task": "arc"])["source"]?.stringValue == second)
      try daemon.emptySpool()
    }
  }
}

extension Harness {
  var spool: String { "\(prefix)/var/spool/t2d" }

  /// What status shows of a file, by its path below the watched directories.
  func ingestRow(_ file: String) throws -> JSONValue? {
    try call("system.status")["ingest"]?.arrayValue?.first { $0["path"]?.stringValue == "\(spool)/\(file)" }
  }

  /// What the tests have dropped is no file that the daemon left.
  func emptySpool() throws {
    for directory in ["experts", "tasks"] {
      for entry in try FileSystem.entries("\(spool)/\(directory)") {
        if let name = entry.text { try FileSystem.removeTree("\(spool)/\(directory)/\(name)") }
      }
    }
  }
}
