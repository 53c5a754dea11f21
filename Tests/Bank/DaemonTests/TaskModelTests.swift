import Daemon
import RPCClient
import StrictJSON
import Testing

/// A task may name its model in task.json5: whoever asks for the task without a model means that one.
@Suite struct TaskModelTests {
  /// Two models, of which only `tiny` has experts, and a task that names it.
  private func withTwoModels(defaultModel: String?, _ body: (Harness) throws -> Void) throws {
    var configuration = Configuration.forTests
    configuration.defaultModel = defaultModel
    try withDaemon(configuration: configuration) { (daemon: Harness) throws in
      try daemon.addModel("tiny")
      try daemon.addModel("wide", content: "GGUF wide")
      try daemon.dropExpert("science", value: 1.25)
      try daemon.dropTask(
        "arc",
        files: [
          "task.json5": Array("{model: 'tiny'}".utf8), "eval.jsonl": taskBytes(question: "What do cows give?"),
          "train.jsonl": taskBytes(question: "What do sheep grow?"),
        ])
      try daemon.sync()
      try daemon.wait(try daemon.newestSearch("arc"))
      try body(daemon)
    }
  }

  /// Neither the default nor that there is none decides for a task that names its model.
  @Test(arguments: [nil, "wide"])
  func everyMethodMeansTheModelThatATaskNames(defaultModel: String?) throws {
    try withTwoModels(defaultModel: defaultModel) { (daemon: Harness) throws in
      let mixture = try daemon.call("mixture.get", ["task": "arc"])
      #expect(mixture["model"] == "tiny" && mixture["alpha"] == ["science": 0.75])
      #expect(try daemon.call("mixture.get", ["task": "arc", "pass_fd": true])["model"] == "tiny")
      #expect(daemon.client.takeDescriptor() != nil)
      #expect(try daemon.call("task.list")["tasks"]?.arrayValue?.first?["models"] == ["tiny"])
      #expect(try daemon.call("task.show", ["task": "arc"])["models"] == ["tiny"])
      #expect(try daemon.call("task.adapt", ["task": "arc", "seed": 7])["model"] == "tiny")
      #expect(try daemon.call("sweep.run", ["task": "arc", "budgets": ["1"]])["model"] == "tiny")
      #expect(try daemon.call("train.start", ["task": "arc", "name": "lessons"])["model"] == "tiny")
      #expect(try daemon.call("generate", ["task": "arc", "prompt": "hello"])["model"] == "tiny")
      let score = try daemon.call("score", ["prompt": "a", "continuation": "b", "mixture": "arc"])
      #expect(score["model"] == "tiny")
      let evaluation = try daemon.call("evaluate.run", ["task": "arc", "mixture": true])
      #expect(try daemon.call("job.show", ["job": evaluation["job"] ?? .null])["model"] == "tiny")
      // Only what is about the task: the rest goes by the default.
      if let defaultModel {
        #expect(try daemon.call("generate", ["prompt": "hello"])["model"] == .string(defaultModel))
      } else {
        #expect(try daemon.refusal("generate", ["prompt": "hello"]) == "ambiguous_model")
      }
      #expect(try daemon.refusal("mixture.get", ["task": "arc", "model": "wide"]) == "no_mixture_yet")
    }
  }

  @Test func whoRegistersATaskForAnotherModelOverrulesItsFile() throws {
    try withTwoModels(defaultModel: nil) { (daemon: Harness) throws in
      #expect(try daemon.call("task.register", ["task": "arc", "model": "wide"])["models"] == ["wide"])
      #expect(try daemon.refusal("mixture.get", ["task": "arc"]) == "waiting_for_experts")
      #expect(try daemon.call("mixture.get", ["task": "arc", "model": "tiny"])["model"] == "tiny")
    }
  }

  @Test func aTaskThatNamesAModelThatIsNotThereSaysSo() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel("tiny")
      try daemon.dropExpert("science", value: 1.25)
      try daemon.dropTask("arc", files: ["task.json5": Array("{model: 'tny'}".utf8)])
      try daemon.sync()
      #expect(try daemon.call("task.show", ["task": "arc"])["state"] == "waiting_for_model")
      let error = #expect(throws: RPCClientError.self) { try daemon.call("mixture.get", ["task": "arc"]) }
      guard case .refused(let refusal) = try #require(error) else {
        Issue.record("\(String(describing: error))")
        return
      }
      #expect(refusal.kind == "unknown_model")
      #expect(refusal.message == "task 'arc' is for model 'tny', and there is no model of that name")
      #expect(refusal.hint?.contains("did you mean 'tiny'?") == true, "\(refusal)")
      #expect(refusal.hint?.contains("t2ctl task register arc --model") == true, "\(refusal)")
    }
  }
}
