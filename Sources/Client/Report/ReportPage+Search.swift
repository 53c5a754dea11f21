import ResultText
import Results
import Search

extension ReportPage {
  private var chosen: ConfigurationSummary? { data.search?.search.configurations.first { $0.isChosen == true } }

  // MARK: - α

  var alpha: String {
    let experts = mixture.experts.map(\.name)
    let values = experts.map { mixture.alpha[$0]?.values ?? [] }
    var content = coefficients(experts, values, mixture.units ?? [], "Coefficients that are served")
    if served != "mixture", let chosen {
      content += heading("What the search found and is not served")
      // Units are named only for what is served; those of the model's layers are counted.
      content += coefficients(
        experts, chosen.alpha, chosen.granularity == mixture.granularity ? mixture.units ?? [] : [],
        "Coefficients of the search's own choice")
    }
    return section(
      "Coefficients α",
      mixture.mix == .delta
        ? "How much of each expert's change is added to the base: 0 is the base, 1 the expert alone."
        : "The share of each expert in the sum of their vectors.", content)
  }

  private func coefficients(
    _ experts: [String], _ values: [[Float]], _ units: [String], _ title: String
  ) -> String {
    let values = values.map { $0.map { Optional(Double($0)) } }
    guard let count = values.first?.count, count > 0, values.count == experts.count,
      values.allSatisfy({ $0.count == count })
    else {
      return missing("No coefficients: the base is served.")
    }
    if count == 1 {
      return figure(
        BarChart(title: title, bars: zip(experts, values).map { ($0, $1[0] ?? .nan) }, full: 1),
        "\(title), one an expert.")
    }
    let grid = UnitGrid(units, count: count)
    let full = values.joined().compactMap { $0.map(abs) }.max()
    func map(_ title: String, _ rows: [(name: String, values: [Double?])]) -> HeatMap {
      HeatMap(
        title: title, rows: rows.map(\.name), columns: grid.columns, columnLabel: grid.columnLabel,
        values: rows.map(\.values), full: full)
    }
    func line(_ row: UnitGrid.Row, of values: [Double?]) -> [Double?] { row.units.map { $0.flatMap { values[$0] } } }
    guard grid.rows.count > 1 else {
      let rows = zip(experts, values).map { (name: $0, values: line(grid.rows[0], of: $1)) }
      return figure(map(title, rows), "\(title): \(experts.count) × \(count) of them.")
    }
    return zip(experts, values).map { expert, values in
      figure(
        map("\(title): \(expert)", grid.rows.map { ($0.name, line($0, of: values)) }),
        "\(title): the \(count) of \(expert).")
    }.joined()
  }

  // MARK: - The history of the search

  var convergence: String {
    let search = mixture.search
    let what =
      "\(chosen?.method ?? search.method) for \(search.objective): \(search.generations) generations, ended because: "
      + "\(search.stopReason.replacing("_", with: " ")); seed \(search.seed), population \(search.population), "
      + "\(search.shots) shots."
    guard let history = chosen?.history, !history.isEmpty else {
      return section(
        "Convergence", what, missing("The history of this search is not recorded; the next search will record it."))
    }
    let isByLikelihood = search.objective == Objective.loglik.rawValue
    let base = mixture.scores.base
    func series(_ name: String, _ value: (GenerationSummary) -> Double?) -> LineChart.Series? {
      let points = history.compactMap { step in
        value(step).flatMap { $0.isFinite ? LineChart.Point(x: Double(1 + step.generation), y: $0) : nil }
      }
      return points.isEmpty ? nil : LineChart.Series(name, points)
    }
    func chart(_ title: String, _ lines: [LineChart.Series?], _ reference: Double?) -> LineChart {
      LineChart(
        title: title, xLabel: "generation", yLabel: title, series: lines.compactMap(\.self),
        references: reference.map { [("base", $0)] } ?? [], isCounted: true)
    }
    let mean = series("mean of the elite", \.mean)
    var content = figure(
      chart(
        metric,
        [
          series(isByLikelihood ? "of the best by log-likelihood" : "best so far", \.best),
          isByLikelihood ? nil : mean,
        ], base.fit),
      "\(metric) on the few-shot rows, generation by generation.")
    content += figure(
      chart(
        "log-likelihood", [series("best so far", \.bestLogLikelihood), isByLikelihood ? mean : nil],
        base.fitLogLikelihood.isFinite ? base.fitLogLikelihood : nil),
      "Mean log-likelihood of the right answers: "
        + (isByLikelihood ? "what the search maximises." : "it decides where \(metric) is tied."))
    if let spread = series("spread of α", \.spread) {
      content += figure(
        chart("spread of α", [spread], nil),
        "The standard deviation that coefficients are drawn with, their mean. Near its floor the search has converged.")
    }
    return section("Convergence", what, content)
  }

  var configurations: String {
    let lines = (data.search ?? mixture).search.configurations
    let what =
      "Each configuration was searched on the folds and on all shots; the held-out score chose one, never the fit. "
      + "Prompts: evaluations that were made; then those that were spared."
    guard !lines.isEmpty else {
      return section("Configurations", what, missing("The record of the search lists no configuration."))
    }
    var table = HTMLTable(SearchTable.headings.map { ($0.0.capitalizedFirst, $0.1) })
    for line in lines { table.add(SearchTable.cells(line), isEmphasised: line.isChosen == true) }
    return section("Configurations", what, comparison(lines) + table.html)
  }

  /// By the evaluations that were made: what a method costs is what tells methods apart.
  private func comparison(_ lines: [ConfigurationSummary]) -> String {
    let series = lines.compactMap { line -> LineChart.Series? in
      let points = (line.history ?? []).filter(\.bestLogLikelihood.isFinite).map {
        LineChart.Point(x: Double($0.prompts), y: $0.bestLogLikelihood)
      }
      return points.isEmpty ? nil : LineChart.Series("\(line.method) \(line.granularity.rawValue)", points)
    }
    guard series.count > 1 else { return "" }
    return figure(
      LineChart(
        title: "log-likelihood of the best so far", xLabel: "evaluations made",
        yLabel: "log-likelihood of the best so far", series: series),
      "How far each configuration was after that many evaluations (a row under one candidate; a gradient counts three; "
        + "a score that an earlier search had found is free).")
  }

  // MARK: - Costs

  var costs: String {
    let (search, costs) = (mixture.search, mixture.search.costs)
    let bars: [(String, Double)] = [
      ("made", costs.prompts), ("seen before", costs.savedByCache), ("could not win", costs.savedByPruning),
      ("converged", costs.savedByConvergence),
    ].map { ($0, Double($1)) }
    var times = HTMLTable(("Phase", .left), ("Seconds", .right))
    for phase in search.seconds.entries { times.add([phase.name, fixed(phase.value, 1)]) }
    let estimate = costs.estimatedSecondsSaved.map { saved in
      paragraph("Time saved, estimated from the mean cost of an evaluation: \(savedText(saved)).", "quiet")
    }
    return section(
      "Costs",
      "Evaluations of all searches of all configurations, and of the baselines: one is one row under one candidate.",
      figure(
        BarChart(title: "Evaluations", bars: bars, decimals: 0),
        "Evaluations made, and those that were spared: of candidates seen before, of candidates that could no longer win, and "
          + "of the generations that were left when the search had converged.")
        + (estimate ?? "") + heading("Seconds by phase") + times.html)
  }
}

/// Units of a mixture in rows and columns: layers side by side, and the matrices of a layer below each other.
struct UnitGrid {
  struct Row {
    var name: String
    /// Numbers of units, a column each; nil where a layer has no such matrix.
    var units: [Int?]
  }

  private(set) var rows: [Row] = []
  private(set) var columns: [String] = []
  private(set) var columnLabel = "layer"

  /// Names are `model.layers.3.mlp.up_proj.weight` for matrices, and hold a layer's number for layers. What does not
  /// is shown in one row, by number.
  init(_ names: [String], count: Int) {
    let places = names.map { name -> (layer: Int, matrix: String)? in
      let parts = name.split(whereSeparator: { $0 == "." || $0 == " " })
      guard let index = parts.firstIndex(where: { Int($0) != nil }), let layer = Int(parts[index]) else { return nil }
      let rest = parts[(index + 1)...].filter { $0 != "weight" }
      return (layer, (rest.last.map(String.init) ?? "").replacing("_proj", with: ""))
    }
    guard places.count == count, places.allSatisfy({ $0 != nil }) else {
      rows = [Row(name: "", units: (0..<count).map { $0 })]
      columns = (0..<count).map(String.init)
      columnLabel = "unit"
      return
    }
    let known = places.compactMap(\.self)
    let layers = Set(known.map(\.layer)).sorted()
    columns = layers.map(String.init)
    for (_, matrix) in known where !rows.contains(where: { $0.name == matrix }) {
      rows.append(
        Row(name: matrix, units: layers.map { layer in known.firstIndex { $0.layer == layer && $0.matrix == matrix } }))
    }
  }
}

extension String {
  fileprivate var capitalizedFirst: String { prefix(1).uppercased() + dropFirst().lowercased() }
}
