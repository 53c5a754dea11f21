import ModelSamples
import Results
import Settings
import StrictJSON
import SystemSupport
import Testing
import WorkerProtocol

@Suite struct CheckJobTests {
  private func spec(
    _ model: SyntheticModel, _ kind: CheckKind = .shuffle, rescale: String = "none", eval: Int = 40, rows: Int? = nil
  ) throws -> CheckSpec {
    CheckSpec(
      kind: kind, model: model.reference, task: try model.task(shots: 4, eval: eval),
      expert: try model.expert("one", seed: 11, rescale: rescale), shuffles: 3, seed: 7, rows: rows)
  }

  /// Without what time decides.
  private func result(_ ending: TestWorker.Ending) throws -> CheckResult {
    let json = try ending.result()
    var result = try CheckResult(decoding: json)
    #expect(result.json == json)
    result.seconds = 0
    return result
  }

  @Test func aCheckScoresTheBaseTheExpertAndItsShufflesRowByRow() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      let spec = try spec(model, rows: 33)
      let result = try result(try worker.run(spec).ending)
      #expect(result.items.map(\.name) == ["base", "expert", "shuffle 1", "shuffle 2", "shuffle 3"])
      #expect(result.items.allSatisfy { $0.right.count == 2 && $0.right.allSatisfy { $0.utf8.count == 33 } })
      #expect(result.outcomes.map(\.metric) == ["acc", "acc_norm"] && result.count == 33 && result.split == .eval)
      #expect(result.rowIDs.count == 33 && result.kind == .shuffle)
      // Distinct permutations, and none of them the expert.
      #expect(Set(result.items.dropFirst().map(\.right)).count > 1)

      // The materialised items are those of an evaluation, factored; the same for the base.
      for (number, weights) in [Weights.base, .expert(spec.expert, rescale: .none)].enumerated() {
        let evaluation = EvaluateSpec(model: spec.model, task: spec.task, weights: .fixed(weights), limit: 33)
        let json = try worker.run(evaluation, job: 2).ending.result()
        let right = json["items"]?.arrayValue?.map { $0["acc"] == true ? "1" : "0" }.joined()
        #expect(result.items[number].right[0] == right)
      }
      let shares = result.items.map { Double($0.right[0].utf8.count { $0 == UInt8(ascii: "1") }) / 33 }
      let scores = result.outcomes[0].scores
      #expect([scores.base, scores.expert] + scores.shuffles == shares)
      let effect = shares[1] - (shares[2] + shares[3] + shares[4]) / 3
      #expect(abs(result.outcomes[0].versusShuffles.effect - effect) < 1e-12)
      #expect(abs(result.outcomes[0].versusBase.effect - (shares[1] - shares[0])) < 1e-12)
    }
  }

  /// Killed after any vector, and another number of threads: the journal decides.
  @Test func anInterruptedCheckEndsAsTheUninterrupted() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let spec = try spec(model, .transfer, rescale: "nuclear")
      let whole = try TestWorker(threads: 2).run(spec)
      let expected = try result(whole.ending)
      #expect(whole.journal.count == 6)
      for kept in [0, 1, 3, 6] {
        let resumed = try TestWorker(threads: 1).run(spec, journal: Array(whole.journal.prefix(kept)))
        #expect(try result(resumed.ending) == expected, "after \(kept) entries")
        #expect(resumed.journal == whole.journal, "after \(kept) entries")
      }
    }
  }

  @Test func aJournalOfOtherInputsIsNotUsed() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      var spec = try spec(model)
      let worker = try TestWorker()
      let first = try worker.run(spec)
      spec.seed = 8
      let other = try result(try worker.run(spec, job: 2).ending)
      #expect(try result(try worker.run(spec, journal: first.journal, job: 3).ending) == other)
    }
  }

  @Test func fewShotRowsAreInconclusive() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let result = try result(try TestWorker().run(try spec(model, eval: 0)).ending)
      #expect(result.split == .fewshot && result.count == 4)
      #expect(result.outcomes.allSatisfy { $0.verdict == .inconclusive } && !result.passes)
    }
  }

  @Test func rowsThatAreGeneratedAreCheckedByExactMatch() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      var spec = try spec(model)
      spec.task = try model.generatedTask(shots: 3, tokens: 4)
      let result = try result(try TestWorker().run(spec).ending)
      #expect(result.outcomes.map(\.metric) == ["exact_match"] && result.count == 3)
    }
  }

  @Test func aCancelledCheckEndsAsCancelled() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      var spec = try spec(model)
      spec.shuffles = 1000
      var isAsked = false
      let ending = try worker.run(spec) { _ in
        if !isAsked { try worker.send(.cancelJob(1)) }
        isAsked = true
      }.ending
      #expect(ending == .cancelled)
    }
  }

  @Test func anExpertOfOtherShapesIsRefused() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      var spec = try spec(model, .transfer)
      spec.expert = try model.expert("short", seed: 3, drop: 1)
      let fault = try TestWorker().run(spec).ending.fault()
      #expect(fault.kind == .expertUnreadable)
    }
  }
}
