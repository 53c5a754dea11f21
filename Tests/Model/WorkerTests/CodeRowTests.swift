import ModelSamples
import Records
import Sandbox
import Settings
import StrictJSON
import SystemSupport
import Testing
import WorkerProtocol

@testable import Worker

/// Rows whose answer is a program, from the worker's messages to the sandbox and back.
@Suite(
  .enabled(
    if: (try? FileSystem.status(SandboxSettings().interpreter, followingLinks: true)) != nil,
    "python3 is not installed")
)
struct CodeRowTests {
  private static let sandbox: Sandbox = {
    var settings = SandboxSettings()
    settings.timeout = .seconds(60)
    return Sandbox(settings)
  }()

  /// Whatever token the model says ends in a comment, so the first row passes and the second fails, under any weights.
  private func task(_ model: SyntheticModel) throws -> TaskReference {
    let path = model.directory + "/programs"
    try FileSystem.createDirectories(path)
    func row(_ value: Int) -> [UInt8] {
      let row: JSONValue = [
        "task_id": .string("returns \(value)"), "prompt": .string("def f():\n    return \(value) #"),
        "test": "def check(candidate):\n    assert candidate() == 1\n", "entry_point": "f",
      ]
      return row.workerLine
    }
    try FileSystem.writeAtomically(path + "/fewshot.jsonl", row(1) + row(2))
    try FileSystem.writeAtomically(path + "/task.json5", Array("{ max_tokens: 1, search: { iterations: 2 } }".utf8))
    return TaskReference(name: "programs", path: path, digest: "")
  }

  private func evaluation(_ model: SyntheticModel) throws -> EvaluateSpec {
    EvaluateSpec(model: model.reference, task: try task(model), weights: .fixed(.base), split: .fewshot, limit: nil)
  }

  @Test func anEvaluationRunsEachProgramAndSaysWhatHeldIt() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let (ending, journal) = try TestWorker(sandbox: Self.sandbox).run(try evaluation(model))
      let found = try ending.timeless()
      #expect(found["pass@1"] == 0.5 && found["n"] == 2 && found["metric"] == "pass@1")
      #expect(found["outcomes"] == ["passed": 1, "failed": 1])
      #expect(found["ci95"]?.arrayValue?.count == 2)
      #expect(found["protections"]?.arrayValue?.contains("limits") == true)
      let items = found["items"]?.arrayValue ?? []
      #expect(items.map { $0["pass"] } == [true, false])
      #expect(items.last?["detail"]?.stringValue?.contains("assert candidate() == 1") == true)
      // What the journal knows is not run again: a verdict that no program gives comes back as it is.
      let changed = journal.map { entry in
        var entry = entry.objectValue ?? [:]
        let given = (entry["given"]?.arrayValue ?? []).map { one in
          var one = one.objectValue ?? [:]
          one["outcome"] = "killed"
          return JSONValue.object(one)
        }
        entry["given"] = .array(given)
        return JSONValue.object(entry)
      }
      let resumed = try TestWorker(sandbox: Self.sandbox).run(try evaluation(model), journal: changed).ending.timeless()
      #expect(resumed["outcomes"] == ["killed": 2])
      let again = try TestWorker(sandbox: Self.sandbox).run(try evaluation(model), journal: journal).ending.timeless()
      #expect(again == found)
    }
  }

  @Test func withoutASandboxNothingIsRunAndTheErrorNamesTheSetting() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let fault = try TestWorker().run(try evaluation(model)).ending.fault()
      #expect(fault.kind == .unsupported && fault.message.contains("code: { enabled: true }"))
    }
  }

  @Test func aMixtureIsSearchedByWhatItsProgramsPass() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      var spec = try WorkerServiceTests.adapt(model)
      spec.search.granularities = [.vector]
      spec.task = try task(model)
      let found = try WorkerServiceTests.timeless(try TestWorker(sandbox: Self.sandbox).run(spec).ending)
      #expect(found.scores.mixture.fit == 0.5)
    }
  }

  /// A program passes where the byte that the model says is one of half of all bytes.
  @Test func anExpertsRewardsAreWhatItsProgramsPass() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let path = directory + "/bytes"
      try FileSystem.createDirectories(path)
      func rows(_ numbers: Range<Int>) -> [UInt8] {
        numbers.flatMap { number in
          let row: JSONValue = [
            "prompt": .string("def f\(number)():\n    return r\"\"\""),
            "test": "\"\"\"\ndef check(candidate):\n    assert ord(candidate()[0]) & 8\n",
            "entry_point": .string("f\(number)"),
          ]
          return row.workerLine
        }
      }
      try FileSystem.writeAtomically(path + "/fewshot.jsonl", rows(0..<1))
      try FileSystem.writeAtomically(path + "/train.jsonl", rows(1..<17))
      try FileSystem.writeAtomically(path + "/task.json5", Array("{ max_tokens: 1 }".utf8))
      var settings = TrainingSettings()
      settings.steps = 10
      settings.batch = 4
      settings.samples = 4
      settings.baseline = .group
      settings.learningRate = 0.05
      settings.validationInterval = 5
      settings.validationRows = 6
      let spec = model.training(on: .task(TaskReference(name: "bytes", path: path, digest: "")), settings)
      // Whether ten steps are enough to learn it depends on the last bits of the BLAS kernel; what earns a reward does not.
      let (_, journal) = try TestWorker(sandbox: Self.sandbox).run(spec)
      let rewards = journal.compactMap { $0["batch"]?["reward"]?.doubleValue }
      #expect(rewards.contains { $0 > -1 && $0 < 1 }, "\(rewards)")
    }
  }

  @Test func theWorkersArgumentsSayHowCodeIsRun() {
    var settings = SandboxSettings()
    settings.user = "runner"
    #expect(
      WorkerProgram.Options(["--threads", "2", "--code", RecordWriter.json(settings).jsonText])?.code == settings)
    for wrong in [
      "", "[]", "7", #"{"interpretr":"/x"}"#,
      #"{"interpreter":"/x","user":"u","timeout_seconds":1,"memory_limit":1,"require":["no"]}"#,
    ] {
      #expect(WorkerProgram.Options(["--code", wrong]) == nil, "\(wrong)")
    }
  }

  @Test func theWorkersArgumentsSayHowSingularVectorsAreKept() {
    #expect(WorkerProgram.Options(["--factors", "half"])?.factors == .half)
    #expect(WorkerProgram.Options(["--factors", "quarter"]) == nil)
  }

  @Test func helloSaysWhatHoldsProgramsOrWhyNoneCanBeRun() throws {
    let plain = try HelloAnswer(decoding: try TestWorker().answer(.hello).get())
    #expect(plain.code == nil)
    let held = try HelloAnswer(decoding: try TestWorker(sandbox: Self.sandbox).answer(.hello).get())
    #expect(held.code?.problem == nil && held.code?.protections.contains("limits") == true)
    var settings = SandboxSettings()
    settings.interpreter = "/nonexistent/python3"
    let without = try HelloAnswer(decoding: try TestWorker(sandbox: Sandbox(settings)).answer(.hello).get())
    #expect(without.code?.protections == [] && without.code?.problem?.contains("install python3") == true)
  }
}
