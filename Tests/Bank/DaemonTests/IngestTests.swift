import Daemon
import Glibc
import ModelFormats
import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

@Suite struct IngestTests {
  @Test func aDroppedExpertIsAVersionAfterSync() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try daemon.sync()
      let experts = try daemon.call("expert.list")["experts"]?.arrayValue ?? []
      #expect(experts.count == 1)
      #expect(experts.first?["name"] == "science")
      #expect(experts.first?["version"] == 1)
      #expect(experts.first?["active"] == 1)
      #expect(experts.first?["state"] == "active")
      #expect(experts.first?["model"] == "tiny")
      #expect(try daemon.ingestState(of: "science.safetensors") == "accepted")
    }
  }

  @Test func otherContentIsTheNextVersionAndTheSameContentIsNone() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      for value in [1.25, 1.5, 1.25] as [Float] {
        try daemon.dropExpert("science", value: value)
        try daemon.sync()
      }
      let rows = try daemon.call("expert.list", ["all": true])["experts"]?.arrayValue ?? []
      #expect(rows.map { $0["version"] } == [1, 2])
      #expect(rows.map { $0["state"] } == ["superseded", "active"])
      #expect(try daemon.ingestState(of: "science.safetensors") == "duplicate")
    }
  }

  @Test func aFileThatWentWhileNobodyWatchedIsForgotten() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try daemon.dropExpert("stays", value: 1.5)
      try daemon.drop("experts", "notes.txt", Array("hello".utf8))
      try daemon.sync()
      daemon.stop()
      for file in ["science.safetensors", "notes.txt"] {
        #expect(try FileSystem.remove("\(daemon.prefix)/var/spool/t2d/experts/\(file)"))
      }
      try daemon.restart()
      try daemon.sync()
      #expect(try daemon.call("system.status")["ingest"]?.arrayValue?.count == 1)
      // What it is seen to be again is no news.
      #expect(try daemon.ingestState(of: "stays.safetensors") == "accepted")
      #expect(try daemon.call("expert.list")["experts"]?.arrayValue?.count == 2)
    }
  }

  /// A clean clone has the directories, each with a file that keeps it there.
  @Test func theFilesThatKeepTheDirectoriesInTheRepositoryAreNotMentioned() throws {
    try withDaemon { (daemon: Harness) throws in
      daemon.stop()
      let kept = ["experts", "tasks"].map { "var/spool/t2d/\($0)/.gitignore" }
      for file in kept {
        let bytes = try FileSystem.readAll("\(repository)/\(file)", maximumBytes: 1 << 10)
        try FileSystem.writeAtomically("\(daemon.prefix)/\(file)", bytes, mode: 0o644)
      }
      try daemon.restart()
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try daemon.sync()
      let rows = try daemon.call("system.status")["ingest"]?.arrayValue ?? []
      #expect(rows.compactMap { $0["path"]?.stringValue }.map { FileSystem.split($0).name } == ["science.safetensors"])
      #expect(try daemon.call("expert.list")["rejected"] == [])
      for file in kept { #expect(try FileSystem.remove("\(daemon.prefix)/\(file)")) }
    }
  }

  @Test func eachBadFileHasItsReasonAndStopsNoOther() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.drop("experts", "nan.safetensors", expertBytes("nan", value: .nan))
      try daemon.drop("experts", "short.safetensors", expertBytes("short", value: 1, count: 3))
      try daemon.drop(
        "experts", "space.safetensors", expertBytes("space", value: 1, metadata: [("t2.param_space", "polar")]))
      try daemon.drop("experts", "old.pt", [0x80, 0x02])
      try daemon.drop("experts", "notes.txt", Array("hello".utf8))
      try daemon.drop("experts", "cut.safetensors", Array(expertBytes("cut", value: 1).dropLast(5)))
      try daemon.drop("tasks", "bad.jsonl", Array("{\"nothing\": 1}".utf8))
      try daemon.dropExpert("good", value: 1.5)
      try daemon.sync()

      let experts = try daemon.call("expert.list")
      #expect(experts["experts"]?.arrayValue?.compactMap { $0["name"]?.stringValue } == ["good"])
      func message(_ file: String, in result: JSONValue) -> String {
        let row = result["rejected"]?.arrayValue?.first { $0["path"]?.stringValue?.hasSuffix("/" + file) == true }
        return row?["message"]?.stringValue ?? "not shown"
      }
      #expect(message("nan.safetensors", in: experts).contains("at index 0"))
      #expect(message("short.safetensors", in: experts).contains("has 3 values"))
      #expect(message("space.safetensors", in: experts).contains("polar"))
      #expect(message("old.pt", in: experts).contains("expert import"))
      #expect(message("bad.jsonl", in: try daemon.call("task.list")).contains("nothing"))
      #expect(try daemon.ingestState(of: "notes.txt") == "ignored")
      #expect(try daemon.ingestState(of: "cut.safetensors") == "incomplete")
    }
  }

  /// The files that come in the place of an expert, or as one that it is not quite.
  @Test func whatIsNoExpertSaysWhatItIsAndWhatAWrapperNamedIsRead() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      let values = (0..<4).map { 1.25 + Float($0) / 16 }
      func bytes(_ prefix: String) -> [UInt8] {
        let tensors = TinyModel.targets.map {
          SafetensorsTensor(name: prefix + $0.name, shape: [4], values: values)
        }
        return safetensorsBytes(tensors: tensors, metadata: [("t2.name", "science")])
      }
      try daemon.drop("experts", "a.safetensors", bytes("module._orig_mod."))
      try daemon.sync()
      let expert = try #require(try daemon.call("expert.list")["experts"]?.arrayValue?.first)
      #expect(expert["name"] == "science" && expert["state"] == "active")
      let warnings = expert["warnings"]?.arrayValue?.compactMap(\.stringValue) ?? []
      #expect(warnings.contains { $0.hasPrefix("wrapper_prefix: its names have the prefix 'module._orig_mod.'") })

      try daemon.drop("experts", "plain.safetensors", bytes(""))
      var files: [(String, [UInt8], String)] = [
        (
          "pointer.safetensors", Array("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 414360\n".utf8),
          "run 'git lfs pull' where it was cloned"
        ),
        ("gone.safetensors", Array("Entry not found".utf8), "a server's message: 'Entry not found'"),
        ("packed.safetensors", [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 0x93, 0x65], "unpack it first: gunzip"),
        ("math-00001-of-00002.safetensors", bytes(""), "this is part 1 of the 2 of an expert"),
      ]
      for (name, bytes, _) in files { try daemon.drop("experts", name, bytes) }
      let big = "\(daemon.prefix)/var/spool/t2d/experts/.model.part"
      try FileSystem.writeAtomically(big, [], mode: 0o644)
      try #require(unsafe truncate(big, 1 << 30) == 0)
      try FileSystem.rename(big, to: "\(daemon.prefix)/var/spool/t2d/experts/model.safetensors")
      files.append(("model.safetensors", [], "a model is registered with t2ctl model add"))
      try daemon.sync()
      // The same content, whatever its names were.
      #expect(try daemon.ingestState(of: "plain.safetensors") == "duplicate")
      let rows = try daemon.call("system.status")["ingest"]?.arrayValue ?? []
      for (name, _, text) in files {
        let row = rows.first { $0["path"]?.stringValue?.hasSuffix("/" + name) == true }
        #expect(row?["state"] == "rejected", "\(name)")
        #expect(row?["message"]?.stringValue?.contains(text) == true, "\(row?.jsonText ?? "")")
      }
    }
  }

  /// As aria2 leaves it when it is paused: of its full size, the rest of it zeros, its state beside it.
  @Test func aPausedDownloadIsHeldAndWithoutItsSignRefused() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      let whole = expertBytes("paused", value: 1.25)
      let paused = whole.dropLast(20) + [UInt8](repeating: 0, count: 20)
      func row() throws -> JSONValue? {
        try daemon.call("system.status")["ingest"]?.arrayValue?.first {
          $0["path"]?.stringValue?.hasSuffix("/paused.safetensors") == true
        }
      }
      try daemon.drop("experts", "paused.safetensors.aria2", [0, 1])
      try daemon.drop("experts", "paused.safetensors", Array(paused))
      try daemon.sync()
      #expect(try row()?["state"] == "incomplete")
      #expect(try row()?["message"]?.stringValue?.hasPrefix("'paused.safetensors.aria2' is beside it") == true)
      #expect(try daemon.call("system.status")["ingest"]?.arrayValue?.count == 1)

      let sign = daemon.prefix + "/var/spool/t2d/experts/paused.safetensors.aria2"
      #expect(try FileSystem.remove(sign))
      try daemon.sync()
      #expect(try row()?["state"] == "rejected")
      #expect(try row()?["kind"] == "all_zero")
      #expect(try daemon.call("expert.list")["experts"] == [])

      try daemon.drop("experts", "paused.safetensors.aria2", [0, 1])
      try daemon.drop("experts", "paused.safetensors", whole)
      try daemon.sync()
      #expect(try row()?["state"] == "incomplete")
      #expect(try FileSystem.remove(sign))
      try daemon.sync()
      #expect(try row()?["state"] == "accepted")
    }
  }

  @Test(arguments: ["beside", "within"])
  func theDownloadOfATaskIsHeldToo(place: String) throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      let spool = daemon.prefix + "/var/spool/t2d/tasks"
      let sign = place == "beside" ? "\(spool)/arc.aria2" : "\(spool)/arc/eval.jsonl.part"
      try FileSystem.createDirectories("\(spool)/.arc")
      for file in ["fewshot", "eval"] {
        try FileSystem.writeAtomically("\(spool)/.arc/\(file).jsonl", taskBytes(question: file))
      }
      if place == "within" { try FileSystem.writeAtomically("\(spool)/.arc/eval.jsonl.part", []) }
      if place == "beside" { try FileSystem.writeAtomically(sign, []) }
      try FileSystem.rename("\(spool)/.arc", to: "\(spool)/arc")
      try daemon.sync()
      #expect(try daemon.ingestState(of: "arc") == "incomplete")
      #expect(try FileSystem.remove(sign))
      try daemon.sync()
      #expect(try daemon.ingestState(of: "arc") == "accepted")
    }
  }

  @Test func aFileOfZerosIsNoExpert() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      let whole = expertBytes("zeros", value: 1.25)
      // Nothing written yet; half of the header; the header alone; all but the last vector.
      for written in [0, 8, 100, whole.count - 32, whole.count - 16] {
        try daemon.drop(
          "experts", "zeros.safetensors", whole.prefix(written) + [UInt8](repeating: 0, count: whole.count - written))
        try daemon.sync()
        let state = try daemon.ingestState(of: "zeros.safetensors")
        #expect(["incomplete", "rejected"].contains(state), "\(written) bytes written")
      }
      #expect(try daemon.call("expert.list")["experts"] == [])
    }
  }

  /// More than are tried before anything else is done.
  @Test func manyExpertsThatWaitedForAModelAreAllTried() throws {
    try withDaemon { daemon in
      for number in 0..<80 { try daemon.dropExpert("expert\(number)", value: 1 + Float(number) / 100) }
      try daemon.sync()
      try daemon.addModel()
      try daemon.sync()
      #expect(try daemon.call("system.status")["experts"] == 80)
    }
  }

  @Test func anExpertWithoutAModelWaitsForOne() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.dropExpert("science", value: 1.25)
      try daemon.sync()
      #expect(try daemon.ingestState(of: "science.safetensors") == "waiting_for_model")
      try daemon.addModel()
      #expect(try daemon.ingestState(of: "science.safetensors") == "accepted")
      #expect(try daemon.call("expert.list")["experts"]?.arrayValue?.count == 1)
    }
  }

  @Test func anExpertForAnotherBaseIsStoredAndNotUsedUnlessSomeoneInsists() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      let other = "sha256:" + String(repeating: "0", count: 64)
      try daemon.dropExpert("stranger", value: 1.25, metadata: [("t2.base.digest", other)])
      try daemon.sync()
      let row = try daemon.call("expert.show", ["expert": "stranger"])
      #expect(row["state"] == "candidate")
      #expect(row["foreign"] == true)
      #expect(row["warnings"]?.arrayValue?.first?.stringValue?.contains("foreign_base") == true)
      #expect(try daemon.refusal("expert.promote", ["expert": "stranger@1"]) == "foreign_expert")
      let promoted = try daemon.call("expert.promote", ["expert": "stranger@1", "allow_base": true])
      #expect(promoted["active"] == 1)
    }
  }

  @Test func theAliasCanBeMovedBackAndItsLogSaysWhy() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      for value in [1.25, 1.5] as [Float] {
        try daemon.dropExpert("science", value: value)
        try daemon.sync()
      }
      let back = try daemon.call("expert.rollback", ["expert": "science", "reason": "worse"])
      #expect(back["active"] == 1)
      #expect(back["previous"] == 2)
      #expect(try daemon.refusal("expert.rollback", ["expert": "science"]) == "conflict")
      #expect(try daemon.refusal("expert.promote", ["expert": "science@1"]) == "conflict")
      #expect(try daemon.refusal("expert.promote", ["expert": "science@9"]) == "unknown_expert")
      try daemon.call("expert.retire", ["expert": "science"])
      let log = try daemon.call("expert.log", ["expert": "science"])["events"]?.arrayValue ?? []
      #expect(
        log.compactMap { $0["event"]?.stringValue } == [
          "expert.version", "expert.promoted", "expert.version", "expert.promoted", "expert.rolled_back",
          "expert.retired",
        ])
      #expect(log.dropLast().last?["reason"] == "worse")
    }
  }

  @Test func theStoredFileOfAVersionIsExactlyWhatWasDropped() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try daemon.sync()
      let answer = try daemon.call("expert.export", ["expert": "science", "pass_fd": true])
      let file = try #require(daemon.client.takeDescriptor())
      let bytes = expertBytes("science", value: 1.25)
      #expect(answer["bytes"]?.intValue == bytes.count)
      #expect(try file.bytes(at: 0, count: 1 << 20) == bytes)
    }
  }

  /// Its one read makes the copy, the digest and what is parsed; the copy is never read.
  @Test func aDroppedExpertIsReadOnce() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      let spool = daemon.prefix + "/var/spool/t2d/experts"
      let staging = daemon.daemon.paths.store.staging
      let log = try AccessLog([spool, staging])
      try daemon.dropExpert("science", value: 1.25)
      try daemon.sync()
      #expect(try daemon.ingestState(of: "science.safetensors") == "accepted")
      let accesses = try log.take()
      let own = accesses.filter { $0.directory == spool && $0.file == "science.safetensors" }
      #expect(own.map(\.isRead) == [false, true], "\(accesses)")
      #expect(!accesses.contains { $0.directory == staging && $0.isRead }, "\(accesses)")
      // It went through the staging directory, and was opened there.
      #expect(accesses.contains { $0.directory == staging && !$0.file.isEmpty })
    }
  }

  @Test func aFileIsVerifiedWithoutBeingStored() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      let path = daemon.prefix + "/candidate.safetensors"
      try FileSystem.writeAtomically(path, expertBytes("candidate", value: 1.5), mode: 0o644)
      #expect(try daemon.call("expert.verify", ["path": "candidate.safetensors"], file: path)["ok"] == true)
      try FileSystem.writeAtomically(path, Array("rubbish, and a lot of it".utf8), mode: 0o644)
      let bad = try daemon.call("expert.verify", ["path": "candidate.safetensors"], file: path)
      #expect(bad["ok"] == false)
      #expect(bad["error"]?["message"]?.stringValue?.isEmpty == false)
      #expect(try daemon.call("expert.list")["experts"] == [])
    }
  }

  @Test func whatIsAtAPathThatARequestNamesIsNeverToldAndNoBytesOfAFileAre() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      func answer(_ path: String, file: String? = nil) throws -> String {
        do { return try daemon.call("expert.verify", ["path": .string(path)], file: file).jsonText } catch {
          return "\(error)"
        }
      }
      let secret = daemon.prefix + "/secret"
      try FileSystem.writeAtomically(secret, Array("topsecret, and more of it".utf8), mode: 0o600)
      let paths = [secret, daemon.prefix, "/etc/shadow", "/nonexistent", "/dev/zero"]
      #expect(Set(try paths.map { try answer($0) }).count == 1)
      // As it is, and as numbers: the first 8 bytes were shown as the length of a header.
      let told = try answer("x", file: secret)
      #expect(!told.contains("topsecre") && !told.contains("\(0x6572_6365_7370_6f74)"), "\(told)")
      // What is no file, or is opened for writing only, is refused without a look at it.
      #expect(try daemon.refusal("expert.verify", ["path": "x"], file: "/dev/zero") == "file_not_readable")
      #expect(try daemon.refusal("expert.verify", ["path": "x"], file: daemon.prefix) == "file_not_readable")
      let large = try FileDescriptor.open(daemon.prefix + "/large", O_RDWR | O_CREAT)
      #expect(ftruncate(large.number, 1 << 40) == 0)
      #expect(try daemon.refusal("expert.verify", ["path": "x"], file: daemon.prefix + "/large") == "bad_file")
    }
  }
}
