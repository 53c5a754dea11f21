import ModelSamples
import Multipliers
import Results
import Settings
import StrictJSON
import SystemSupport
import Testing
import WorkerProtocol

/// Sweeps of the worker: every cell is searched, and the eval file stays closed until all are.
@Suite struct SweepJobTests {
  private func spec(
    _ model: SyntheticModel, shots: [Int] = [2, 4], budgets: [SweepBudget] = [.iterations(2)],
    seeds: [UInt64] = [5, 6], eval: Int = 12
  ) throws -> SweepSpec {
    var search = SearchSettings()
    search.population = 6
    search.elites = 3
    search.granularities = [.vector]
    return SweepSpec(
      model: model.reference, task: try model.task(shots: 6, eval: eval),
      experts: [try model.expert("one", seed: 11), try model.expert("two", seed: 12)], search: search, shots: shots,
      budgets: budgets, seeds: seeds)
  }

  private func timeless(_ ending: TestWorker.Ending) throws -> JSONObject {
    var result = try ending.timeless()
    result["cells"] = .array(
      (result["cells"]?.arrayValue ?? []).map { cell in
        var cell = cell.objectValue ?? [:]
        for key in ["seconds", "seconds_per_prompt", "estimated_seconds_saved"] { cell[key] = nil }
        return .object(cell)
      })
    return result
  }

  private func evaluated(_ journal: [JSONValue]) -> [String] {
    journal.filter { $0["entry"] == "eval" }.compactMap { $0["of"]?.stringValue }
  }

  @Test func everyCellSaysWhatTheFoldsAndTheEvalRowsSaid() throws {
    try withTemporaryDirectory { directory in
      let run = try TestWorker().run(try spec(SyntheticModel(in: directory)))
      let result = try timeless(run.ending)
      let cells = try #require(result["cells"]?.arrayValue)
      #expect(cells.compactMap { $0["shots"]?.intValue } == [2, 2, 4, 4])
      #expect(cells.compactMap { $0["seed"]?.intValue } == [5, 6, 5, 6])
      #expect(result["n"] == 12 && result["base"]?["n"] == 12 && result["base"]?["versus_base"] == nil)
      for cell in cells {
        #expect(cell["shot_ids"]?.arrayValue?.count == cell["shots"]?.intValue)
        #expect(cell["scores"]?["fit"]?.doubleValue != nil && cell["scores"]?["held_out"]?.doubleValue != nil)
        let paired = cell["eval"]?["versus_base"]
        let difference = (cell["eval"]?["value"]?.doubleValue ?? 0) - (result["base"]?["value"]?.doubleValue ?? 0)
        #expect(
          (paired?["wins"]?.intValue ?? 0) - (paired?["losses"]?.intValue ?? 0) == Int((difference * 12).rounded()))
        #expect(cell["prompts"]?.intValue ?? 0 > 0 && cell["budget"]?["iterations"] == 2)
        #expect(cell["served_eval"]?["versus_best_expert"] != nil && cell["served"]?.stringValue != nil)
      }
      // A seed's fewer shots are among its more.
      let ids = cells.map { Set($0["shot_ids"]?.arrayValue?.compactMap(\.stringValue) ?? []) }
      #expect(ids[0].isSubset(of: ids[2]) && ids[1].isSubset(of: ids[3]))
      // No mixture is scored twice on the eval rows, whichever cells found it.
      let keys = evaluated(run.journal)
      #expect(Set(keys).count == keys.count && keys.contains("base") && keys.count <= 4 + 3)
    }
  }

  @Test func theEvalFileIsOpenedWhenTheLastSearchHasEnded() throws {
    try withTemporaryDirectory { directory in
      let spec = try spec(try SyntheticModel(in: directory))
      let worker = try TestWorker()
      let sound = try worker.run(spec)
      try FileSystem.writeAtomically(spec.task.path + "/eval.jsonl", Array("not JSON at all\n".utf8))
      let broken = try worker.run(spec)
      let fault = try broken.ending.fault()
      #expect(fault.kind == .taskUnreadable && fault.message.contains("eval.jsonl"))
      func searched(_ journal: [JSONValue]) -> [JSONValue] {
        WorkerServiceTests.scores(journal.filter { $0["entry"] == "search" }.compactMap { $0["of"] })
      }
      #expect(searched(broken.journal) == searched(sound.journal) && searched(sound.journal).count > 20)
      #expect(evaluated(broken.journal).isEmpty && !evaluated(sound.journal).isEmpty)
    }
  }

  @Test func aSweepThatWasCutGoesOnWithinItsSearchToTheSameEnd() throws {
    try withTemporaryDirectory { directory in
      let spec = try spec(try SyntheticModel(in: directory), budgets: [.iterations(1), .prompts(30)], seeds: [5])
      let whole = try TestWorker().run(spec)
      let result = try timeless(whole.ending)
      #expect(
        result["cells"]?.arrayValue?.map { $0["budget"] ?? .null } == [
          ["iterations": 1], ["prompts": 30], ["iterations": 1], ["prompts": 30],
        ])
      let count = whole.journal.count
      for kept in [1, count / 4, count / 2, count - 1, count] {
        let resumed = try TestWorker(threads: 1).run(spec, journal: Array(whole.journal.prefix(kept)))
        #expect(try timeless(resumed.ending) == result, "after \(kept) of \(count) entries")
        #expect(resumed.journal.count == count, "after \(kept) of \(count) entries")
      }
    }
  }

  @Test func aSweepIsCancelledAtAGeneration() throws {
    try withTemporaryDirectory { directory in
      let worker = try TestWorker()
      let spec = try spec(try SyntheticModel(in: directory), budgets: [.iterations(100)])
      let cut = try worker.run(spec) { _ in try worker.send(.cancelJob(1)) }
      #expect(cut.ending == .cancelled)
    }
  }

  @Test func whatCannotBeSweptIsSaidBeforeAnythingRuns() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      func fault(_ spec: SweepSpec) throws -> (WorkerFault, journal: Int)? {
        let run = try TestWorker().run(spec)
        guard case .failed(let fault) = run.ending else { return nil }
        return (fault, run.journal.count)
      }
      let many = try #require(try fault(spec(model, shots: [2, 7])))
      #expect(many.0.message == "7 shots were asked for, and the few-shot file of 'letters' has 6 rows")
      #expect(many.0.kind == .badRequest && many.journal == 0)
      #expect(try fault(spec(model, budgets: []))?.journal == 0)
      let budget = try #require(try fault(spec(model, budgets: [.iterations(0)])))
      #expect(budget.0.kind == .badRequest && budget.journal == 0)
    }
  }
}
