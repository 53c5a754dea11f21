import ControlCommands
import RPCProtocol
import StrictJSON
import Testing

@Suite struct ModelVerbTests {
  @Test func whatAModelWasReadInSpiteOfStandsBesideIt() throws {
    let row: JSONValue = [
      "name": "tiny", "state": "ready", "architecture": "LlamaForCausalLM", "parameters": 15480, "layers": 2,
      "context": 256, "quantization": "F32", "digest": "sha256:aa", "path": "/model", "experts": 4,
    ]
    var warned = row.objectValue ?? [:]
    warned["name"] = "twin"
    warned["warnings"] = ["there is no index", "nor a \u{1B}[1mtokenizer"]
    let models: JSONValue = ["models": [row, .object(warned)]]
    try withDaemon { _, reply in
      reply.succeed(models)
    } _: { _, options, _ in
      let shown = run(["model", "list"] + options)
      #expect(shown.status == 0 && shown.lines.count == 3)
      #expect(shown.error.contains("warning: twin: there is no index\n"))
      #expect(shown.error.contains("warning: twin: nor a \\x1b[1mtokenizer"))
      #expect(!shown.error.contains("warning: tiny"))
    }
  }
}
