import RPCProtocol
import StrictJSON
import Testing

/// Each dropped file that was not simply accepted is shown to people, with its state and the reason.
@Suite struct StatusVerbTests {
  private func status(of files: [JSONValue]) throws -> Outcome {
    var outcome: Outcome?
    try withDaemon({ request, reply in
      #expect(request.method.name == "system.status")
      func count(_ state: String) -> JSONValue { JSONValue(files.count { $0["state"]?.stringValue == state }) }
      let states = ["accepted", "duplicate", "incomplete", "rejected", "ignored", "waiting_for_model"]
      var counts = JSONObject()
      for state in states { counts[state] = count(state) }
      // As the daemon does, where there are too many.
      reply.succeed(["ingest": .array(Array(files.prefix(1000))), "files": .object(counts)])
    }) { _, options, _ in
      outcome = run(options + ["status"])
    }
    return try #require(outcome)
  }

  private func file(_ name: String, _ state: String, _ message: String? = nil) -> JSONValue {
    [
      "path": .string("/drop/" + name), "state": .string(state), "kind": JSONValue(message.map { _ in "reason" }),
      "message": JSONValue(message), "time": "2000-01-01T00:00:00.000Z",
    ]
  }

  @Test func everyFileThatIsNotAcceptedHasItsLine() throws {
    let outcome = try status(of: [
      file("a.parquet", "ignored", "names here end in .jsonl"), file("b.safetensors", "rejected", "not one"),
      file("c.safetensors", "incomplete", "it is empty"), file("d.safetensors", "waiting_for_model", "no model"),
      file("e.safetensors", "duplicate", "as e@1"), file("f.safetensors", "accepted"),
      file("g.safetensors", "damaged", "of a newer t2d"),
    ])
    #expect(outcome.status == 0)
    let start = try #require(outcome.lines.firstIndex { $0.hasPrefix("files ") })
    let space = String(repeating: " ", count: 12)
    #expect(
      Array(outcome.lines[start...]) == [
        "files       1 accepted, 1 duplicate, 1 ignored, 1 waiting, 1 incomplete, 1 refused, 1 damaged",
        space + "damaged    /drop/g.safetensors: of a newer t2d",
        space + "refused    /drop/b.safetensors: not one",
        space + "incomplete /drop/c.safetensors: it is empty",
        space + "waiting    /drop/d.safetensors: no model",
        space + "ignored    /drop/a.parquet: names here end in .jsonl",
        space + "duplicate  /drop/e.safetensors: as e@1",
      ])
  }

  @Test func whatIsLeftOutIsCounted() throws {
    let outcome = try status(
      of: [file("x", "rejected", "bad")] + (0..<5000).map { file("n\($0).txt", "ignored", "no") })
    let start = try #require(outcome.lines.firstIndex { $0.hasPrefix("files ") })
    #expect(outcome.lines[start] == "files       5000 ignored, 1 refused")
    #expect(outcome.lines.count == start + 22)
    #expect(outcome.lines[start + 1].contains("refused /drop/x: bad"))
    #expect(outcome.lines.last?.contains("and 4981 more; see: t2ctl --json status") == true)
  }

  @Test func namesAndReasonsOfOthersMoveNoCursor() throws {
    let outcome = try status(of: [file("a\u{1b}[2J\nb", "rejected", "evil\r\u{202e}text")])
    #expect(outcome.lines.last?.hasSuffix("/drop/a\\x1b[2J\\nb: evil\\x0d\\u{202e}text") == true, "\(outcome.out)")
  }

  @Test func anEmptyDirectoryHasNoLine() throws {
    #expect(try !status(of: []).out.contains("files"))
  }
}
