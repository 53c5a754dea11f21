import Glibc
import RPCClient
import StrictJSON
import SystemSupport
import TestSupport
import Testing

extension EndToEnd {
  /// Training, and the dispatcher that came of one.
  @Suite(.serialized) struct TrainTests {
    /// The search that the task would start is as small as can be; the training runs behind it.
    private func dropTrainingTask(_ daemon: RunningDaemon, _ client: RPCClient) throws {
      let example = "\(repository)/etc/examples/tasks/arc_easy"
      let rows = try FileSystem.readAll(
        "\(repository)/Tests/Programs/EndToEndTests/Fixtures/arc_easy.eval.jsonl", maximumBytes: 1 << 20
      ).split(separator: UInt8(ascii: "\n")).prefix(40)
      try dropTask(
        daemon, "arc_easy",
        [
          ("fewshot.jsonl", FileSystem.readAll("\(example)/fewshot.jsonl", maximumBytes: 1 << 20)),
          ("train.jsonl", Array(rows.joined(separator: [UInt8(ascii: "\n")]))),
        ])
      try client.call("system.sync")
    }

    @Test func aTrainingWhoseWorkerIsKilledMakesTheSameExpert() throws {
      func train(killing: Bool) throws -> JSONObject {
        var expert: JSONObject = [:]
        try withDaemon(logged: killing ? ["the worker ended"] : []) { daemon in
          let client = try daemon.client()
          try addModel(daemon, client)
          try dropTrainingTask(daemon, client)
          let started = try client.call(
            "train.start",
            [
              "name": "learned", "task": "arc_easy", "steps": 8, "batch": 4, "validate_every": 2, "validation_rows": 8,
            ])
          let job = try #require(started["job"]?.integerValue)
          if killing {
            // Behind the first state that was saved.
            try eventually("the training has made three steps", within: .seconds(300)) {
              (try client.call("job.show", ["job": .integer(job)])["fraction"]?.doubleValue ?? 0) > 0.4
            }
            let pid = try #require(try client.call("system.status")["worker"]?["pid"]?.integerValue)
            #expect(Glibc.kill(pid_t(pid), SIGKILL) == 0)
          }
          let record = try daemon.finish(job)
          #expect(record["result"]?["name"] == "learned" && record["result"]?["steps"] == 8)
          expert = try #require(try client.call("expert.show", ["expert": "learned"]).objectValue)
        }
        return expert
      }
      let undisturbed = try train(killing: false)
      #expect(undisturbed["digest"] != nil && undisturbed["active"] == 1)
      #expect(try train(killing: true)["digest"] == undisturbed["digest"])
    }

    @Test func theExamplesDispatcherSortsRequestsThatItHasNotSeen() throws {
      let requests: [(prompt: String, label: String)] = [
        ("Which gas do plants take in from the air to make sugar?", "reasoning"),
        ("Why does a metal spoon feel colder than a wooden one in the same room?", "reasoning"),
        ("What happens to water when it is cooled below zero degrees Celsius?", "reasoning"),
        ("Tim has 14 marbles. He gives 5 to his brother and buys 9 more. How many marbles does he have?", "math"),
        ("A shop sells pens at 3 dollars each. Jane buys 7 pens and pays with 50 dollars. What is her change?", "math"),
        ("There are 24 rows of 18 seats. If 35 seats are empty, how many people are sitting?", "math"),
        ("Which word means \"a small flat round cake\"?", "words"),
        ("Which word means \"to walk without any hurry\"?", "words"),
        ("Which word means \"not able to be heard\"?", "words"),
        ("Maria forgot her friend's birthday and bought flowers the next day. How would you describe Maria?", "other"),
        ("Tom shouted at his sister in front of the guests. How will the sister feel afterwards?", "other"),
        ("Ana helped an old man carry his bags home. What will Ana want to do next?", "other"),
      ]
      try withDaemon { daemon in
        let client = try daemon.client()
        try addModel(daemon, client)
        for name in ["science", "math", "words", "dispatcher"] {
          let file = "\(repository)/etc/examples/experts/\(name).safetensors"
          try daemon.drop(try FileSystem.readAll(file, maximumBytes: 1 << 22), "experts", "\(name).safetensors")
        }
        try client.call("system.sync")
        var right = 0
        for (prompt, label) in requests {
          let answer = try client.call("dispatch.run", ["prompt": .string(prompt), "strategy": "classifier"])
          #expect(answer["dispatcher"] == "dispatcher@1")
          if answer["decision"]?["label"]?.stringValue == label { right += 1 }
        }
        #expect(right >= requests.count - 1, "\(right) of \(requests.count)")
      }
    }
  }
}
