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

  private static func plan(problem: String? = nil) -> JSONValue {
    var plan: JSONObject =
      ([
        "model_id": "Llama-3-8B", "architecture": "LlamaForCausalLM", "parameters": 8_030_261_248, "layers": 32,
        "weights": ["type": "BF16", "targets": 13_959_000_000, "embedding": 2_101_000_000, "rest": 1_000_000],
        "factors": ["precision": "half", "bytes": 5_500_000_000], "products": 0,
        "keys_and_values": 2_147_000_000, "vector_changes": 990_000_000, "search": 3_900_000_000,
        "training": 3_000_000_000, "factorizing": 1_500_000_000, "pass": 300_000_000, "held": 27_051_000_000,
        "needed": 34_500_000_000,
        "workload": ["sequences": 4, "positions": 2048, "experts": 3, "tokens": 1024, "threads": 2],
        "types": [["type": "Q4_K_M", "weights": 4_900_000_000, "held": 15_900_000_000, "needed": 22_400_000_000]],
        "limits": ["budget": 2_147_483_648, "data": nil, "group": nil, "machine": 25_000_000_000],
        "advice": ["memory_budget": 28_500_000_000, "memory_max": "32G"],
      ] as JSONValue).objectValue ?? [:]
    plan["problem"] = problem.map { .string($0) }
    return .object(plan)
  }

  @Test func aPlanIsShownByPartAndAddsNothing() throws {
    try withDaemon { _, reply in
      reply.succeed(only: Self.plan())
    } _: { daemon, options, _ in
      let shown = run(["model", "add", "--plan", "/models/config.json"] + options)
      #expect(shown.status == 0)
      #expect(shown.lines.first == "Llama-3-8B, LlamaForCausalLM, 8030.3 M parameters in 32 layers")
      for (part, bytes) in [
        ("weights of the target matrices, BF16", "14 GB"), ("singular vectors, half precision (mapped)", "5.5 GB"),
        ("held", "27 GB"), ("keys and values of 4 x 2048 tokens", "2.1 GB"), ("search of 3 experts", "3.9 GB"),
        ("vector changes, kept for long answers", "990 MB"), ("training, 1024 tokens a step", "3.0 GB"),
        ("factorizing, once (threads: 2)", "1.5 GB"),
      ] {
        #expect(shown.lines.contains { $0.hasPrefix(part) && $0.hasSuffix(bytes) }, "\(part)")
      }
      #expect(shown.lines.contains { $0.hasPrefix("Q4_K_M") && $0.contains("4.9 GB") })
      #expect(shown.lines.contains("memory_budget: 2.1 GB") && shown.lines.contains("MemoryMax of the unit: no limit"))
      #expect(!shown.out.contains("products"), "they are not made")
      #expect(shown.error.contains("set memory_budget: 28500000000 in t2d.json5\n"))
      #expect(shown.error.contains("set MemoryMax=32G in the unit (systemctl edit t2d.service)\n"))
      #expect(shown.error.contains("more than this machine has; stored as Q4_K_M it would fit: 22 GB"))
      #expect(daemon.calls(of: "model.add").isEmpty)
      let json = run(["model", "add", "--plan", "/models/config.json", "--json"] + options)
      #expect(json.lines == [Self.plan().jsonText])
    }
  }

  @Test func aModelThatDoesNotFitIsNotAdded() throws {
    try withDaemon { _, reply in
      reply.succeed(only: Self.plan(problem: "model 'x' needs 27051 MB"))
    } _: { daemon, options, _ in
      let refused = run(["model", "add", "/models/x"] + options)
      #expect(refused.status == 1 && refused.error.contains("model 'x' needs 27051 MB"))
      #expect(daemon.calls(of: "model.add").isEmpty)
      let planned = run(["model", "add", "--plan", "/models/x"] + options)
      #expect(planned.status == 5 && planned.lines.contains { $0.hasPrefix("held") })
    }
  }

  @Test func whatAModelNeedsIsSaidBeforeItIsAdded() throws {
    try withDaemon { request, reply in
      switch request.method.name {
      case "model.plan": reply.succeed(only: Self.plan())
      default: reply.succeed(["name": "x", "path": "/models/x", "state": "ready"])
      }
    } _: { daemon, options, _ in
      let added = run(["model", "add", "/models/x"] + options)
      #expect(added.status == 0)
      #expect(
        added.error.contains("memory: weights 16 GB, singular vectors 5.5 GB, keys and values 2.1 GB, search 3.9 GB"))
      #expect(daemon.calls(of: "model.add") == [["path": "/models/x"]])
    }
  }

  @Test func modulesGoToThePlanAndToTheModel() throws {
    try withDaemon { request, reply in
      switch request.method.name {
      case "model.plan":
        var plan = Self.plan().objectValue ?? [:]
        var factors = plan["factors"]?.objectValue ?? [:]
        factors["modules"] = ["gate_proj", "up_proj"]
        plan["factors"] = .object(factors)
        reply.succeed(only: .object(plan))
      default: reply.succeed(["name": "x", "path": "/models/x", "state": "ready"])
      }
    } _: { daemon, options, _ in
      let added = run(["model", "add", "/models/x", "--modules", "gate_proj,up_proj"] + options)
      #expect(added.status == 0 && added.error.contains("singular vectors of gate_proj, up_proj 5.5 GB"))
      let shown = run(["model", "add", "/models/x", "--modules", "gate_proj,up_proj", "--plan"] + options)
      #expect(shown.lines.contains { $0.hasPrefix("singular vectors of gate_proj, up_proj, half precision (mapped)") })
      let asked: JSONObject = ["path": "/models/x", "modules": ["gate_proj", "up_proj"]]
      #expect(daemon.calls(of: "model.add") == [asked] && daemon.calls(of: "model.plan") == [asked, asked])
    }
  }
}
