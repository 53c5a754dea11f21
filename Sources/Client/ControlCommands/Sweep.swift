import Report
import ResultText
import StrictJSON
import SystemSupport

extension Invocation {
  func sweep() throws(ControlError) {
    let params = try parameters(for: "sweep.run")
    let file = command.value("--output")
    if let file {
      guard command.waits else { throw .usage("-o needs the result, which --no-wait does not wait for", hint: nil) }
      try requireDirectory(of: file)
    }
    let started = try call("sweep.run", params)
    guard let job = try jobToWaitFor(started) else {
      return answer(started) { console.print("job \(started["job"].cell)") }
    }
    let result = job["result"] ?? job
    answer(result) { showSweep(result) }
    guard let file else { return }
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

  private func showSweep(_ result: JSONValue) {
    let cells = result["cells"]?.arrayValue ?? []
    let base = result["base"]
    console.print(
      "task \(escaped(result["task"].cell)): \(result["n"].cell) eval rows, metric \(escaped(result["metric"].cell)), search "
        + "\(escaped(result["method"].cell)), objective \(escaped(result["objective"].cell))")
    console.print("base: \(base?["value"].cell ?? "-") (95 % \(interval95(base?["ci95"])))")
    for (name, score) in result["best_experts"]?.objectValue?.members ?? [] {
      console.print(
        "best expert \(escaped(name)): \(score["value"].cell) (95 % \(interval95(score["ci95"]))), against base "
          + paired(score["versus_base"]))
    }
    console.print("")
    var headings = [
      "SHOTS", "BUDGET", "SEED", "FIT", "HELD OUT", "EVAL", "95 %", "AGAINST BASE", "AGAINST BEST EXPERT", "SERVED",
      "PROMPTS", "SECONDS",
    ]
    if console.out.isTerminal { headings.append("EVAL") }
    var table = Table(headings: headings, keys: 3)
    let ruler = IntervalRuler(cells.map { $0["eval"] } + [base], mark: base?["value"]?.doubleValue)
    for cell in cells {
      var row = [
        cell["shots"].cell, budgetText(cell["budget"]), cell["seed"].cell,
        cell["scores"]?["fit"].cell ?? "-", cell["scores"]?["held_out"].cell ?? "-",
        (cell["eval"]?["value"]).cell, interval95(cell["eval"]?["ci95"]),
        paired(cell["eval"]?["versus_base"]), paired(cell["eval"]?["versus_best_expert"]),
        cell["served"].cell, cell["prompts"].cell, fixed(cell["seconds"]?.doubleValue ?? 0, 1),
      ]
      if console.out.isTerminal { row.append(ruler?.strip(cell["eval"]) ?? "") }
      table.add(row)
    }
    print(table, empty: "no searches")
    if let ruler, console.out.isTerminal {
      console.note("the last column spans \(fixed(ruler.low, 3)) to \(fixed(ruler.high, 3)); │ is the base")
    }
    let warned = cells.count { $0["warnings"]?.arrayValue?.isEmpty == false }
    if warned > 0 { console.note("\(warned) searches have warnings; --json has them") }
  }
}

/// Scores with their intervals as strips of one scale, for a terminal.
struct IntervalRuler {
  let low: Double
  let high: Double
  private let mark: Double?
  private static let width = 16

  /// Nil where no score has an interval.
  init?(_ scores: [JSONValue?], mark: Double?) {
    let ends = scores.flatMap { ($0?["ci95"]?.arrayValue ?? []).compactMap(\.doubleValue) }
    guard let low = ends.min(), let high = ends.max(), low < high else { return nil }
    (self.low, self.high, self.mark) = (low, high, mark)
  }

  private func cell(_ value: Double) -> Int {
    min(Self.width - 1, max(0, Int((value - low) / (high - low) * Double(Self.width))))
  }

  /// `  ──●──│  `: the interval, the score, and the mark.
  func strip(_ score: JSONValue?) -> String {
    let ends = (score?["ci95"]?.arrayValue ?? []).compactMap(\.doubleValue)
    guard ends.count == 2, let value = score?["value"]?.doubleValue else { return "" }
    var cells = (0..<Self.width).map { (cell(ends[0])...max(cell(ends[0]), cell(ends[1]))).contains($0) ? "─" : " " }
    if let mark { cells[cell(mark)] = "│" }
    cells[cell(value)] = "●"
    return cells.joined()
  }
}
