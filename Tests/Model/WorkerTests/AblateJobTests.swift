import ModelSamples
import Multipliers
import Records
import Results
import Settings
import StrictJSON
import SystemSupport
import Testing
import WorkerProtocol

@testable import Worker

/// What a mixture is without each of its experts, on a model that runs in no time.
@Suite struct AblateJobTests {
  private static func mixture(
    _ model: SyntheticModel, _ experts: [(name: String, seed: UInt64)], mix: MixRule = .delta
  ) throws -> Weights.Mixture {
    Weights.Mixture(
      experts: try experts.map { try model.expert($0.name, seed: $0.seed) }, granularity: .vector, mix: mix,
      rescale: .none, alpha: experts.indices.map { [0.5 + 0.25 * Float($0)] })
  }

  private static func result(_ spec: AblateSpec) throws -> AblateResult {
    try RecordReader(unknownMembers: .ignored).read(try TestWorker().run(spec).ending.result(), as: AblateResult.self)
  }

  @Test func eachColumnIsWhatAnEvaluationOfThoseWeightsFinds() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let mixture = try Self.mixture(model, [("one", 11), ("two", 12), ("three", 13)])
      let task = try model.task(shots: 4, eval: 70)
      let found = try Self.result(
        AblateSpec(model: model.reference, task: task, mixture: mixture, split: .eval, limit: 66))
      #expect(found.count == 66 && found.split == .eval && found.metric == "acc" && found.notes.isEmpty)
      #expect(found.mixture.name == "mixture" && found.base.name == "base" && found.mixture.versusMixture == nil)
      #expect(found.without.map(\.name) == ["one@1", "two@1", "three@1"])

      func right(_ weights: Weights) throws -> [Bool] {
        let spec = EvaluateSpec(
          model: model.reference, task: task, weights: .fixed(weights), split: .eval, limit: 66)
        let items = try TestWorker().run(spec).ending.result()["items"]?.arrayValue ?? []
        return items.map { $0["acc"] == 1 || $0["acc"] == 1.0 || $0["acc"] == true }
      }
      let whole = try right(.mixture(mixture))
      var columns = [(found.mixture, Weights.mixture(mixture)), (found.base, .base)]
      for (k, column) in found.without.enumerated() {
        var left = mixture
        left.alpha[k] = [0]
        columns.append((column, .mixture(left)))
      }
      var differing = 0
      for (column, weights) in columns {
        let mine = try right(weights)
        #expect(mine.count == 66 && column.correct == mine.count { $0 }, "\(column.name)")
        #expect(column.score == Double(column.correct) / 66 && column.ci95.lower <= column.score)
        guard let paired = column.versusMixture else { continue }
        #expect(paired.wins == zip(mine, whole).count { $0 && !$1 }, "\(column.name)")
        #expect(paired.losses == zip(mine, whole).count { !$0 && $1 }, "\(column.name)")
        differing += paired.wins + paired.losses
      }
      #expect(differing > 0, "the experts make a difference")
    }
  }

  @Test func ofAnExpertAloneTheBaseIsLeft() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let alone = try Self.mixture(model, [("one", 11)])
      #expect(AblateJob.without(0, of: alone) == .base)
      let found = try Self.result(
        AblateSpec(model: model.reference, task: try model.task(shots: 6, eval: 0), mixture: alone))
      var base = found.base
      base.name = "one@1"
      #expect(found.without == [base])
      #expect(found.split == .fewshot && found.notes.count == 1)
      #expect(found.notes.first?.contains("may have been fitted") == true, "\(found.notes)")
    }
  }

  @Test func thePartThatLeavesAPlainSumIsTheBases() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      var sum = try Self.mixture(model, [("one", 11), ("two", 12)], mix: .sum)
      sum.alpha = [[0.25], [0.75]]
      let delta = try Self.mixture(model, [("one", 11), ("two", 12)])
      var left = delta
      (left.experts, left.alpha) = ([delta.experts[1]], [[0.75]])
      #expect(AblateJob.without(0, of: sum) == .mixture(left))
      let task = try model.task(shots: 4, eval: 20)
      let found = try Self.result(AblateSpec(model: model.reference, task: task, mixture: sum, split: .eval))
      #expect(found.without.map(\.name) == ["one@1", "two@1"])
      #expect(found.notes.count == 1 && found.notes.first?.contains("parts of 1") == true, "\(found.notes)")
    }
  }

  @Test func aRescaledSumOfNothingHasNoColumn() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let experts = try [("one", 11), ("two", 12)].map {
        try model.expert($0.0, seed: $0.1, rescale: "nuclear")
      }
      let mixture = Weights.Mixture(
        experts: experts, granularity: .layer, mix: .sum, rescale: .nuclear, alpha: [[1, 0.5], [0.5, 0]])
      let task = try model.task(shots: 4, eval: 5)
      let found = try Self.result(AblateSpec(model: model.reference, task: task, mixture: mixture, split: .eval))
      #expect(found.without.map(\.name) == ["two@1"])
      #expect(found.notes.count == 1)
      #expect(found.notes.first?.hasPrefix("no column without one@1:") == true, "\(found.notes)")
    }
  }

  @Test func whatWasCutGoesOnAfterItsLastBatchToTheSameEnd() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let spec = AblateSpec(
        model: model.reference, task: try model.task(shots: 4, eval: 40),
        mixture: try Self.mixture(model, [("one", 11), ("two", 12)]), split: .eval)
      let whole = try TestWorker().run(spec)
      // Four columns of 40 rows in batches of 32.
      #expect(whole.journal.count == 8)
      for kept in [1, 5, 8] {
        let resumed = try TestWorker(threads: 1).run(spec, journal: Array(whole.journal.prefix(kept)))
        #expect(try resumed.ending.timeless() == whole.ending.timeless(), "after \(kept) entries")
        #expect(resumed.journal.count == 8, "after \(kept) entries")
      }
    }
  }

  @Test func theBaseHasNoExpertToLeaveOut() throws {
    let spec: JSONValue = [
      "model": ["path": "/m", "digest": "sha256:ab", "cache_directory": "/c"],
      "task": ["name": "t", "path": "/t", "digest": "sha256:03"], "weights": ["base": true],
    ]
    let error = #expect(throws: WorkerProtocolError.self) { try AblateResult.kind.decode(spec) }
    #expect(try #require(error).description.contains("weights' must be a mixture of experts"))
  }
}
