import RPCProtocol
import Report
import ResultText
import Results
import SystemSupport

extension Invocation {
  func sweep() throws(ControlError) {
    let params = try parameters(for: SweepRun.self)
    let file = command.value("--output")
    if let file {
      guard command.waits else { throw .usage("-o needs the result, which --no-wait does not wait for", hint: nil) }
      try requireDirectory(of: file)
    }
    let started = try call(SweepRun.self, params)
    let result = try finish(started, job: started.job, SweepResult.self) { showSweep($0) }
    guard let file, let result else { return }
    do throws(SystemCallError) {
      try FileSystem.writeAtomically(file, Array(SweepPlot(result).svg.utf8), mode: 0o644)
    } catch {
      throw .file(error)
    }
    console.note("wrote the plot to \(escaped(file))")
  }

  /// A mistyped path is better known before hours of searching than after.
  private func requireDirectory(of file: String) throws(ControlError) {
    let directory = FileSystem.split(file).directory
    do throws(SystemCallError) {
      if try FileSystem.status(directory, followingLinks: true)?.kind == .directory { return }
    } catch {
      throw .file(error)
    }
    throw .usage("there is no directory '\(escaped(directory))' for \(escaped(file))", hint: nil)
  }

  private func showSweep(_ result: SweepResult) {
    let base = result.base
    console.print(
      "task \(escaped(result.task)): \(result.count) eval rows, metric \(escaped(result.metric)), search "
        + "\(result.method.rawValue), objective \(result.objective.rawValue)")
    console.print("base: \(cell(base.value)) (95 % \(interval95(base.ci95)))")
    for expert in result.bestExperts.entries {
      console.print(
        "best expert \(escaped(expert.name)): \(cell(expert.value.value)) (95 % \(interval95(expert.value.ci95))), "
          + "against base \(paired(expert.value.versusBase))")
    }
    console.print("")
    var headings = [
      "SHOTS", "BUDGET", "SEED", "FIT", "HELD OUT", "EVAL", "95 %", "AGAINST BASE", "AGAINST BEST EXPERT", "SERVED",
      "PROMPTS", "SECONDS",
    ]
    if console.out.isTerminal { headings.append("EVAL") }
    var table = Table(headings: headings, keys: 3)
    let ruler = IntervalRuler(result.cells.map(\.eval) + [base], mark: base.value)
    for one in result.cells {
      let (eval, found) = (one.eval, one.configuration)
      var row = [
        "\(one.shots)", budgetText(one.budget), "\(one.seed)", cell(found.scores.fit), cell(found.scores.heldOut),
        cell(eval.value), interval95(eval.ci95), paired(eval.versusBase), paired(eval.versusBestExpert), one.served,
        "\(found.costs.prompts)", fixed(found.seconds, 1),
      ]
      if console.out.isTerminal { row.append(ruler?.strip(eval) ?? "") }
      table.add(row)
    }
    print(table, empty: "no searches")
    if let ruler, console.out.isTerminal {
      console.note("the last column spans \(fixed(ruler.low, 3)) to \(fixed(ruler.high, 3)); │ is the base")
    }
    let warned = result.cells.count { !$0.warnings.isEmpty }
    if warned > 0 { console.note("\(warned) searches have warnings; --json has them") }
  }
}

/// Scores with their intervals as strips of one scale, for a terminal.
struct IntervalRuler {
  let low: Double
  let high: Double
  private let mark: Double
  private static let width = 16

  /// Nil where no interval has a length.
  init?(_ scores: [EvalSummary], mark: Double) {
    guard let low = scores.map(\.lower).min(), let high = scores.map(\.upper).max(), low < high else { return nil }
    (self.low, self.high, self.mark) = (low, high, mark)
  }

  private func cell(_ value: Double) -> Int {
    min(Self.width - 1, max(0, Int((value - low) / (high - low) * Double(Self.width))))
  }

  /// `  ──●──│  `: the interval, the score, and the mark.
  func strip(_ score: EvalSummary) -> String {
    let (first, last) = (cell(score.lower), cell(score.upper))
    var cells = (0..<Self.width).map { (first...max(first, last)).contains($0) ? "─" : " " }
    cells[cell(mark)] = "│"
    cells[cell(score.value)] = "●"
    return cells.joined()
  }
}
