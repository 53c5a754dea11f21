import Daemon
import Digests
import Glibc
import RPCClient
import StrictJSON
import SystemSupport
import Testing
import WorkerProtocol

@testable import Registry

/// What the disk does to stored files: it is noticed and said, nothing damaged is used or handed out, the last good thing is
/// served where there is one, and what is dropped again heals.
@Suite struct RotTests {
  /// Two experts and a task with its mixture. What was dropped is taken away again, so that only another drop heals.
  private func withBank(
    configuration: Configuration = .forTests, logged: [String] = ["a stored file is damaged"],
    _ body: (Harness) throws -> Void
  ) throws {
    try withDaemon(configuration: configuration, logged: logged) { daemon in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try daemon.dropExpert("social", value: 0.75)
      try daemon.dropTask("arc")
      #expect(try daemon.settledMixture("arc")["stale"] == false)
      for file in ["experts/science.safetensors", "experts/social.safetensors", "tasks/arc.jsonl"] {
        try FileSystem.remove("\(daemon.prefix)/var/spool/t2d/\(file)")
      }
      try daemon.sync()
      #expect(try daemon.call("system.status")["ingest"] == [])
      try body(daemon)
    }
  }

  /// The stored file of an expert's version, found in the catalogue's own answer.
  private func blob(of expert: String, _ daemon: Harness) throws -> String {
    let row = try daemon.row(of: expert)
    let path = try daemon.call("expert.export", ["expert": .string(expert)])["path"]?.stringValue
    #expect(row["damaged"] == nil)
    return try #require(path)
  }

  // MARK: - Experts

  @Test func aDamagedExpertIsNotUsedAndDroppingItsFileHeals() throws {
    var cases = 0
    for harm in Harm.allCases {
      for isRestarted in [false, true] {
        for noticedBy in ["expert.export", "search"] {
          try withBank { daemon in
            let path = try blob(of: "science", daemon)
            let good = try FileSystem.readAll(path, maximumBytes: 1 << 20)
            try harm.apply(to: path)
            if isRestarted { try daemon.restart() }
            if noticedBy == "search" {
              try daemon.dropExpert("third", value: 1.5)
              try daemon.sync()
              try daemon.until("the damage") { try daemon.row(of: "science")["damaged"] != nil }
            } else {
              #expect(try daemon.refusal("expert.export", ["expert": "science"]) == "damaged")
            }
            // It takes no part in anything, and that is said wherever one looks.
            let mixture = try daemon.settledMixture("arc")
            #expect(mixture["stale"] == false)
            let mixed = mixture["experts"]?.arrayValue?.compactMap { $0["name"]?.stringValue } ?? []
            #expect(!mixed.contains("science") && mixed.contains("social"))
            let cause = try #require(try daemon.row(of: "science")["damaged"]?.stringValue)
            #expect(harm == .delete ? cause == "it is missing" : cause.contains("is not what was stored"))
            for method in ["expert.export", "check.run", "expert.promote"] {
              let params: JSONObject = ["expert": "science@1", "kind": "shuffle"]
              #expect(try daemon.refusal(method, params.keeping(method)) == "damaged")
            }
            #expect(
              try daemon.refusal("score", ["prompt": "a", "continuation": "b", "expert": "science"]) == "damaged")
            #expect(try daemon.warnings("damaged").contains { $0.contains("expert 'science@1' is damaged") })
            #expect(try daemon.events("blob.damaged").count == 1)

            try daemon.drop("experts", "science.safetensors", good)
            try daemon.sync()
            let row = try daemon.ingestRow(of: "science.safetensors")
            #expect(row["kind"] == "healed" && row["version"] == 1)
            #expect(try daemon.row(of: "science")["damaged"] == nil)
            #expect(try daemon.warnings("damaged").isEmpty)
            #expect(try daemon.events("blob.healed").count == 1)
            #expect(try FileSystem.readAll(path, maximumBytes: 1 << 20) == good)
            #expect(try daemon.export("science") == good)
            let healed = try daemon.settledMixture("arc")["experts"]?.arrayValue?.compactMap { $0["name"]?.stringValue }
            #expect(healed?.contains("science") == true)
            cases += 1
          }
        }
      }
    }
    print("rot, experts: \(cases) cases")
    #expect(cases == 12)
  }

  @Test func aFileThatStillLiesThereHealsByItself() throws {
    for harm in Harm.allCases {
      for isRestarted in [false, true] {
        try withDaemon(logged: ["a stored file is damaged"]) { daemon in
          try daemon.addModel()
          try daemon.dropExpert("science", value: 1.25)
          try daemon.dropTask("arc")
          _ = try daemon.settledMixture("arc")
          let path = try blob(of: "science", daemon)
          let good = try FileSystem.readAll(path, maximumBytes: 1 << 20)
          try harm.apply(to: path)
          if isRestarted { try daemon.restart() }
          #expect(try daemon.export("science") == good)
          #expect(try daemon.events("blob.damaged").count == 1)
          #expect(try daemon.events("blob.healed").count == 1)
          #expect(try daemon.settledMixture("arc")["stale"] == false)
        }
      }
    }
  }

  /// A file there that has rotted too is not the one that was stored.
  @Test func aDroppedFileThatIsAnotherHealsNothing() throws {
    try withDaemon(logged: ["a stored file is damaged"]) { daemon in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try daemon.sync()
      try Harm.flip.apply(to: try blob(of: "science", daemon))
      try Harm.flip.apply(to: daemon.prefix + "/var/spool/t2d/experts/science.safetensors")
      #expect(try daemon.refusal("expert.export", ["expert": "science@1"]) == "damaged")
    }
  }

  /// The same numbers in a file that is laid out otherwise are the same expert.
  @Test func theSameContentInAnotherFileHeals() throws {
    try withBank { daemon in
      let path = try blob(of: "science", daemon)
      try Harm.flip.apply(to: path)
      #expect(try daemon.refusal("expert.export", ["expert": "science"]) == "damaged")
      let other = expertBytes("science", value: 1.25, metadata: [("t2.description", "again")])
      try daemon.drop("experts", "again.safetensors", other)
      try daemon.sync()
      #expect(try daemon.ingestRow(of: "again.safetensors")["kind"] == "healed")
      #expect(try daemon.row(of: "science")["version"] == 1)
      #expect(try daemon.export("science") == other)
      #expect(try daemon.warnings("damaged").isEmpty)
    }
  }

  @Test func whatIsRestoredFromABackupIsUsedAgain() throws {
    try withBank { daemon in
      let path = try blob(of: "science", daemon)
      let good = try FileSystem.readAll(path, maximumBytes: 1 << 20)
      try FileSystem.remove(path)
      #expect(try daemon.refusal("expert.export", ["expert": "science"]) == "damaged")
      try FileSystem.writeAtomically(path, good, mode: 0o444)
      try daemon.sync()
      #expect(try daemon.export("science") == good)
      #expect(try daemon.events("blob.healed").count == 1)
    }
  }

  // MARK: - Mixtures

  @Test func damagedVectorsAreNotHandedOutAndAreSearchedAnew() throws {
    var cases = 0
    for harm in Harm.allCases {
      for isRestarted in [false, true] {
        try withBank { daemon in
          let first = try daemon.call("mixture.get", ["task": "arc"])
          daemon.worker.script([.wait])
          try harm.apply(to: try #require(first["vectors"]?["path"]?.stringValue))
          if isRestarted {
            try daemon.restart()
            // Looked at before it is served.
            #expect(try daemon.refusal("mixture.get", ["task": "arc"]) == "damaged")
          }
          #expect(try daemon.refusal("mixture.get", ["task": "arc", "pass_fd": true]) == "damaged")
          #expect(try daemon.refusal("mixture.get", ["task": "arc"]) == "damaged")
          #expect(
            try daemon.refusal("score", ["prompt": "a", "continuation": "b", "mixture": "arc"]) == "damaged")
          #expect(try daemon.warnings("damaged").contains { $0.contains("the mixture of 'arc' on 'tiny' is damaged") })
          let row = try daemon.call("mixture.list")["mixtures"]?.arrayValue?.first
          #expect(row?["damaged"]?.stringValue != nil)
          try daemon.sync()
          daemon.worker.release()
          let again = try daemon.settledMixture("arc")
          #expect(again["stale"] == false && again["digest"] == first["digest"])
          let (bytes, _) = try daemon.passed("mixture.get", ["task": "arc"])
          #expect("sha256:" + SHA256.digest(bytes).hex == first["vectors"]?["digest"]?.stringValue)
          #expect(try daemon.warnings("damaged").isEmpty)
          #expect(try daemon.events("blob.damaged").count == 1 && daemon.events("blob.healed").count == 1)
          cases += 1
        }
      }
    }
    print("rot, mixtures with one revision: \(cases) cases")
    #expect(cases == 6)
  }

  @Test func theLastGoodRevisionIsServedMeanwhile() throws {
    var cases = 0
    for harm in Harm.allCases {
      for isRestarted in [false, true] {
        try withBank { daemon in
          let first = try daemon.call("mixture.get", ["task": "arc"])
          daemon.worker.varyVectors()
          try daemon.dropExpert("third", value: 1.5)
          let second = try daemon.settledMixture("arc")
          #expect(second["vectors"] != first["vectors"])
          daemon.worker.script([.wait])
          try harm.apply(to: try #require(second["vectors"]?["path"]?.stringValue))
          if isRestarted { try daemon.restart() }
          let (bytes, served) = try daemon.passed("mixture.get", ["task": "arc"])
          #expect(served["vectors"] == first["vectors"] && served["alpha"] == first["alpha"])
          #expect("sha256:" + SHA256.digest(bytes).hex == first["vectors"]?["digest"]?.stringValue)
          #expect(served["stale"] == true)
          let reason = served["stale_reason"]?.stringValue ?? ""
          #expect(reason.contains("the vectors of revision 2 are damaged, so revision 1 is served"), "\(reason)")
          try daemon.sync()
          daemon.worker.release()
          let again = try daemon.settledMixture("arc")
          #expect(again["stale"] == false && again["experts"] == second["experts"])
          cases += 1
        }
      }
    }
    print("rot, mixtures with an earlier revision: \(cases) cases")
    #expect(cases == 6)
  }

  @Test func stagedVectorsThatAreNotWhatTheWorkerWroteAreNotPublished() throws {
    try withDaemon(logged: ["a job's result cannot be used"]) { daemon in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      daemon.worker.spoilVectors(true)
      try daemon.dropTask("arc")
      try daemon.sync()
      let job = try daemon.wait(try daemon.newestSearch("arc"))
      #expect(job["state"] == "failed")
      #expect(job["error"]?["message"]?.stringValue?.contains("are not those that the worker wrote") == true)
      #expect(try daemon.refusal("mixture.get", ["task": "arc"]) == "no_mixture_yet")
    }
  }

  // MARK: - Tasks

  @Test func aDamagedTaskIsNotSearchedAndDroppingItHeals() throws {
    var cases = 0
    for harm in Harm.allCases {
      for isRestarted in [false, true] {
        try withBank { daemon in
          let tasks = daemon.prefix + "/var/lib/t2d/tasks/arc"
          let place = try #require(try FileSystem.entries(tasks).first?.text)
          try harm.apply(to: "\(tasks)/\(place)/arc.jsonl")
          if isRestarted { try daemon.restart() }
          // A search is due, and comes upon it.
          try daemon.dropExpert("third", value: 1.5)
          try daemon.sync()
          try daemon.until("the damage") { try daemon.task("arc")["state"] == "damaged" }
          #expect(try daemon.task("arc")["damaged"]?.stringValue != nil)
          #expect(try daemon.refusal("evaluate.run", ["task": "arc", "rows": "fewshot"]) == "damaged")
          #expect(try daemon.warnings("damaged").contains { $0.contains("the copy of task 'arc' is damaged") })
          // What was made of it before is good.
          #expect(try daemon.call("mixture.get", ["task": "arc"])["alpha"]?.objectValue?.members.count == 2)
          let searches = daemon.worker.searches
          try daemon.sync()
          #expect(daemon.worker.searches == searches)

          try daemon.dropTask("arc")
          try daemon.sync()
          #expect(try daemon.ingestRow(of: "arc.jsonl")["kind"] == "healed")
          let mixture = try daemon.settledMixture("arc")
          #expect(mixture["stale"] == false && mixture["alpha"]?.objectValue?.members.count == 3)
          #expect(try daemon.task("arc")["revision"] == 1)
          #expect(try daemon.warnings("damaged").isEmpty)
          #expect(try daemon.events("task.damaged").count == 1 && daemon.events("task.healed").count == 1)
          cases += 1
        }
      }
    }
    print("rot, tasks: \(cases) cases")
    #expect(cases == 6)
  }

  @Test func aTaskThatStillLiesThereHealsByItself() throws {
    for harm in Harm.allCases {
      try withDaemon(logged: ["a stored file is damaged"]) { daemon in
        try daemon.addModel()
        try daemon.dropExpert("science", value: 1.25)
        try daemon.dropTaskWithEval("arc")
        _ = try daemon.settledMixture("arc")
        let tasks = daemon.prefix + "/var/lib/t2d/tasks/arc"
        let place = try #require(try FileSystem.entries(tasks).first?.text)
        // No search reads the eval rows, but the evaluation after it does.
        try harm.apply(to: "\(tasks)/\(place)/arc/eval.jsonl")
        try daemon.dropExpert("third", value: 1.5)
        try daemon.sync()
        try daemon.until("healing") { try daemon.events("task.healed").count == 1 }
        #expect(try daemon.settledMixture("arc")["stale"] == false)
      }
    }
  }

  /// As an older t2d has stored it, with no digests of its files.
  @Test func aTaskOfAnOlderDaemonIsReadOnceAndComparedFromThenOn() throws {
    for isDamaged in [false, true] {
      try withBank(logged: ["a stored file is damaged"]) { daemon in
        let tasks = daemon.prefix + "/var/lib/t2d/tasks/arc"
        let path = try "\(tasks)/" + #require(try FileSystem.entries(tasks).first?.text) + "/arc.jsonl"
        daemon.stop()
        let paths = daemon.daemon.paths
        let catalogue = try Catalogue(path: paths.catalogue, store: paths.store, now: Timestamp(milliseconds: 1))
        try catalogue.transaction { () throws(RegistryError) in
          try catalogue.run("UPDATE task_revisions SET files = NULL")
        }
        catalogue.close()
        // Damaged before it was ever compared: its rows are no longer those of its digest.
        if isDamaged { try Harm.flip.apply(to: path) }
        try daemon.restart()
        #expect(try daemon.task("arc")["state"] == (isDamaged ? "damaged" : "ready"))
        if !isDamaged {
          try Harm.flip.apply(to: path)
          try daemon.dropExpert("third", value: 1.5)
          try daemon.sync()
          try daemon.until("the damage") { try daemon.task("arc")["state"] == "damaged" }
        }
      }
    }
  }

  // MARK: - The scrub

  /// Nobody asks for anything, and all that is damaged is found.
  @Test func theScrubFindsWhatNobodyReads() throws {
    var configuration = Configuration.forTests
    configuration.scrub.delay = .zero
    configuration.scrub.pause = .milliseconds(100)
    configuration.scrub.bytesPerSecond = 1 << 30
    try withBank(configuration: configuration) { daemon in
      daemon.worker.script([.wait, .wait, .wait])
      let vectors = try #require(
        try daemon.call("mixture.get", ["task": "arc"])["vectors"]?["path"]?.stringValue)
      let (science, social) = (try blob(of: "science", daemon), try blob(of: "social", daemon))
      let good = try FileSystem.readAll(social, maximumBytes: 1 << 20)
      try daemon.until("a pass") { try daemon.call("system.status")["scrub"]?["files"] == 4 }
      #expect(try daemon.call("system.status")["scrub"]?["damaged"] == 0)

      try Harm.flip.apply(to: science)
      try Harm.truncate.apply(to: social)
      try Harm.delete.apply(to: vectors)
      let tasks = daemon.prefix + "/var/lib/t2d/tasks/arc"
      let place = try #require(try FileSystem.entries(tasks).first?.text)
      try Harm.flip.apply(to: "\(tasks)/\(place)/arc.jsonl")
      try daemon.until("all damage") { try daemon.call("system.status")["scrub"]?["damaged"] == 4 }
      #expect(try daemon.warnings("damaged").count == 4)
      #expect(try daemon.refusal("mixture.get", ["task": "arc"]) == "damaged")

      // It finds what was mended too.
      try FileSystem.writeAtomically(social, good, mode: 0o444)
      try daemon.until("healing") { try daemon.row(of: "social")["damaged"] == nil }
      #expect(try daemon.export("social") == good)
    }
  }

  @Test func aScrubThatIsSwitchedOffReadsNothing() throws {
    var configuration = Configuration.forTests
    configuration.scrub.delay = .zero
    configuration.scrub.bytesPerSecond = 0
    try withDaemon(configuration: configuration) { daemon in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try daemon.sync()
      #expect(try daemon.export("science") == expertBytes("science", value: 1.25))
      #expect(try daemon.call("system.status")["scrub"]?["passes"] == 0)
    }
  }
}

extension JSONObject {
  /// The parameters that a method of the test has.
  fileprivate func keeping(_ method: String) -> JSONObject {
    method == "check.run" ? self : ["expert": self["expert"] ?? .null]
  }
}

extension Harness {
  fileprivate func row(of expert: String) throws -> JSONValue {
    let rows = try call("expert.list")["experts"]?.arrayValue ?? []
    return try #require(rows.first { $0["name"]?.stringValue == expert })
  }

  fileprivate func task(_ name: String) throws -> JSONValue { try call("task.show", ["task": .string(name)]) }

  fileprivate func ingestRow(of file: String) throws -> JSONValue {
    let rows = try call("system.status")["ingest"]?.arrayValue ?? []
    return try #require(rows.first { $0["path"]?.stringValue?.hasSuffix("/" + file) == true })
  }

  fileprivate func warnings(_ code: String) throws -> [String] {
    (try call("system.status")["warnings"]?.arrayValue ?? []).filter { $0["code"]?.stringValue == code }
      .compactMap { $0["message"]?.stringValue }
  }

  fileprivate func events(_ kind: String) throws -> [JSONValue] {
    try call("events.subscribe", ["follow": false, "limit": 1000, "events": [.string(kind)]])["events"]?.arrayValue
      ?? []
  }

  /// The bytes that come with an answer, and the answer.
  fileprivate func passed(_ method: String, _ params: JSONObject) throws -> ([UInt8], JSONValue) {
    var params = params
    params["pass_fd"] = true
    let answer = try call(method, params)
    let file = try #require(client.takeDescriptor())
    return (try file.bytes(at: 0, count: 1 << 20), answer)
  }

  fileprivate func export(_ expert: String) throws -> [UInt8] {
    try passed("expert.export", ["expert": .string(expert)]).0
  }
}
