import Daemon
import RPCClient
import Settings
import StrictJSON
import SystemSupport
import Testing
import WorkerProtocol

@Suite struct DispatchTests {
  /// Two experts with labels, and one without.
  private func withBank(
    _ worker: FakeWorker = FakeWorker(), logged: [String] = [], _ body: (Harness) throws -> Void
  ) throws {
    try withDaemon(worker, logged: logged) { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25, metadata: [("t2.label", "nature")])
      try daemon.dropExpert("plain", value: 0.75)
      try daemon.sync()
      try body(daemon)
    }
  }

  private func dropDispatcher(_ daemon: Harness, _ name: String = "judge") throws {
    try daemon.dropExpert(name, value: 1.1, metadata: [("t2.kind", "dispatcher")])
    try daemon.sync()
  }

  @Test func theLabelsAreThoseOfTheActiveExpertsAndOther() throws {
    try withBank { daemon in
      try dropDispatcher(daemon)
      let answer = try daemon.call("dispatch.run", ["prompt": "Why is the sky blue?"])
      let labels = answer["decision"]?["probabilities"]?.arrayValue ?? []
      // In the order of the experts' names; the dispatcher is none of them.
      #expect(labels.map { $0["label"] } == ["plain", "nature", "other"])
      #expect(labels.map { $0["expert"] } == ["plain@1", "science@1", .null])
      #expect(answer["decision"]?["label"] == "plain" && answer["decision"]?["expert"] == "plain@1")
      #expect(answer["strategy"] == "prompt" && answer["dispatcher"] == .null && answer["template"] == "built in")
      try daemon.call("expert.retire", ["expert": "plain"])
      let later = try daemon.call("dispatch.run", ["prompt": "Why?"])
      #expect(later["decision"]?["probabilities"]?.arrayValue?.count == 2)
    }
  }

  @Test func aDispatcherDecidesAndTakesNoPartInMixtures() throws {
    try withBank { daemon in
      #expect(try daemon.refusal("generate", ["prompt": "x", "strategy": "classifier"]) == "no_dispatcher")
      try dropDispatcher(daemon)
      try daemon.dropTask("arc")
      let mixture = try daemon.settledMixture("arc")
      #expect(mixture["experts"]?.arrayValue?.compactMap { $0["name"]?.stringValue } == ["plain", "science"])
      let answer = try daemon.call("generate", ["prompt": "x", "strategy": "classifier", "chat": false])
      #expect(answer["dispatcher"] == "judge@1" && answer["decision"]?["expert"] == "plain@1")
      #expect(answer["weights"] == ["expert": "plain@1"])
      #expect(answer["seconds"]?["dispatch"] == 0.25)
      #expect(daemon.worker.generations.last?.requests.first?.dispatch?.weights != .base)
      try dropDispatcher(daemon, "other-judge")
      #expect(try daemon.refusal("dispatch.run", ["prompt": "x", "strategy": "classifier"]) == "no_dispatcher")
      let named = try daemon.call("dispatch.run", ["prompt": "x", "dispatcher": "other-judge"])
      #expect(named["strategy"] == "classifier" && named["dispatcher"] == "other-judge@1")
      #expect(try daemon.refusal("dispatch.run", ["prompt": "x", "dispatcher": "science"]) == "no_dispatcher")
    }
  }

  /// What comes later is for later requests: the worker is handed the versions of the moment.
  @Test func aRequestKeepsTheVersionsItBeganWith() throws {
    try withBank { daemon in
      func science() throws -> Weights? {
        _ = try daemon.call("generate", ["prompt": "x", "strategy": "prompt", "chat": false])
        return daemon.worker.generations.last?.requests.first?.dispatch?.labels.last?.weights
      }
      let first = try science()
      try daemon.dropExpert("science", value: 1.5, metadata: [("t2.label", "nature")])
      try daemon.sync()
      let second = try science()
      #expect(
        first != second && first == daemon.worker.generations.first?.requests.first?.dispatch?.labels.last?.weights)
      try daemon.call("expert.rollback", ["expert": "science"])
      #expect(try science() == first)
    }
  }

  @Test func anEmptyBankIsAClearError() throws {
    try withDaemon { (daemon: Harness) throws in
      try daemon.addModel()
      for method in ["dispatch.run", "generate"] {
        #expect(try daemon.refusal(method, ["prompt": "x", "strategy": "prompt"]) == "empty_bank")
      }
    }
  }

  @Test func twoExpertsOfOneLabelAreToldApartByTheirNames() throws {
    try withBank { daemon in
      try daemon.dropExpert("physics", value: 1.3, metadata: [("t2.label", "nature")])
      try daemon.sync()
      let labels = try daemon.call("dispatch.run", ["prompt": "x"])["decision"]?["probabilities"]?.arrayValue ?? []
      #expect(labels.compactMap { $0["label"]?.stringValue } == ["physics", "plain", "science", "other"])
    }
  }

  @Test func theDayAndTheThinkingOfAChatReachTheWorker() throws {
    try withBank { daemon in
      let messages: JSONValue = [["role": "user", "content": "x"]]
      try daemon.call("generate", ["messages": messages, "chat_date": "2025-01-03", "thinking": false])
      let chat = try #require(daemon.worker.generations.last?.chat)
      #expect(chat.chatDate == CalendarDay("2025-01-03") && chat.thinking == false)
      try daemon.call("generate", ["messages": messages])
      #expect(daemon.worker.generations.last?.chat == nil)
      #expect(try daemon.refusal("generate", ["messages": messages, "chat_date": "2025-02-30"]) == "invalid_params")
      #expect(try daemon.refusal("generate", ["prompt": "x", "chat": false, "thinking": true]) == "invalid_params")
    }
  }

  @Test func strategiesRefuseWhatTheyHaveNoUseFor() throws {
    try withBank { daemon in
      let bad: [JSONObject] = [
        ["prompt": "x", "strategy": "prompt", "expert": "science"], ["prompt": "x", "strategy": "expert"],
        ["prompt": "x", "strategy": "none", "alpha": ["science": 1]], ["prompt": "x", "read": "score"],
        ["prompt": "x", "strategy": "prompt", "dispatcher": "science"], ["strategy": "none"],
        ["prompt": "x", "prompt_ids": [1]], ["prompt_ids": [1], "strategy": "prompt"],
        ["prompt_ids": [1], "system": "s"], ["prompt": "x", "strategy": "mixture"],
      ]
      for params in bad { #expect(try daemon.refusal("generate", params) == "invalid_params", "\(params.keys)") }
      #expect(try daemon.refusal("generate", ["prompt": "x", "expert": "nobody"]) == "unknown_expert")
      #expect(try daemon.refusal("score", ["prompt": "x"]) == "invalid_params")
      let score = try daemon.call("score", ["prompt_ids": [1], "continuation_ids": [2, 3]])
      #expect(score["logprobs"]?.arrayValue?.count == 2)
    }
  }

  @Test func aStreamSendsTheDecisionThenTheTextThenTheWholeAnswer() throws {
    try withBank { daemon in
      let client = try RPCClient(socketPath: daemon.daemon.paths.socket)
      let id = try client.send(
        "generate", ["prompt": "x", "strategy": "prompt", "chat": false, "stream": true])
      var parts: [JSONObject] = []
      let answer = try client.receive(id) { parts.append($0.params) }
      #expect(parts.map { $0["id"]?.integerValue } == [id, id, id])
      #expect(parts.map { $0["part"]?.intValue } == [0, 1, 2])
      #expect(parts.first?["decision"]?["expert"] == "plain@1")
      #expect(parts.dropFirst().compactMap { $0["text"]?.stringValue }.joined() == answer["text"]?.stringValue)
      let ids = parts.dropFirst().flatMap { $0["ids"]?.arrayValue ?? [] }
      #expect(JSONValue.array(ids) == answer["ids"])
    }
  }

  @Test func theTemplateIsAFileThatMayChangeAndMustHoldBothPlaceholders() throws {
    try withBank(logged: ["dispatch.txt) has no {prompt}"]) { daemon in
      func template() -> DispatchSpec? { daemon.worker.generations.last?.requests.first?.dispatch }
      func ask() throws { _ = try daemon.call("generate", ["prompt": "x", "strategy": "prompt", "chat": false]) }
      let path = daemon.prefix + "/etc/t2d/dispatch.txt"
      try FileSystem.createDirectories(daemon.prefix + "/etc/t2d")
      try FileSystem.writeAtomically(path, Array("Mine: {labels} {prompt}".utf8))
      daemon.daemon.rescan()
      try ask()
      #expect(template()?.template == "Mine: {labels} {prompt}" && template()?.templateSource == path)
      try FileSystem.writeAtomically(path, Array("Mine: {labels}".utf8))
      daemon.daemon.rescan()
      #expect(try daemon.refusal("generate", ["prompt": "x", "strategy": "prompt"]) == "bad_template")
      // The warning is the catalogue thread's; each question takes a turn.
      func warning() throws -> JSONValue? {
        try daemon.call("system.status")["warnings"]?.arrayValue?.first { $0["code"] == "dispatch_template" }
      }
      while try warning() == nil { continue }
      #expect(try warning()?["message"]?.stringValue?.contains("has no {prompt}") == true)
      // What needs no template does not suffer.
      #expect(try daemon.call("generate", ["prompt": "x", "chat": false])["strategy"] == "none")
      try FileSystem.remove(path)
      daemon.daemon.rescan()
      try ask()
      #expect(template()?.templateSource == "built in")
    }
  }

  @Test func aNamedTemplateThatIsNotThereIsAnErrorOfTheConfiguration() throws {
    try withTemporaryDirectory { prefix in
      var configuration = Configuration.forTests
      configuration.dispatch.template = "nowhere.txt"
      let error = #expect(throws: DaemonError.self) {
        try Daemon(
          paths: DaemonPaths(prefix: prefix, socket: "s"), configuration: configuration, launcher: FakeWorker(),
          log: .silent, shutDown: {})
      }
      #expect(error?.exitCode == 78 && error?.description.contains("nowhere.txt") == true)
    }
  }

  @Test func labelledPromptsAreReadBeforeAJobBegins() throws {
    try withBank { daemon in
      let path = daemon.prefix + "/rows.jsonl"
      func write(_ text: String) throws { try FileSystem.writeAtomically(path, Array(text.utf8)) }
      let params: JSONObject = ["path": "rows.jsonl"]
      #expect(try daemon.refusal("dispatch.evaluate", params) == "invalid_params")
      #expect(try daemon.refusal("dispatch.evaluate", params, file: daemon.prefix) == "file_not_readable")
      try write(#"{"prompt":"p","label":"nature"}"# + "\n" + #"{"prompt":"p","label":"chemistry"}"#)
      #expect(try daemon.refusal("dispatch.evaluate", params, file: path) == "unknown_label")
      try write(#"{"label":"other"}"#)
      #expect(try daemon.refusal("dispatch.evaluate", params, file: path) == "bad_file")
      try write(#"{"prompt":"p","label":"nature"}"# + "\n" + #"{"question":"q","label":"other"}"#)
      let started = try daemon.call("dispatch.evaluate", params, file: path)
      #expect(started["rows"] == 2)
      let job = try #require(started["job"])
      #expect(try daemon.wait(job)["state"] == "done")
      let spec = try #require(daemon.worker.starts.last?.spec as? DispatchEvaluateSpec)
      // Without a dispatcher there is nothing to stand beside the base.
      #expect(spec.strategies.map(\.name) == ["prompt"] && spec.rows.map(\.label) == ["nature", "other"])
      try dropDispatcher(daemon)
      let again = try daemon.call("dispatch.evaluate", params, file: path)
      try daemon.wait(try #require(again["job"]))
      let both = try #require(daemon.worker.starts.last?.spec as? DispatchEvaluateSpec)
      #expect(both.strategies.map(\.name) == ["prompt", "classifier"])
    }
  }

  @Test func aClientThatGoesTakesItsRequestAlong() throws {
    try withBank { daemon in
      daemon.worker.holdGenerations()
      do {
        let client = try RPCClient(socketPath: daemon.daemon.paths.socket)
        _ = try client.send("generate", ["prompt": "x", "chat": false])
        while daemon.worker.generations.isEmpty { try daemon.call("system.hello") }
      }
      // The connection has ended with its client; each question takes a turn.
      while daemon.worker.cancelledRequests == 0 { try daemon.call("system.hello") }
      #expect(daemon.worker.cancelledRequests == 1)
    }
  }

  @Test func aJobThatDoesNotStopTakesItsWorkerAlong() throws {
    var configuration = Configuration.forTests
    configuration.worker.stopAfter = .milliseconds(100)
    let worker = FakeWorker([.ignore])
    try withDaemon(worker, configuration: configuration, logged: ["it did not stop job"]) { (daemon: Harness) throws in
      try daemon.addModel()
      try daemon.dropExpert("science", value: 1.25)
      try daemon.dropTask("arc")
      try daemon.sync()
      let job = try daemon.newestSearch("arc")
      while daemon.worker.searches == 0 { try daemon.call("system.hello") }
      try daemon.call("job.cancel", ["job": job])
      #expect(try daemon.wait(job)["state"] == "cancelled")
      #expect(daemon.worker.launches == 2)
      // The next one has a worker that does as it is told.
      let started = try daemon.call("task.adapt", ["task": "arc"])
      #expect(try daemon.wait(try #require(started["job"]))["state"] == "done")
    }
  }
}
