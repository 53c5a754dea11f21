import ModelSamples
import Multipliers
import StrictJSON
import SystemSupport
import Testing
import WorkerProtocol

/// Comparisons and evaluations row by row of the worker, on a model that runs in no time.
@Suite struct CompareJobTests {
  private struct Fixture {
    var model: SyntheticModel
    var one: Weights
    var two: Weights
    var dispatch: DispatchSpec

    init(in directory: String) throws {
      model = try SyntheticModel(in: directory)
      one = .expert(try model.expert("one", seed: 11), rescale: .none)
      two = .expert(try model.expert("two", seed: 12), rescale: .none)
      // Short, since the model reads bytes and its context holds 256.
      dispatch = DispatchSpec(
        labels: [], template: "{labels}: {prompt}", templateSource: "test", reading: .score)
      // Of one letter, and many: a model that knows nothing chooses among them by little.
      dispatch.labels = "abcdefghijkl".enumerated().map {
        .init(label: String($1), weights: $0.isMultiple(of: 2) ? one : two)
      }
    }

    /// Whose column answers a row of this label.
    func owner(_ label: String) -> String {
      guard let index = dispatch.labels.firstIndex(where: { $0.label == label }) else { return "base" }
      return index.isMultiple(of: 2) ? "one@1" : "two@1"
    }

    /// One letter against others: a model that knows nothing decides it by little, and every vector otherwise.
    private static func letters(_ count: Int) -> [UInt8] {
      let letters = "abcdefghijklmnopqrstuvwxyz".map(String.init)
      return (0..<count).flatMap { index -> [UInt8] in
        let choices = (0..<6).map { letters[(index * 7 + $0 * 5) % 26] }
        return
          ([
            "question": .string("letter \(index)?" + letters[index * 11 % 26]), "choices": JSONValue(choices),
            "answer": JSONValue(index % 6),
          ]
          as JSONValue).workerLine
      }
    }

    func spec(eval: Int = 70) throws -> CompareSpec {
      let both = Weights.mixture(
        .init(
          experts: [try model.expert("one", seed: 11), try model.expert("two", seed: 12)], granularity: .vector,
          mix: .delta, rescale: .none, alpha: [[0.5], [0.25]]))
      let task = try model.task(shots: 4, eval: eval)
      if eval > 0 { try FileSystem.writeAtomically(task.path + "/eval.jsonl", Self.letters(eval)) }
      return CompareSpec(
        model: model.reference, task: task,
        columns: [
          .init(name: "base", strategy: .base, weights: .fixed(.base)),
          .init(name: "one@1", strategy: .expert, weights: .fixed(one)),
          .init(name: "two@1", strategy: .expert, weights: .fixed(two)),
          .init(name: "prompt", strategy: .prompt, weights: .dispatched(dispatch)),
          .init(name: "mixture", strategy: .mixture, weights: .fixed(both), note: "generation 3"),
        ], skipped: [.init(name: "classifier", reason: "no dispatcher is active")], split: .eval)
    }
  }

  private func timeless(_ ending: TestWorker.Ending) throws -> JSONObject {
    var result = try ending.timeless()
    result["columns"] = .array(
      (result["columns"]?.arrayValue ?? []).map { column in
        var column = column.objectValue ?? [:]
        column["seconds"] = nil
        return .object(column)
      })
    return result
  }

  private func right(_ items: [JSONValue], _ column: String) -> [Bool] {
    items.compactMap { $0["columns"]?[column]?["right"]?.boolValue }
  }

  @Test func everyColumnSpeaksOfTheSameRowsAndItsTestsCountThem() throws {
    try withTemporaryDirectory { directory in
      let spec = try Fixture(in: directory).spec()
      let result = try timeless(try TestWorker().run(spec).ending)
      let items = try #require(result["items"]?.arrayValue)
      let columns = try #require(result["columns"]?.arrayValue)
      #expect(result["n"] == 70 && items.count == 70 && result["metric"] == "acc" && result["split"] == "eval")
      #expect(columns.compactMap { $0["column"]?.stringValue } == spec.columns.map(\.name))
      #expect(columns.compactMap { $0["strategy"]?.stringValue } == ["none", "expert", "expert", "prompt", "mixture"])
      let best = try #require(result["best_expert"]?.stringValue)
      let base = right(items, "base")
      for column in columns {
        let name = column["column"]?.stringValue ?? ""
        let mine = right(items, name)
        #expect(mine.count == 70 && column["correct"]?.intValue == mine.count { $0 })
        let interval = (column["ci95"]?.arrayValue ?? []).compactMap(\.doubleValue)
        let score = column["score"]?.doubleValue ?? -1
        #expect(interval.count == 2 && interval[0] <= score && score <= interval[1], "\(name)")
        #expect(column["acc"] == column["score"] && column["acc_norm"]?.doubleValue != nil)
        #expect((column["versus_base"] == .null) == (name == "base"))
        #expect((column["versus_best_expert"] == .null) == (name == best))
        guard let paired = column["versus_base"], paired != .null else { continue }
        #expect(paired["wins"]?.intValue == zip(mine, base).count { $0 && !$1 }, "\(name)")
        #expect(paired["losses"]?.intValue == zip(mine, base).count { !$0 && $1 }, "\(name)")
      }
      #expect(Set(["base", "one@1", "two@1"].map { right(items, $0) }).count == 3, "the weights make a difference")
      #expect(result["notes"] == ["mixture: generation 3"])
      #expect(result["skipped"]?.arrayValue?.first?["reason"] == "no dispatcher is active")
      #expect(items[3]["question"] == "letter 3?h" && items[3]["columns"]?["base"]?["answer"]?.stringValue != nil)
    }
  }

  @Test func aSortedRowHasTheAnswerOfItsLabelAndOtherHasTheBases() throws {
    try withTemporaryDirectory { directory in
      let fixture = try Fixture(in: directory)
      let worker = try TestWorker()
      let result = try timeless(try worker.run(fixture.spec()).ending)
      let items = try #require(result["items"]?.arrayValue)
      var counts: [String: Int] = [:]
      for item in items {
        let sorted = item["columns"]?["prompt"]
        let label = try #require(sorted?["label"]?.stringValue)
        counts[label, default: 0] += 1
        let its = item["columns"]?[fixture.owner(label)]
        #expect(sorted?["right"] == its?["right"] && sorted?["answer"] == its?["answer"])
        #expect((1.0 / 13...1).contains(sorted?["label_probability"]?.doubleValue ?? 0))
      }
      #expect(Set(counts.keys.map { fixture.owner($0) }).count > 1, "the rows go to both experts: \(counts)")
      let prompt = try #require(result["columns"]?.arrayValue?.first { $0["column"] == "prompt" })
      let labels = try #require(prompt["labels"]?.arrayValue)
      let names = fixture.dispatch.names
      #expect(labels.compactMap { $0["label"]?.stringValue } == names && names.last == "other")
      #expect(labels.map { $0["n"]?.intValue ?? 0 } == names.map { counts[$0] ?? 0 })
      #expect(labels.prefix(2).map { $0["expert"] ?? .null } == ["one@1", "two@1"] && labels.last?["expert"] == .null)

      // The same by itself: what is scored in groups of a label is right where it was right before.
      let alone = EvaluateSpec(
        model: fixture.model.reference, task: try fixture.spec().task, weights: .dispatched(fixture.dispatch),
        split: .eval
      )
      let single = try timeless(try worker.run(alone).ending)
      #expect(single["labels"] == prompt["labels"] && single["n"] == 70)
      #expect(single["acc"] == prompt["acc"])
      #expect(single["items"]?.arrayValue?.map { $0["label"] } == items.map { $0["columns"]?["prompt"]?["label"] })
    }
  }

  @Test func otherIsTheBaseAndNoExpert() throws {
    try withTemporaryDirectory { directory in
      let fixture = try Fixture(in: directory)
      var spec = try fixture.spec(eval: 33)
      // So long that the model would rather say "other".
      var dispatch = fixture.dispatch
      dispatch.labels = [.init(label: String(repeating: "x", count: 60), weights: fixture.one)]
      spec.columns[3].weights = .dispatched(dispatch)
      let result = try timeless(try TestWorker().run(spec).ending)
      let items = try #require(result["items"]?.arrayValue)
      #expect(items.allSatisfy { $0["columns"]?["prompt"]?["label"] == "other" })
      #expect(right(items, "prompt") == right(items, "base") && right(items, "prompt") != right(items, "one@1"))
      let prompt = result["columns"]?.arrayValue?.first { $0["column"] == "prompt" }
      #expect(prompt?["versus_base"] == ["wins": 0, "losses": 0, "p": 1.0])
    }
  }

  @Test func aComparisonThatWasCutGoesOnAfterItsLastBatchToTheSameEnd() throws {
    try withTemporaryDirectory { directory in
      let fixture = try Fixture(in: directory)
      let spec = try fixture.spec()
      let whole = try TestWorker().run(spec)
      let result = try timeless(whole.ending)
      // Four columns of 70 rows in batches of 32, and decisions in batches of 16; A scores nothing anew.
      #expect(whole.journal.count { $0["entry"] == "rows" } == 12)
      #expect(whole.journal.count { $0["entry"] == "decisions" } == 5)
      for kept in [5, 11, whole.journal.count] {
        let resumed = try TestWorker(threads: 1).run(spec, journal: Array(whole.journal.prefix(kept)))
        #expect(try timeless(resumed.ending) == result, "after \(kept) entries")
        #expect(resumed.journal.count == whole.journal.count, "after \(kept) entries")
      }
      let evaluation = EvaluateSpec(
        model: spec.model, task: spec.task, weights: .dispatched(fixture.dispatch), split: .eval)
      let alone = try TestWorker().run(evaluation)
      let cut = try TestWorker().run(evaluation, journal: Array(alone.journal.prefix(4)))
      #expect(try timeless(cut.ending) == timeless(alone.ending))
    }
  }

  @Test func aComparisonIsCancelledBetweenItsBatches() throws {
    try withTemporaryDirectory { directory in
      let worker = try TestWorker()
      let cut = try worker.run(Fixture(in: directory).spec(eval: 200)) { _ in
        try worker.send(.cancelJob(1))
      }
      #expect(cut.ending == .cancelled)
    }
  }

  @Test func rowsThatAreGeneratedAreComparedByTheirTexts() throws {
    try withTemporaryDirectory { directory in
      let fixture = try Fixture(in: directory)
      var spec = try fixture.spec()
      spec.task = try fixture.model.generatedTask(shots: 3, tokens: 3)
      spec.split = .fewshot
      let whole = try TestWorker().run(spec)
      let result = try timeless(whole.ending)
      let columns = try #require(result["columns"]?.arrayValue)
      #expect(columns.allSatisfy { $0["exact_match"]?.doubleValue != nil && $0["acc"] == nil })
      #expect(result["notes"]?.arrayValue?.last?.stringValue?.contains("may have been fitted") == true)
      let resumed = try TestWorker().run(spec, journal: Array(whole.journal.prefix(2)))
      #expect(try timeless(resumed.ending) == result)
    }
  }

  @Test func withoutRowsOrWithADispatchThatDoesNotFitItIsAClearError() throws {
    try withTemporaryDirectory { directory in
      let fixture = try Fixture(in: directory)
      var spec = try fixture.spec(eval: 0)
      let none = try TestWorker().run(spec).ending.fault()
      #expect(none.kind == .taskUnreadable && none.message.contains("no eval rows"))
      var dispatch = fixture.dispatch
      dispatch.template = "{labels} {prompt} " + String(repeating: "long ", count: 60)
      spec = try fixture.spec(eval: 3)
      spec.columns[3].weights = .dispatched(dispatch)
      let long = try TestWorker().run(spec).ending.fault()
      #expect(long.kind == .promptTooLong && long.message.hasPrefix("line 1: "))
    }
  }
}
