import RPCClient
import StrictJSON
import SystemSupport
import Testing

/// The two passes on SmolLM2-135M-Instruct, through every layer.
extension EndToEnd {
  @Suite(.serialized) struct AskTests {
    private static let prompts = [
      "Which gas do plants absorb from the air?", "Why is the sky blue?", "How does a magnet work?",
      "What do bees make?", "Name a metal.", "What is the capital of France?", "What is 12 + 13?",
      "How would Sydney feel after she helped her friend?",
    ]

    private func withBank(_ body: (RunningDaemon, RPCClient) throws -> Void) throws {
      try withDaemon { daemon in
        let client = try daemon.client()
        try addModel(daemon, client)
        try dropExperts(daemon)
        try client.call("system.sync")
        try body(daemon, client)
      }
    }

    /// Eight requests, eight mixtures, one batch: each gets what it gets alone, under a digest of its own.
    @Test func requestsUnderDifferentMixturesShareABatchAndNothingElse() throws {
      try withBank { _, client in
        let requests = Self.prompts.enumerated().map { number, prompt -> JSONObject in
          ["prompt": .string(prompt), "alpha": ["science": .number(Double(number) / 8)], "max_tokens": 24]
        }
        let alone = try requests.map { try client.call("generate", $0) }
        let numbers = try requests.map { try client.send("generate", $0) }
        let together = try numbers.map { try client.receive($0) }
        #expect(together.map { $0["ids"] } == alone.map { $0["ids"] })
        let digests = together.map { $0["mixture_digest"]?.stringValue }
        #expect(digests[0] == nil && Set(digests).count == 8)
        #expect(digests == alone.map { $0["mixture_digest"]?.stringValue })
      }
    }

    @Test func aPromptIsSortedAndAnsweredUnderTheExpertOfItsLabel() throws {
      try withBank { daemon, client in
        for prompt in Self.prompts.prefix(4) {
          let decided = try client.call("dispatch.run", ["prompt": .string(prompt)])
          let answer = try client.call(
            "generate", ["prompt": .string(prompt), "strategy": "prompt", "max_tokens": 12])
          #expect(answer["decision"] == decided["decision"])
          let shares = decided["decision"]?["probabilities"]?.arrayValue ?? []
          #expect(shares.count == 3)
          #expect(abs(shares.reduce(0) { $0 + ($1["probability"]?.doubleValue ?? .nan) } - 1) < 1e-9)
          var direct: JSONObject = ["prompt": .string(prompt), "max_tokens": 12]
          direct["expert"] = answer["decision"]?["expert"] == .null ? nil : answer["decision"]?["expert"]
          let same = try client.call("generate", direct)
          #expect(same["ids"] == answer["ids"] && same["mixture_digest"] == answer["mixture_digest"])
          #expect((answer["seconds"]?["dispatch"]?.doubleValue ?? 0) > 0)
        }
        // The command line prints the answer, and how it came about beside it.
        let (text, exit) = try daemon.t2ctl("ask", Self.prompts[0], "--strategy", "prompt", "--max-tokens", "12")
        #expect(exit == .code(0) && !text.isEmpty)
        let rows = Self.prompts.prefix(4).map { #"{"prompt":"\#($0)","label":"reasoning"}"# }.joined(separator: "\n")
        try FileSystem.writeAtomically(daemon.prefix + "/rows.jsonl", Array(rows.utf8))
        let (table, ended) = try daemon.t2ctl("dispatch", "evaluate", daemon.prefix + "/rows.jsonl")
        #expect(ended == .code(0) && table.contains("n 4"))
      }
    }
  }
}
