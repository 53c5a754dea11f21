import StrictJSON
import SystemSupport

extension Verb {
  static let trainVerbs: [Verb] = [
    make(
      "train", [.one("NAME", "name")],
      [
        .value("--task", "T", "task", "on this task's training rows, which must have choices"),
        .flag("--dispatcher", "dispatcher", "a dispatcher for the active experts, on the rows of their tasks"),
        model,
        .value("--label", "L", "label", "the category that requests are dispatched by"),
        .value("--objective", "O", "objective", "reinforce, cross-entropy or next-token"),
        .value("--steps", "N", "steps", "40 unless given"),
        .value("--batch", "N", "batch", "rows of a step; 10 unless given"),
        .value("--lr", "R", "learning_rate", "the learning rate at its highest; 0.01 unless given"),
        .value("--warm-up", "N", "warm_up", "steps in which the learning rate rises"),
        .value("--clip", "C", "clip", "the longest gradient; 0.001 unless given"),
        .value("--weight-decay", "D", "weight_decay", "towards the base"),
        .value("--kl", "W", "kl", "the weight of the divergence from the base"),
        .value("--seed", "S", "seed", "of what is held out and of the order of rows"),
        .value("--modules", "M,...", "modules", "mlp, attention, or projections such as gate_proj"),
        .value("--rows", "N", "rows", "the first so many training rows; of a dispatcher for each label"),
        .value("--validation-rows", "N", "validation_rows", "rows to hold out; 60 unless given"),
        .value("--validate-every", "N", "validate_every", "steps between two validations; 10 unless given"),
        .value("--patience", "N", "patience", "validations without another best; 5 unless given"),
      ],
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
    answer(result) { showTraining(result) }
  }

  /// What came of it, the learning curve where something was held out, and the two scores.
  private func showTraining(_ result: JSONValue) {
    console.print(
      "\(escaped(result["name"].cell))@\(result["version"].cell) (\(escaped(result["state"].cell))), "
        + "step \(result["best_step"].cell) of \(result["steps"].cell), \(result["training_rows"].cell) rows, "
        + secondsText(result["seconds"]?.doubleValue ?? 0))
    console.print("")
    var table = Table(("STEP", .right), ("REWARD", .right), ("ACC", .right), ("KL", .right), ("LOSS", .right))
    for point in result["curve"]?.arrayValue ?? [] {
      guard let held = point["validation"] else { continue }
      let step = point["step"].cell + (point["step"] == result["best_step"] ? " *" : "")
      table.add([step] + ["reward", "acc", "kl", "loss"].map { fixed(held[$0]?.doubleValue ?? .nan, 4) })
    }
    print(table, empty: "")
    console.note(
      "on \(result["held_out"]?["n"].cell ?? "-") training rows held out; step 0 is the base, * is what is kept")
  }
}
