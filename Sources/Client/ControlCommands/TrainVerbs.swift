import ResultText
import RPCProtocol
import StrictJSON
import SystemSupport

extension Verb {
  static let trainVerbs: [Verb] = [
    make(
      "train", [.one("NAME", "name")],
      Option.all(of: TrainStart.self, but: ["name"]),
      methods: ["train.start", "job.wait"], "Train an expert on a task, or a dispatcher.",
      notes:
        "The expert becomes the next version of NAME. Few-shot and eval rows are never trained on. The training goes "
        + "on where Ctrl-C ends the waiting."
    ) { invocation throws(ControlError) in try invocation.train() }
  ]
}

extension Invocation {
  fileprivate func train() throws(ControlError) {
    let started = try call("train.start", try parameters(for: "train.start"))
    for warning in started["warnings"]?.arrayValue ?? [] { console.note("warning: \(escaped(warning.cell))") }
    if let replaced = started["replaces"]?.stringValue {
      console.note("this will be a new version of \(escaped(replaced))")
    }
    guard let job = try jobToWaitFor(started) else {
      return answer(started) { console.print("job \(started["job"].cell)") }
    }
    let result = job["result"] ?? job
    answer(result) {
      if result["dry_run"] == true { showEstimate(result) } else { showTraining(result) }
    }
  }

  private func showEstimate(_ result: JSONValue) {
    let memory = (result["memory_bytes"]?.doubleValue ?? 0) / 1e6
    console.print(
      "\(escaped(result["name"].cell)) would have \(result["parameters"].cell) parameters, from "
        + "\(result["training_rows"].cell) of \(result["rows"].cell) rows")
    console.print("")
    var table = Table(("ESTIMATE", .left), ("", .right))
    table.add(["tokens of a step", result["step_tokens"].cell])
    table.add(["a step", secondsText(result["step_seconds"]?.doubleValue ?? 0)])
    table.add(["a validation", secondsText(result["validation_seconds"]?.doubleValue ?? 0)])
    table.add(["the training, at most", secondsText(result["seconds"]?.doubleValue ?? 0)])
    table.add(["memory of the worker", "\(fixed(memory, 0)) MB"])
    print(table, empty: "")
    console.note("nothing was trained; a few rows were, once, to measure by")
  }

  /// What came of it, the learning curve where something was held out, and the two scores.
  private func showTraining(_ result: JSONValue) {
    for warning in result["warnings"]?.arrayValue ?? [] { console.note("warning: \(escaped(warning.cell))") }
    if result["method"] == "lora" { return showComparison(result) }
    console.print(
      "\(escaped(result["name"].cell))@\(result["version"].cell) (\(escaped(result["state"].cell))), "
        + "step \(result["best_step"].cell) of \(result["steps"].cell), \(result["training_rows"].cell) rows, "
        + secondsText(result["seconds"]?.doubleValue ?? 0))
    console.print("")
    if let sweep = result["sweep"]?.arrayValue {
      var table = Table(("WEIGHT", .right), ("STEP", .right), ("REWARD", .right), ("ACC", .right), ("KL", .right))
      for one in sweep {
        let weight = one["kl_weight"].cell + (one["kl_weight"] == result["kl_weight"] ? " *" : "")
        table.add(
          [weight, one["best_step"].cell] + ["reward", "acc", "kl"].map { number(one["held_out"]?[$0]) })
      }
      print(table, empty: "")
      for one in sweep {
        if let problem = one["problem"] { console.note("weight \(one["kl_weight"].cell): \(escaped(problem.cell))") }
      }
      console.print("")
    }
    var table = Table(("STEP", .right), ("REWARD", .right), ("ACC", .right), ("KL", .right), ("LOSS", .right))
    for point in result["curve"]?.arrayValue ?? [] {
      guard let held = point["validation"] else { continue }
      let step = point["step"].cell + (point["step"] == result["best_step"] ? " *" : "")
      table.add([step] + ["reward", "acc", "kl", "loss"].map { number(held[$0]) })
    }
    print(table, empty: "")
    console.note(
      "on \(result["held_out"]?["n"].cell ?? "-") training rows held out; step 0 is the base, * is what is kept")
  }

  /// What LoRA came to, on the rows held out and on the eval rows.
  private func showComparison(_ result: JSONValue) {
    console.print(
      "lora of rank \(result["rank"].cell), \(result["parameters"].cell) parameters, step \(result["best_step"].cell) of "
        + "\(result["steps"].cell), \(result["training_rows"].cell) rows, "
        + secondsText(result["seconds"]?.doubleValue ?? 0))
    console.print("")
    var table = Table(("ROWS", .left), ("N", .right), ("WEIGHTS", .left), ("ACC", .right), ("ACC_NORM", .right))
    let held = result["held_out"]
    for (name, key) in [("base", "base"), ("lora", "expert")] {
      table.add(["held out", held?["n"].cell ?? "-", name, number(held?[key]?["acc"]), "-"])
    }
    for name in ["base", "lora"] {
      guard let score = result["eval"]?[name] else { continue }
      table.add(["eval", result["eval"]?["n"].cell ?? "-", name, number(score["acc"]), number(score["acc_norm"])])
    }
    print(table, empty: "")
    if let mixtures = result["mixing"]?.arrayValue { showMixing(mixtures) }
    console.note("no expert was made: lora is trained to be compared with")
  }

  /// A line for each mixture of two LoRAs, with its acc on both tasks.
  private func showMixing(_ mixtures: [JSONValue]) {
    let tasks = (mixtures.first?["scores"]?.arrayValue ?? []).map { $0["task"].cell }
    var table = Table(headings: ["WEIGHTS", "SHARE"] + tasks.map { "ACC ON \($0)" })
    for mixture in mixtures {
      let scores = mixture["scores"]?.arrayValue ?? []
      table.add(
        [mixture["weights"].cell, fixed(mixture["share"]?.doubleValue ?? 0, 2)] + scores.map { number($0["acc"]) })
    }
    console.print("")
    print(table, empty: "")
    console.note("share is that of the second; parameters averages A and B, products what they add")
  }

  private func number(_ value: JSONValue?) -> String { value?.doubleValue.map { fixed($0, 4) } ?? "-" }
}
