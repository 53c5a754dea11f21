import RPCClient
import RPCProtocol
import Records
import ResultText
import StrictJSON
import SystemSupport

extension Invocation {
  /// `ask`: the answer to standard output, on a terminal as it comes, and how it was made to standard error.
  func ask() throws(ControlError) {
    var params = try parameters(for: Generate.self)
    guard params["prompt"] != nil || params["prompt_ids"] != nil else {
      throw .usage("t2ctl ask needs PROMPT or --prompt-ids", hint: "usage: \(command.verb.usage)")
    }
    if console.out.isTerminal, !command.json { params["stream"] = true }
    let streams = params["stream"] == true
    let answer = streams ? try askStreaming(params) : try call(Generate.self, params, timeout: .seconds(600))
    self.answer(answer) { result in
      if !streams { console.print(shown(result.text)) }
      console.note(console.styledNote(Self.howAnswered(result), .dim))
    }
  }

  /// The pieces as they come: with --json each as a line of its own, otherwise their text, and its end of line.
  private func askStreaming(_ params: JSONObject) throws(ControlError) -> Answer<Generate.Result> {
    let client = try client()
    do {
      let id = try client.send(Generate.name, params)
      let result = try client.receive(id, "'generate'", timeout: command.timeout ?? .seconds(600)) {
        [self] notification in
        let params = JSONValue.object(notification.params)
        guard notification.method == RPCNotification.part.rawValue,
          let part = try? RecordReader(unknownMembers: .ignored).read(params, as: Generate.Part.self), part.id == id
        else { return }
        if command.json {
          console.print(params.jsonText)
        } else if let text = part.text {
          console.out.write(shown(text))
        }
      }
      if !command.json { console.print("") }
      return try Answer(of: Generate.self, result)
    } catch {
      throw .client(error)
    }
  }

  /// A text of the model, as it is where it is piped.
  private func shown(_ text: String) -> String { console.out.isTerminal ? prose(text) : text }

  /// "prompt chose science@2 (science 0.81, other 0.19) on smollm2: 41 tokens in 1.3 s (dispatch 0.2 s, ...), ended by eos".
  private static func howAnswered(_ result: Generate.Result) -> String {
    var text = escaped(result.strategy)
    if let decision = result.decision {
      let shares = decision.probabilities.map { "\(escaped($0.label)) \(fixed($0.probability, 2))" }
      text += " chose \(escaped(decision.expert ?? "the base")) (\(shares.joined(separator: ", ")))"
    }
    let seconds = result.seconds
    let named = [
      ("queue", seconds.queue), ("dispatch", seconds.dispatch), ("prefill", seconds.prefill),
      ("decode", seconds.decode),
    ].filter { $0.1 > 0 }
    let parts = named.filter { $0.0 != "queue" || $0.1 >= 0.01 }.map { "\($0.0) \(secondsText($0.1))" }
    text += " on \(escaped(result.model)): \(result.tokens.generated) tokens in "
    text += "\(secondsText(named.reduce(0) { $0 + $1.1 })) (\(parts.joined(separator: ", ")))"
    return text + ", ended by \(escaped(result.stop))"
  }
}

/// What a model wrote, for a terminal: nothing in it may move the cursor, but its lines stay lines.
func prose(_ text: String) -> String {
  text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
    // `escaped` shows control characters, and doubles backslashes, which are no danger here.
    line.split(separator: "\\", omittingEmptySubsequences: false).map { escaped(String($0)) }.joined(separator: "\\")
  }.joined(separator: "\n")
}
