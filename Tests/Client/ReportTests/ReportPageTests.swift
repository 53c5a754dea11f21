import RPCProtocol
import Records
import Report
import StrictJSON
import TestSupport
import Testing

@Suite struct ReportPageTests {
  /// The page of what a daemon answers; a `bare` one keeps no search, has made no check and has served nothing.
  private func report(
    _ mixture: JSONValue = CannedReport.mixture(), search: JSONValue = CannedReport.job, bare: Bool = false
  ) throws -> String {
    ReportPage(data: try data(mixture, search: search, bare: bare), time: "2026-01-31T14:00:00.000Z", version: "0.0.0")
      .html
  }

  private func data(_ mixture: JSONValue, search: JSONValue = CannedReport.job, bare: Bool = false) throws -> ReportData
  {
    func read<Value: Decodable>(_ json: JSONValue?) throws -> Value {
      try RecordReader(unknownMembers: .ignored).read(json ?? .null)
    }
    let dispatch = CannedReport.dispatch
    let task = TaskRow(
      name: "arc", revision: 1, rows: 10, evalRows: bare ? 0 : 400, scoring: .choice, metric: "acc",
      models: ["smollm2"],
      state: .ready, stale: false)
    let checks: CheckList.Result = try read(bare ? ["checks": [], "pending": []] : CannedReport.checks)
    return ReportData(
      mixture: try read(mixture), task: task,
      search: bare ? nil : try read(search["result"]),
      log: try read(bare ? ["task": "arc", "revisions": [], "changes": []] : CannedReport.log),
      checks: checks.checks,
      dispatch: bare ? nil : .init(job: try read(dispatch), result: try read(dispatch["result"])))
  }

  @Test(arguments: ["vector", "layer", "matrix"], [true, false])
  func aReportIsWellFormedAndLoadsNothing(granularity: String, bare: Bool) throws {
    let html = try report(CannedReport.mixture(granularity: granularity, eval: !bare), bare: bare)
    let read = MarkupReader(html)
    #expect(read.problem == nil, "\(read.problem ?? "")")
    for reference in ["http", "src=", "url(", "<script", "<link", "@import", "href="] {
      #expect(!html.contains(reference), "\(reference)")
    }
    #expect(html.hasPrefix("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"))
    #expect(read.count("h1") == 1 && read.count("h2") == 10)
  }

  @Test func everyPartIsThereWithItsNumbers() throws {
    let html = try report()
    let read = MarkupReader(html)
    for text in [
      "Stale: &#39;science&#39; is now at version 3 (was 2)", "60 coefficients were fitted to 10 shots",
      "2026-01-31 12:00:00 UTC", "mixture: it is better held out", "0.600 to 0.700, n 400", "+60 -20, p &lt; 0.001",
      "acc on 400 eval rows with 95 % intervals", "Won: 1", "Lost: 1", "3 rows differ; the first 2 are shown",
      "Honey &amp; wax", "row q7, line 7", "science@2", "0.0001", "+0.1300", "A: prompt", "B: classifier",
      "13 of 20 prompts right, 65.0 % (95 %: 43.0 to 82.0); 30.0 % were given to other", "served, generation 9",
      "seen before: 100", "evaluations made", "spread of α", "ordered, passes", "transfer to sibling",
      "0.4800 to 0.5200",
      "science@2 on sibling: 0.100 (0.020 to 0.180)",
    ] {
      #expect(read.text.contains(text), "\(text)")
    }
    #expect(!html.contains("stranger"), "a check of another expert")
    // Every chart is there for wide windows and for narrow ones.
    #expect(read.count("svg", "width=\"720\"") == read.count("svg", "width=\"340\"") && read.count("svg") >= 16)
    #expect(read.count("tr", "class=\"served\"") == 2, "what is served, and the chosen configuration")
  }

  @Test func whatIsMissingIsSaid() throws {
    let html = try report(CannedReport.mixture(eval: false), bare: true)
    for text in [
      "No eval file: put eval.jsonl", "No eval file, so no items", "The history of this search is not recorded",
      "lists no configuration", "No check of these experts was made", "Dispatch was not evaluated",
      "Nothing was served yet",
    ] {
      #expect(html.contains(text), "\(text)")
    }
  }

  @Test func matricesOfALayerStandBelowEachOther() throws {
    let read = MarkupReader(try report(CannedReport.mixture(granularity: "matrix")))
    #expect(read.text.contains("q, 1: 1.0000") && read.text.contains("up, 0: 0.5000"))
    let layers = MarkupReader(try report(CannedReport.mixture(granularity: "layer")))
    #expect(layers.text.contains("social, 0: -0.2500") && layers.count("rect", "class=\"cell below\"") > 0)
  }

  @Test func whatWasFoundIsShownBesideABaselineThatIsServed() throws {
    let read = MarkupReader(try report(CannedReport.mixture(served: "base")))
    #expect(read.text.contains("What the search found and is not served"))
  }

  @Test func aSearchWithoutSignalIsNamedOnThePageAndInTheIndex() throws {
    var mixture = try #require(CannedReport.mixture(served: "base").objectValue)
    mixture["no_signal"] = true
    mixture["served_because"] = "no signal: all have score 0.0, so the base is served"
    mixture["warnings"] = ["no signal: no expert and no mixture does better"]
    let page = MarkupReader(try report(.object(mixture))).text
    #expect(page.contains("base: no signal: all have score 0.0"))
    #expect(page.contains("no signal: no expert and no mixture does better"))
    var index = ReportIndex(time: "2026-01-31T14:00:00.000Z")
    index.add(try data(.object(mixture)), file: "arc.html")
    #expect(MarkupReader(index.html).text.contains("base (no signal)"))
  }

  @Test func ofManyItemsTheFirstAreOpenAndTheOthersUnfold() throws {
    var job = CannedReport.job.objectValue ?? [:]
    let item = try #require(job["result"]?["eval_items"]?["items"]?.arrayValue?.first)
    var result = try #require(job["result"]?.objectValue)
    result["eval_items"] = [
      "best_expert": "science", "differing": 11, "items": .array([JSONValue](repeating: item, count: 11)),
    ]
    job["result"] = .object(result)
    let html = try report(search: .object(job))
    let read = MarkupReader(html)
    #expect(read.problem == nil && read.count("article") == 11 && read.count("details") == 1)
    #expect(read.text.contains("Won: 11") && read.text.contains("3 more"))
    #expect(html.split(separator: "<details>")[0].split(separator: "<article").count == 9, "eight before the fold")
  }

  @Test func namesAndAnswersOfOthersAreText() throws {
    let html = try report()
    #expect(html.contains("What do bees make? &lt;script&gt;alert(1)&lt;/script&gt;"))
    #expect(!html.contains(CannedReport.hostile))
  }
}
