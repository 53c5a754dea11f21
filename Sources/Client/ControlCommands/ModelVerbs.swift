import ResultText
import StrictJSON
import SystemSupport

extension Verb {
  static let modelVerbs: [Verb] = [
    make(
      "model add", [.one("PATH")], [.value("--name", "N", "name", "its name here; default: the file's name")],
      methods: ["model.add", "model.show", "job.wait"], "Register a base model.",
      notes: "PATH is a .gguf file or a Hugging Face directory, and is read by the daemon. The first time the model is "
        + "digested and factorized, which is a job; the command waits for it."
    ) { invocation throws(ControlError) in
      var params = try invocation.parameters(for: "model.add")
      params["path"] = .string(try invocation.absolutePath(invocation.argument(0)))
      let result = try invocation.call("model.add", params, timeout: .seconds(120))
      guard try invocation.jobToWaitFor(result) != nil, let name = result["name"] else {
        return invocation.answer(result) { invocation.showMembers(result) }
      }
      let model = try invocation.call("model.show", ["name": name])
      invocation.answer(model) { invocation.showModels([model]) }
    },
    make("model list", methods: ["model.list"], "The registered models.") { invocation throws(ControlError) in
      let result = try invocation.call("model.list")
      invocation.answer(result) { invocation.showModels(result["models"]?.arrayValue ?? []) }
    },
    make(
      "model show", [.one("NAME", "name")], [.flag("--matrices", "matrices", "list its target matrices too")],
      methods: ["model.show"], "One model with all that is known of it."
    ) { invocation throws(ControlError) in
      let result = try invocation.call("model.show", try invocation.parameters(for: "model.show"))
      invocation.answer(result) { invocation.showMembers(result) }
    },
  ]
}

extension Invocation {
  fileprivate func showModels(_ models: [JSONValue]) {
    var table = Table(
      [
        ("NAME", .left), ("STATE", .left), ("ARCHITECTURE", .left), ("PARAMETERS", .right), ("LAYERS", .right),
        ("CONTEXT", .right), ("WEIGHTS", .left), ("EXPERTS", .right), ("PATH", .left),
      ], keys: 1)
    for model in models {
      let parameters = model["parameters"]?.integerValue.map { fixed(Double($0) / 1e6, 1) + " M" } ?? "-"
      let experts = model["experts"]?.arrayValue.map { "\($0.count)" } ?? model["experts"].cell
      table.add([
        model["name"].cell, model["state"].cell, model["architecture"].cell, parameters, model["layers"].cell,
        model["context"].cell, model["quantization"].cell, experts, model["path"].cell,
      ])
    }
    print(table, empty: "no model is registered; add one with: t2ctl model add PATH")
  }
}
