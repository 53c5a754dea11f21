import Settings
import Glibc
import RPCClient
import StrictJSON
import SystemSupport
import Testing
import WorkerProtocol

@testable import Daemon

@Suite struct TrainTests {
  /// Two experts with tasks that have training rows, and one task that no expert is for.
  private func fill(_ daemon: Harness) throws {
    try daemon.addModel()
    try daemon.dropExpert("science", value: 1.25, metadata: [("t2.task", "arc"), ("t2.label", "reasoning")])
    try daemon.dropExpert("social", value: 0.75, metadata: [("t2.task", "siqa")])
    for name in ["arc", "siqa", "sums"] { try daemon.dropTrainingTask(name) }
    try daemon.sync()
  }

  private func spec(_ daemon: Harness) throws -> TrainSpec {
    let specs = daemon.worker.starts.compactMap { start -> TrainSpec? in
      start.spec as? TrainSpec
    }
    return try #require(specs.last)
  }

  @Test func aTrainedExpertBecomesAVersionLikeEveryOther() throws {
    try withDaemon { (daemon: Harness) throws in
      try fill(daemon)
      let started = try daemon.call(
        "train.start", ["name": "letters", "task": "arc", "steps": 7, "learning_rate": 0.5, "modules": ["mlp"]])
      #expect(started["kind"] == "expert" && started["replaces"] == JSONValue.null && started["model"] == "tiny")
      #expect(started["sources"] == [["task": "arc", "label": nil, "rows": 2]])
      let job = try daemon.wait(started["job"] ?? .null)
      #expect(job["result"]?["name"] == "letters" && job["result"]?["version"] == 1)
      #expect(job["result"]?["previous"] == JSONValue.null && job["result"]?["state"] == "active")
      let shown = try daemon.call("expert.show", ["expert": "letters"])
      #expect(shown["active"] == 1 && shown["kind"] == "expert")
      let spec = try spec(daemon)
      #expect(spec.settings.steps == 7 && spec.settings.learningRate == 0.5 && spec.settings.modules == ["mlp"])
      #expect(spec.settings.batch == TrainingSettings().batch && spec.settings.rows == nil && spec.label == nil)
      #expect(((try FileSystem.status(spec.expertPath)) ?? nil) == nil)  // The store has it now.
      // It takes part in what comes, and what was there is stale.
      #expect(
        try daemon.settledMixture("sums")["experts"]?.arrayValue?.compactMap { $0["name"]?.stringValue }
          == ["letters", "science", "social"])

      let again = try daemon.call("train.start", ["name": "letters", "task": "arc", "steps": 9])
      #expect(again["replaces"] == "letters@1")
      #expect(try daemon.wait(again["job"] ?? .null)["result"]?["version"] == 2)
      // The same training has the same bits: no third version.
      let same = try daemon.call("train.start", ["name": "letters", "task": "arc", "steps": 9])
      #expect(same["job"] != again["job"])
      #expect(try daemon.wait(same["job"] ?? .null)["result"]?["version"] == 2)
    }
  }

  @Test func loraEndsWithAResultAndNoVersion() throws {
    try withDaemon { (daemon: Harness) throws in
      try fill(daemon)
      let lora: JSONObject = ["name": "science", "task": "arc", "method": "lora"]
      let started = try daemon.call("train.start", lora)
      // The name of an expert that is there is not taken.
      #expect(started["replaces"] == JSONValue.null)
      #expect(try daemon.wait(started["job"] ?? .null)["state"] == "done")
      let settings = try spec(daemon).settings
      #expect(settings.method == .lora && settings.rank == 16 && settings.modules == ["q_proj", "v_proj"])
      #expect(try daemon.call("expert.show", ["expert": "science"])["versions"] == [1])
      for (name, value) in [("label", "x"), ("top", 4), ("param_space", "logit")] as [(String, JSONValue)] {
        var params = lora
        params[name] = value
        #expect(try daemon.refusal("train.start", params) == "invalid_params", "\(name)")
      }
      #expect(
        try daemon.refusal("train.start", ["name": "x", "dispatcher": true, "method": "lora"]) == "invalid_params")
      #expect(try daemon.refusal("train.start", ["name": "x", "task": "arc", "rank": 4]) == "invalid_params")
      // A second task to mix with is LoRA's, and another one.
      var mixed = lora
      mixed["mix_with"] = "siqa"
      #expect(try daemon.wait(try daemon.call("train.start", mixed)["job"] ?? .null)["state"] == "done")
      #expect(try spec(daemon).partner?.name == "siqa")
      mixed["mix_with"] = "arc"
      #expect(try daemon.refusal("train.start", mixed) == "invalid_params")
      #expect(
        try daemon.refusal("train.start", ["name": "x", "task": "arc", "mix_with": "siqa"]) == "invalid_params")
    }
  }

  @Test func aDispatcherLearnsFromTheTasksOfTheActiveExperts() throws {
    try withDaemon { (daemon: Harness) throws in
      try fill(daemon)
      try daemon.dropTask("few")  // No training rows: it takes no part.
      try daemon.sync()
      let started = try daemon.call("train.start", ["name": "sorter", "dispatcher": true])
      let expected: [JSONValue] = [
        ["task": "arc", "label": "reasoning", "rows": 2], ["task": "siqa", "label": "social", "rows": 2],
        ["task": "sums", "label": "other", "rows": 2],
      ]
      #expect(started["sources"]?.arrayValue == expected && started["warnings"] == [])
      #expect(try daemon.wait(started["job"] ?? .null)["result"]?["version"] == 1)
      let spec = try spec(daemon)
      guard case .dispatch(let lesson) = spec.lesson else {
        Issue.record("it is no dispatcher's lesson")
        return
      }
      #expect(lesson.labels == ["reasoning", "social", "other"] && lesson.template.contains("{labels}"))
      #expect(lesson.sources.map(\.label) == ["reasoning", "social", "other"])
      #expect(spec.settings.rows == 300)
      #expect(try daemon.call("expert.show", ["expert": "sorter"])["kind"] == "dispatcher")
      // It is used by the strategy `classifier`, and in no mixture.
      #expect(try daemon.call("dispatch.run", ["prompt": "?", "strategy": "classifier"])["dispatcher"] == "sorter@1")
      let mixture = try daemon.settledMixture("arc")
      #expect(mixture["experts"]?.arrayValue?.compactMap { $0["name"]?.stringValue } == ["science", "social"])
      // Nor is it a label of the next one.
      _ = try daemon.wait(
        try daemon.call("train.start", ["name": "sorter", "dispatcher": true, "rows": 9])["job"] ?? .null)
      guard case .dispatch(let next) = try self.spec(daemon).lesson else {
        Issue.record("the second training is no dispatcher's lesson")
        return
      }
      #expect(next.labels == lesson.labels)
      #expect(try self.spec(daemon).settings.rows == 9)
    }
  }

  @Test func everySettingReachesTheWorkerAndADryRunMakesNoVersion() throws {
    try withDaemon { (daemon: Harness) throws in
      try fill(daemon)
      try daemon.dropTrainingTask(
        "answers", rows: [#"{"question":"1 + 1?","answer":"2"}"#, #"{"question":"2?","answer":"3"}"#])
      try daemon.sync()
      let started = try daemon.call(
        "train.start",
        [
          "name": "science", "task": "answers", "kl": [0.0, 0.25], "kl_direction": "reference", "samples": 8,
          "temperature": 0.5, "baseline": "group", "layers": "2-5", "top": 32, "param_space": "logit", "dry_run": true,
        ])
      let job = try daemon.wait(started["job"] ?? .null)
      #expect(job["state"] == "done" && job["result"]?["version"] == nil)
      #expect(started["replaces"] == JSONValue.null)
      #expect(try daemon.call("expert.show", ["expert": "science"])["versions"] == [1])
      let spec = try spec(daemon)
      #expect(spec.isEstimate && spec.settings.divergenceWeights == [0, 0.25])
      #expect(spec.settings.divergenceDirection == .reference && spec.settings.samples == 8)
      #expect(spec.settings.temperature == 0.5 && spec.settings.baseline == .group)
      #expect(spec.settings.layers?.range == 2...5 && spec.settings.top == 32)
      #expect(spec.settings.parameterSpace == .logit)
      _ = try daemon.wait(
        try daemon.call("train.start", ["name": "counts", "task": "answers", "layers": "7"])["job"] ?? .null)
      #expect(try self.spec(daemon).settings.layers?.range == 7...7 && !self.spec(daemon).isEstimate)
    }
  }

  @Test func settingsThatSayNothingToRowsOfTheirKindAreRefused() throws {
    try withDaemon { (daemon: Harness) throws in
      try fill(daemon)
      try daemon.dropTrainingTask(
        "answers", rows: [#"{"question":"1 + 1?","answer":"2"}"#, #"{"question":"2?","answer":"3"}"#])
      try daemon.sync()
      let sampling: [(String, JSONValue)] = [("samples", 8), ("temperature", 0.5), ("baseline", "group")]
      for (name, value) in sampling {
        #expect(try daemon.refusal("train.start", ["name": "new", "task": "arc", name: value]) == "invalid_params")
        #expect(
          try daemon.refusal("train.start", ["name": "new", "dispatcher": true, name: value]) == "invalid_params")
      }
      #expect(
        try daemon.refusal("train.start", ["name": "new", "task": "answers", "objective": "cross-entropy"])
          == "invalid_params")
      for layers in ["", "5-2", "a", "1-2-3", "-1", "1-"] {
        #expect(
          try daemon.refusal("train.start", ["name": "new", "task": "arc", "layers": .string(layers)])
            == "invalid_params", "\(layers)")
      }
      #expect(try daemon.refusal("train.start", ["name": "new", "task": "arc", "kl": [0.1, 0.1]]) == "invalid_params")
      #expect(try daemon.refusal("train.start", ["name": "new", "task": "arc", "kl": 0.1]) == "invalid_params")
      #expect(try daemon.refusal("train.start", ["name": "new", "task": "arc", "kl": []]) == "invalid_params")
      #expect(!daemon.worker.starts.contains { $0.spec is TrainSpec })
    }
  }

  /// What a training leaves goes with its end, or when nobody comes back for it.
  @Test func statesOfTrainingsAreCollected() throws {
    let week = 7 * 24 * 3600
    try withDaemon { (daemon: Harness) throws in
      let trainings = daemon.prefix + "/var/lib/t2d/trainings"
      func left() throws -> [String] { try FileSystem.entries(trainings).compactMap(\.text).sorted() }
      try fill(daemon)
      func leave(_ name: String, age: Int) throws {
        let path = "\(trainings)/\(name).safetensors"
        try FileSystem.writeAtomically(path, [1])
        let time = timespec(tv_sec: Glibc.time(nil) - age, tv_nsec: 0)
        #expect(unsafe utimensat(AT_FDCWD, path, [time, time], 0) == 0)
      }
      try leave("old", age: week + 60)
      try leave("new", age: week - 3600)
      _ = try daemon.wait(
        try daemon.call("train.start", ["name": "letters", "task": "arc", "kl": [0.0, 0.1]])["job"] ?? .null)
      #expect(try left() == ["new.safetensors"])

      // A training that failed for good would fail again from there; one that has no room yet goes on.
      daemon.worker.failTrainings(with: WorkerFault(.files, "cannot save: no space left"))
      _ = try daemon.wait(
        try daemon.call("train.start", ["name": "letters", "task": "arc", "steps": 3])["job"] ?? .null)
      #expect(try left().count == 2)
      daemon.worker.failTrainings(with: WorkerFault(.failed, "nothing was learned"))
      _ = try daemon.wait(
        try daemon.call("train.start", ["name": "letters", "task": "arc", "steps": 3])["job"] ?? .null)
      #expect(try left() == ["new.safetensors"])

      // What is old by now goes at the end of any job: nobody may train again for long.
      try leave("older", age: week + 60)
      _ = try daemon.wait(try daemon.call("evaluate.run", ["task": "arc", "rows": "fewshot"])["job"] ?? .null)
      #expect(try left() == ["new.safetensors"])
    }
  }

  @Test func whatIsRefusedAfterItsTrainingLeavesNothing() throws {
    try withDaemon(logged: ["the trained expert is refused"]) { (daemon: Harness) throws in
      try fill(daemon)
      daemon.worker.spoilTrainings()
      let job = try daemon.wait(try daemon.call("train.start", ["name": "letters", "task": "arc"])["job"] ?? .null)
      #expect(job["state"] == "failed")
      #expect(job["error"]?["message"]?.stringValue?.contains("the trained expert is refused: ") == true)
      for place in ["trainings", "staging"] {
        let entries = try FileSystem.entries("\(daemon.prefix)/var/lib/t2d/\(place)").compactMap(\.text)
        #expect(!entries.contains { place == "trainings" || $0.hasPrefix("trained") }, "\(place): \(entries)")
      }
    }
  }

  @Test func aTrainingThatEndedBadlyKeepsItsCurve() throws {
    try withDaemon { (daemon: Harness) throws in
      try fill(daemon)
      daemon.worker.failTrainings(with: WorkerFault(.failed, "nothing was learned"))
      let started = try daemon.call("train.start", ["name": "letters", "task": "arc"])
      #expect(try daemon.wait(started["job"] ?? .null)["state"] == "failed")
      let shown = try daemon.call("job.show", ["job": started["job"] ?? .null])
      #expect(shown["result"] == ["curve": [["step": 0], ["step": 1]]])
      #expect(shown["error"]?["message"] == "nothing was learned")
    }
  }

  @Test func labelsWithoutTrainingRowsAreWarnedOf() throws {
    try withDaemon { (daemon: Harness) throws in
      try fill(daemon)
      try daemon.dropExpert("third", value: 1.5, metadata: [("t2.task", "arc")])
      try daemon.dropExpert("lonely", value: 1.75)
      try daemon.sync()
      let warnings = try daemon.call("train.start", ["name": "sorter", "dispatcher": true])["warnings"]
      #expect(
        warnings == [
          "there are no training rows for the label 'lonely', so it will hardly be given",
          "there are no training rows for the label 'third', so it will hardly be given",
        ])
    }
  }

  @Test func rowsOfCodeAreTrainedOnOnlyWhereCodeIsRun() throws {
    let row = #"{"prompt":"def f():","test":"def check(c): pass","entry_point":"f"}"#
    for (isEnabled, kind) in [(false, "invalid_params"), (true, "bad_task")] {
      var configuration = Configuration.forTests
      configuration.code.isEnabled = isEnabled
      try withDaemon(configuration: configuration) { (daemon: Harness) throws in
        try daemon.addModel()
        try daemon.drop("tasks", "programs.jsonl", Array(row.utf8))
        try daemon.sync()
        // Where it is, what is missing are the training rows.
        #expect(try daemon.refusal("train.start", ["name": "new", "task": "programs"]) == kind)
      }
    }
  }

  @Test func whatCannotBeTrainedIsRefusedAndQueuesNothing() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      #expect(try daemon.refusal("train.start", ["name": "sorter", "dispatcher": true]) == "empty_bank")
      try daemon.dropExpert("science", value: 1.25, metadata: [("t2.task", "arc")])
      try daemon.dropTask("few")
      let generated = [#"{"question": "1 + 1?", "answer": "2"}"#, #"{"question": "1 + 2?", "answer": "3"}"#]
      try daemon.drop("tasks", "sums.jsonl", Array(generated.joined(separator: "\n").utf8))
      try daemon.sync()
      #expect(try daemon.refusal("train.start", ["name": "sorter", "dispatcher": true]) == "bad_task")
      #expect(try daemon.refusal("train.start", ["name": "new", "task": "none"]) == "unknown_task")
      #expect(try daemon.refusal("train.start", ["name": "new", "task": "few"]) == "bad_task")
      #expect(try daemon.refusal("train.start", ["name": "new", "task": "sums"]) == "bad_task")
      #expect(try daemon.refusal("train.start", ["name": "new"]) == "invalid_params")
      #expect(
        try daemon.refusal("train.start", ["name": "new", "task": "few", "dispatcher": true]) == "invalid_params")
      #expect(try daemon.refusal("train.start", ["name": "base", "task": "few"]) == "invalid_params")
      #expect(try daemon.refusal("train.start", ["name": "../x", "task": "few"]) == "invalid_params")
      #expect(try daemon.refusal("train.start", ["name": "new", "task": "few", "label": "other"]) == "invalid_params")
      #expect(
        try daemon.refusal("train.start", ["name": "new", "dispatcher": true, "label": "x"]) == "invalid_params")
      #expect(try daemon.refusal("train.start", ["name": "science", "dispatcher": true]) == "conflict")
      #expect(!daemon.worker.starts.contains { $0.spec is TrainSpec })
    }
  }
}

extension Harness {
  /// A task directory with two training rows.
  func dropTrainingTask(_ name: String, rows: [String]? = nil) throws {
    let choices = ["P", "Q"].map { letter in
      #"{"question":"\#(letter) in \#(name)?","choices":{"text":["Yes","No"],"label":["A","B"]},"answerKey":"A"}"#
    }
    var files = ["train.jsonl": Array((rows ?? choices).joined(separator: "\n").utf8)]
    if rows != nil { files["fewshot.jsonl"] = Array(#"{"question":"0 + 1?","answer":"1"}"#.utf8) }
    try dropTask(name, question: "Is \(name) so?", files: files)
  }
}
