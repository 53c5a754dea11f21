import RPCProtocol
import ResultText
import StrictJSON
import SystemSupport

extension Verb {
  static let inferenceVerbs: [Verb] = [
    make(
      "tokenize", [.one("TEXT", "text")],
      [model, .flag("--special", "special")],
      methods: ["model.tokenize"], "The token ids of a text as it is.", notes: "TEXT may be -, for standard input."
    ) { invocation throws(ControlError) in
      let params = try invocation.parameters(for: ModelTokenize.self)
      invocation.answer(try invocation.call(ModelTokenize.self, params, timeout: .seconds(300))) {
        invocation.console.print($0.ids.map { "\($0)" }.joined(separator: " "))
      }
    },
    make(
      "score", [.optional("PROMPT", "prompt"), .optional("CONTINUATION", "continuation")],
      weights + [
        .value("--mixture", "TASK", "mixture", "the mixture of this task"),
        .value("--prompt-ids", "ID,...", "prompt_ids", "token ids instead of PROMPT"),
        .value("--continuation-ids", "ID,...", "continuation_ids", "token ids instead of CONTINUATION"),
        .value("--top", "N", "top"),
        .flag("--special", "special"),
      ],
      methods: ["score"], "Log-probabilities of a continuation, token by token."
    ) { invocation throws(ControlError) in
      let params = try invocation.parameters(for: Score.self)
      invocation.answer(try invocation.call(Score.self, params, timeout: .seconds(300))) { invocation.showScore($0) }
    },
    make(
      "ask", [.optional("PROMPT", "prompt")],
      [
        .value(
          "--strategy", "S", "strategy",
          "prompt or classifier (two passes), mixture, expert or none; default: as --expert, --task or --alpha say"),
        .value("--task", "T", "task", "for mixture: whose mixture answers"),
      ] + weights + [
        .value("--read", "HOW", "read", "how the first pass is read: score or generate"),
        .value("--dispatcher", "E", "dispatcher", "for classifier: the dispatcher expert, where there are several"),
        .value("--prompt-ids", "ID,...", "prompt_ids", "token ids instead of PROMPT"),
        .value("--system", "TEXT", "system", "the system message"),
        .flag("--no-chat", "chat", "the prompt as it is, without the chat template", meaning: false),
        .value("--chat-date", "DAY", "chat_date", "the day that the chat template is told"),
        .flag("--think", "thinking", "think before the answer, where the chat template asks"),
        .flag("--no-think", "thinking", "do not think before it", meaning: false),
        .value("--max-tokens", "N", "max_tokens"),
        .value("--temperature", "T", "temperature"),
        .value("--top-p", "P", "top_p"),
        .value("--seed", "S", "seed", "for sampling"),
        .value("--stop", "TEXT", "stop", "a text that ends the answer; may be given again"),
        .flag("--stream", "stream", "write the answer as it comes; so it is on a terminal in any case"),
      ],
      methods: ["generate"], "Answer a prompt, under the weights that a strategy chooses.",
      notes:
        "With prompt, the model decides which expert the prompt belongs to, and answers under it (two passes); with "
        + "classifier, a dispatcher expert decides; 'other' is the base. PROMPT may be -, for standard input."
    ) { invocation throws(ControlError) in try invocation.ask() },
  ]
}

extension Invocation {
  fileprivate func showScore(_ result: Score.Result) {
    var table = Table(("TOKEN", .right), ("LOGPROB", .right))
    for (id, logprob) in zip(result.continuationIDs, result.logprobs) {
      table.add(["\(id)", fixed(Double(logprob), 5)])
    }
    table.add(["sum", fixed(result.sum, 5)])
    print(table, empty: "")
    guard !result.top.isEmpty else { return }
    console.print("")
    var logits = Table(("TOP TOKEN", .right), ("LOGIT", .right))
    for entry in result.top { logits.add(["\(entry.id)", fixed(Double(entry.logit), 5)]) }
    print(logits, empty: "")
  }
}
