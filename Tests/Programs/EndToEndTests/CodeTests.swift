import RPCClient
import StrictJSON
import SystemSupport
import Testing

extension EndToEnd {
  /// Rows of code, from the dropped file to the sandboxed program.
  @Suite(
    .serialized,
    .enabled(if: (try? FileSystem.status("/usr/bin/python3", followingLinks: true)) != nil, "python3 is not installed")
  )
  struct CodeTests {
    /// The first is done by any model that goes on with the list, the second by none.
    private static let rows = [
      #"{"task_id":"eleven","prompt":"def eleven():\n    \"\"\" return 11 \"\"\"\n    return ","#
        + #""test":"def check(c):\n    assert c() == 11\n","entry_point":"eleven"}"#,
      #"{"task_id":"never","prompt":"def never():\n    return ","test":"def check(c):\n    assert False\n","#
        + #""entry_point":"never"}"#,
    ]

    private func drop(_ daemon: RunningDaemon, _ client: RPCClient) throws {
      try dropTask(
        daemon, "programs",
        [
          ("fewshot.jsonl", Array(Self.rows.joined(separator: "\n").utf8)),
          ("task.json5", Array(#"{ max_tokens: 8, stop: ["\n"] }"#.utf8)),
        ])
      try client.call("system.sync")
    }

    @Test func whatAModelWroteIsRunWhereTheConfigurationSaysSo() throws {
      try withDaemon(configuration: "{ code: { enabled: true, timeout_seconds: 60, require: [] } }") { daemon in
        let client = try daemon.client()
        try addModel(daemon, client)
        try drop(daemon, client)
        let held = try client.call("system.status")["worker"]?["code"]?["protections"]?.arrayValue ?? []
        #expect(held.contains("limits") && held.contains("user"))
        let (text, exit) = try daemon.t2ctl("evaluate", "programs", "--rows", "fewshot", "--json")
        #expect(exit == .code(0))
        let result = try parseJSON(Array(text.utf8))
        #expect(result["n"] == 2 && result["metric"] == "pass@1" && result["protections"]?.arrayValue == held)
        let outcomes = (result["items"]?.arrayValue ?? []).map { $0["outcome"]?.stringValue }
        #expect(outcomes == ["passed", "failed"], "\(text)")
        #expect(result["pass@1"] == 0.5)
      }
    }

    @Test func otherwiseNothingIsRun() throws {
      try withDaemon { daemon in
        let client = try daemon.client()
        try addModel(daemon, client)
        try drop(daemon, client)
        #expect(try client.call("system.status")["worker"]?["code"] == nil)
        let (_, exit) = try daemon.t2ctl("evaluate", "programs", "--rows", "fewshot")
        #expect(exit == .code(1))
        let jobs = try client.call("job.list")["jobs"]?.arrayValue ?? []
        let failed = try #require(jobs.first { $0["kind"] == "evaluate" })
        #expect(failed.jsonText.contains("code: { enabled: true }"), "\(failed.jsonText)")
      }
    }
  }
}
