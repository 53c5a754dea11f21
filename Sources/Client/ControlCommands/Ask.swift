import RPCClient
import ResultText
import StrictJSON
import SystemSupport

extension Invocation {
  /// `ask`: the answer to standard output, on a terminal as it comes, and how it was made to standard error.
  func ask() throws(ControlError) {
    var params = try parameters(for: "generate")
    guard params["prompt"] != nil || params["prompt_ids"] != nil else {
      throw .usage("t2ctl ask needs PROMPT or --prompt-ids", hint: "usage: \(command.verb.usage)")
    }
    if console.out.isTerminal, !command.json { params["stream"] = true }
    let result =
      params["stream"] == true ? try askStreaming(params) : try call("generate", params, timeout: .seconds(600))
    if command.json { return console.print(result.jsonText) }
    if params["stream"] != true {
      console.print(shown(result["text"]?.stringValue ?? ""))
    }
    console.note(console.styledNote(Self.howAnswered(result), .dim))
  }

  /// The pieces as they come: with --json each as a line of its own, otherwise their text, and its end of line.
  private func askStreaming(_ params: JSONObject) throws(ControlError) -> JSONValue {
    let client = try client()
    do {
      let id = try client.send("generate", params)
      let result = try client.receive(id, "'generate'", timeout: command.timeout ?? .seconds(600)) { [self] part in
        guard part.method == "part", part.params["id"]?.integerValue == id else { return }
        if command.json {
          console.print(JSONValue.object(part.params).jsonText)
        } else if let text = part.params["text"]?.stringValue {
          console.out.write(shown(text))
        }
      }
      if !command.json { console.print("") }
      return result
    } catch {
      throw .client(error)
    }
  }

  /// A text of the model, as it is where it is piped.
  private func shown(_ text: String) -> String { console.out.isTerminal ? prose(text) : text }

  /// "prompt chose science@2 (science 0.81, other 0.19) on smollm2: 41 tokens in 1.3 s (dispatch 0.2 s, ...), ended by eos".
  private static func howAnswered(_ result: JSONValue) -> String {
    var text = escaped(result["strategy"].cell)
    if let decision = result["decision"], decision != .null {
      let shares = (decision["probabilities"]?.arrayValue ?? []).map {
        "\(escaped($0["label"].cell)) \(fixed($0["probability"]?.doubleValue ?? .nan, 2))"
      }
      text += " chose \(escaped(decision["expert"]?.stringValue ?? "the base")) (\(shares.joined(separator: ", ")))"
    }
    let seconds = (result["seconds"]?.objectValue?.members ?? []).compactMap { name, value in
      value.doubleValue.flatMap { $0 > 0 ? (name: name, seconds: $0) : nil }
    }
    let parts = seconds.filter { $0.name != "queue" || $0.seconds >= 0.01 }
      .map { "\(escaped($0.name)) \(secondsText($0.seconds))" }
    text += " on \(escaped(result["model"].cell)): \(result["tokens"]?["generated"].cell ?? "-") tokens in "
    text += "\(secondsText(seconds.reduce(0) { $0 + $1.seconds })) (\(parts.joined(separator: ", ")))"
    return text + ", ended by \(escaped(result["stop"].cell))"
  }
}

/// What a model wrote, for a terminal: nothing in it may move the cursor, but its lines stay lines.
func prose(_ text: String) -> String {
  text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
    // `escaped` shows control characters, and doubles backslashes, which are no danger here.
    line.split(separator: "\\", omittingEmptySubsequences: false).map { escaped(String($0)) }.joined(separator: "\\")
  }.joined(separator: "\n")
}
