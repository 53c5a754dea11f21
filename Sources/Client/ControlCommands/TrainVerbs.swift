import RPCProtocol
import ResultText
import Results
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
    let started = try call(TrainStart.self, try parameters(for: TrainStart.self))
    for warning in started.warnings { console.note("warning: \(escaped(warning))") }
    if let replaced = started.replaces { console.note("this will be a new version of \(escaped(replaced))") }
    try finish(started, job: started.job, TrainResult.self) { result in
      switch result {
      case .expert(let training, let version): showTraining(training, version)
      case .adapters(let training): showComparison(training)
      case .estimate(let estimate): showEstimate(estimate)
      }
    }
  }

  private func showEstimate(_ result: TrainEstimate) {
    console.print(
      "\(escaped(result.name)) would have \(result.parameters) parameters, from \(result.trainingRows) of "
        + "\(result.rows) rows")
    console.print("")
    var table = Table(("ESTIMATE", .left), ("", .right))
    table.add(["tokens of a step", "\(result.stepTokens)"])
    table.add(["a step", secondsText(result.stepSeconds)])
    table.add(["a validation", secondsText(result.validationSeconds)])
    table.add(["the training, at most", secondsText(result.seconds)])
    table.add(["memory of the worker", "\(fixed(Double(result.memoryBytes) / 1e6, 0)) MB"])
    print(table, empty: "")
    console.note("nothing was trained; a few rows were, once, to measure by")
  }

  private func warn(_ summary: TrainingSummary) {
    for warning in summary.warnings { console.note("warning: \(escaped(warning))") }
  }

  /// What came of it, the learning curve where something was held out, and the two scores.
  private func showTraining(_ training: ExpertTraining, _ version: TrainedVersion?) {
    let (summary, choice) = (training.summary, training.choice)
    warn(summary)
    console.print(
      (version.map { "\(escaped($0.name))@\($0.version) (\(escaped($0.state))), " } ?? "")
        + "step \(summary.bestStep) of \(summary.steps), \(summary.trainingRows) rows, \(secondsText(summary.seconds))")
    console.print("")
    if let sweep = choice.sweep {
      var table = Table(("WEIGHT", .right), ("STEP", .right), ("REWARD", .right), ("ACC", .right), ("KL", .right))
      for one in sweep {
        table.add(
          [
            cell(one.divergenceWeight) + (one.divergenceWeight == choice.divergenceWeight ? " *" : ""),
            one.bestStep.map { "\($0)" } ?? "-",
          ] + number(one.heldOut?.reward, one.heldOut?.right, one.heldOut?.divergence))
      }
      print(table, empty: "")
      for one in sweep {
        if let problem = one.problem { console.note("weight \(cell(one.divergenceWeight)): \(escaped(problem))") }
      }
      console.print("")
    }
    var table = Table(("STEP", .right), ("REWARD", .right), ("ACC", .right), ("KL", .right), ("LOSS", .right))
    for point in summary.curve {
      guard let held = point.validation else { continue }
      table.add(
        ["\(point.step)" + (point.step == summary.bestStep ? " *" : "")]
          + number(held.reward, held.right, held.divergence, held.loss))
    }
    print(table, empty: "")
    console.note("on \(summary.heldOut.count) training rows held out; step 0 is the base, * is what is kept")
  }

  /// What LoRA came to, on the rows held out and on the eval rows.
  private func showComparison(_ training: AdapterTraining) {
    let summary = training.summary
    warn(summary)
    console.print(
      "lora of rank \(training.rank), \(training.choice.parameters) parameters, step \(summary.bestStep) of "
        + "\(summary.steps), \(summary.trainingRows) rows, \(secondsText(summary.seconds))")
    console.print("")
    var table = Table(("ROWS", .left), ("N", .right), ("WEIGHTS", .left), ("ACC", .right), ("ACC_NORM", .right))
    for (name, standing) in [("base", summary.heldOut.base), ("lora", summary.heldOut.expert)] {
      table.add(["held out", "\(summary.heldOut.count)", name] + number(standing.right, nil))
    }
    if let eval = training.eval {
      for (name, scores) in [("base", eval.base), ("lora", eval.lora)] {
        table.add(["eval", "\(eval.count)", name] + number(scores.acc, scores.accNorm))
      }
    }
    print(table, empty: "")
    if let mixtures = training.mixing { showMixing(mixtures) }
    console.note("no expert was made: lora is trained to be compared with")
  }

  /// A line for each mixture of two LoRAs, with its acc on both tasks.
  private func showMixing(_ mixtures: [AdapterTraining.Mixed]) {
    let tasks = (mixtures.first?.scores ?? []).map(\.task)
    var table = Table(headings: ["WEIGHTS", "SHARE"] + tasks.map { "ACC ON \($0)" })
    for mixture in mixtures {
      table.add(
        [mixture.weights, fixed(Double(mixture.share), 2)] + mixture.scores.map { fixed($0.scores.acc, 4) })
    }
    console.print("")
    print(table, empty: "")
    console.note("share is that of the second; parameters averages A and B, products what they add")
  }

  private func number(_ values: Double?...) -> [String] { values.map { $0.map { fixed($0, 4) } ?? "-" } }
}
