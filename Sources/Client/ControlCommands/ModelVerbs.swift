import RPCProtocol
import ResultText
import StrictJSON
import SystemSupport

extension Verb {
  static let modelVerbs: [Verb] = [
    make(
      "model add", [.optional("PATH")],
      [
        .value("--name", "N", "name", "its name here; default: the file's name"),
        .value("--engine", "E", "engine"), .value("--at", "ADDRESS,...", "at"),
        .value("--modules", "M,...", "modules"),
        .flag(
          "--plan", nil, "add nothing; say by part what it needs of memory, what the worker may have, and what to set"),
      ],
      methods: ["model.add", "model.plan", "model.show", "job.wait"], "Register a base model.",
      notes:
        "Without --engine t2d computes the model itself: PATH is a .gguf file or a Hugging Face directory, and is read by the daemon; with --plan also a config.json "
        + "alone. The first time the model is digested and factorized, which is a job; the command waits for it and shows "
        + "the time that is left. Where that is ended, what was factored stays, and adding the model again goes on there. "
        + "What the model needs of memory is said beforehand, and one that does not fit is refused. With --modules it takes less "
        + "time, disk and memory by what the other matrices would; experts with multipliers for those are refused. With --engine and "
        + "--at another program computes it, which has read the model already and is asked at these addresses."
    ) { invocation throws(ControlError) in
      var params = try invocation.parameters(for: ModelAdd.self)
      if params["engine"] != nil || params["at"] != nil { return try invocation.addModelOfEngine(params) }
      guard !invocation.argument(0).isEmpty else {
        throw .usage("model add needs a PATH, or an engine that has read the model", hint: "see: t2ctl help model add")
      }
      let path = JSONValue.string(try invocation.absolutePath(invocation.argument(0)))
      var planned: JSONObject = ["path": path]
      planned["modules"] = params["modules"]
      if invocation.command.has("--plan") {
        let plan = try invocation.call(ModelPlan.self, planned, timeout: .seconds(120))
        invocation.answer(plan) { invocation.show($0) }
        if let problem = plan.problem { throw .bad(escaped(problem)) }
        return
      }
      // What cannot be read is the job's to say, as of a model that is looked at again.
      if let plan = try? invocation.call(ModelPlan.self, planned, timeout: .seconds(120)) {
        try invocation.announce(plan.value)
      }
      params["path"] = path
      try invocation.addModel(params)
    },
    make("model list", [], [limit], methods: ["model.list"], "The registered models.") {
      invocation throws(ControlError) in
      invocation.answer(try invocation.list(ModelList.self, try invocation.parameters(for: ModelList.self))) {
        invocation.showModels($0.models)
      }
    },
    make(
      "model remove", [.one("NAME", "name")], removing, methods: ["model.remove"],
      "Take a model away, with the mixtures on it.",
      notes: "Its own files and its experts stay. " + removingNotes
    ) { invocation throws(ControlError) in try invocation.remove(ModelRemove.self) },
    make(
      "model show", [.one("NAME", "name")], [.flag("--matrices", "matrices", "list its target matrices too")],
      methods: ["model.show"], "One model with all that is known of it."
    ) { invocation throws(ControlError) in
      let model = try invocation.call(ModelShow.self, try invocation.parameters(for: ModelShow.self))
      invocation.answer(model) { _ in invocation.showMembers(model.json) }
    },
  ]
}

extension Invocation {
  /// What another program has read, which says itself whether it fits.
  fileprivate func addModelOfEngine(_ params: JSONObject) throws(ControlError) {
    if !argument(0).isEmpty {
      throw .usage(
        "\(argument(0)) is a PATH, and a model that an engine computes has none here",
        hint: "leave it out; the engine was started with it")
    }
    if command.has("--plan") {
      throw .usage("--plan says what t2d itself would need, and an engine computes this model", hint: "leave it out")
    }
    try addModel(params)
  }

  fileprivate func addModel(_ params: JSONObject) throws(ControlError) {
    let added = try call(ModelAdd.self, params, timeout: .seconds(120))
    guard try jobToWaitFor(added.job) != nil else {
      return answer(added) { _ in showMembers(added.json) }
    }
    let model = try call(ModelShow.self, ["name": .string(added.name)])
    answer(model) { showModels([$0.row]) }
  }

  fileprivate func showModels(_ models: [ModelRow]) {
    var table = Table(
      [
        ("NAME", .left), ("STATE", .left), ("ARCHITECTURE", .left), ("PARAMETERS", .right), ("LAYERS", .right),
        ("CONTEXT", .right), ("WEIGHTS", .left), ("FACTORED", .left), ("ENGINE", .left), ("EXPERTS", .right),
        ("PATH", .left),
      ], keys: 1)
    for model in models {
      let parameters = model.parameters.map { fixed(Double($0) / 1e6, 1) + " M" } ?? "-"
      table.add([
        model.name, model.state, model.architecture ?? "-", parameters, cell(model.layers), cell(model.context),
        model.quantization ?? "-", model.modules?.joined(separator: ",") ?? "all", model.engine?.rawValue ?? "-",
        "\(model.experts)", model.path,
      ])
    }
    print(table, empty: "no model is registered; add one with: t2ctl model add PATH")
    for model in models {
      for warning in model.warnings ?? [] { console.note("warning: \(escaped(model.name)): \(escaped(warning))") }
    }
  }
}
