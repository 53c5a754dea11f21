import Experts
import ModelSamples
import Multipliers
import Results
import Search
import Settings
import StrictJSON
import SystemSupport
import Testing
import WorkerProtocol

/// Adaptations of the worker by every method, granularity and mix, and what they may read.
@Suite struct SearchJobTests {
  private static let methods = SearchMethods.all.map { $0.name }

  static func spec(_ model: SyntheticModel, eval: Int = 0, _ change: (inout SearchSettings) -> Void) throws -> AdaptSpec
  {
    var spec = try WorkerServiceTests.adapt(model, eval: eval)
    spec.search.granularities = [.vector]
    change(&spec.search)
    return spec
  }

  @Test func allMethodsAreSearchedSideBySideAndTheTableSaysWhatEachCost() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let spec = try Self.spec(model) { $0.method = .all }
      let whole = try TestWorker().run(spec)
      let result = try WorkerServiceTests.timeless(whole.ending)
      let table = result.search.configurations
      #expect(table.map(\.method) == Self.methods.map(\.rawValue) && result.search.method == "all")
      #expect(table.count { $0.isChosen == true } == 1)
      for line in table {
        #expect(line.generations <= 2 && line.coefficients == 2 && line.scores.heldOut != nil)
        #expect(line.history?.count == line.generations && line.history?.last?.best == line.scores.fit)
        guard line.method != "gradient" else {
          #expect(line.costs.prompts > 0)  // What a gradient costs is no population's business.
          continue
        }
        let made = line.costs.prompts + line.costs.savedByCache + line.costs.savedByPruning
        #expect(made + line.costs.savedByConvergence == 2 * 6 * (4 + 4), "\(line.method)")
      }
      #expect(result.search.costs.prompts >= table.reduce(0) { $0 + $1.costs.prompts })
      let chosen = try #require(table.first { $0.isChosen == true })
      #expect(chosen.scores.fit == result.scores.mixture.fit)
      for kept in [3, whole.journal.count / 2, whole.journal.count] {
        let resumed = try TestWorker(threads: 1).run(spec, journal: Array(whole.journal.prefix(kept)))
        #expect(try WorkerServiceTests.timeless(resumed.ending) == result, "after \(kept) entries")
      }
    }
  }

  @Test(arguments: methods, [Granularity.vector, .layer, .matrix])
  func everyMethodWorksInEveryGranularity(method: SearchMethodName, granularity: Granularity) throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      let units = [Granularity.vector: 1, .layer: 2, .matrix: 14][granularity] ?? 0
      for (mix, normalised) in [(MixRule.delta, false), (.sum, true)] {
        let spec = try Self.spec(model) {
          $0.method = method
          $0.granularities = [granularity]
          $0.mix = mix
          $0.isNormalized = normalised
        }
        let result = try WorkerServiceTests.timeless(try worker.run(spec).ending)
        let found = try #require(result.search.configurations.first { $0.isChosen == true })
        #expect(found.granularity == granularity && found.alpha.map(\.count) == [units, units])
        if normalised {
          // Populations lie on a grid of 1/64, where the sum is exact; a gradient's point does not.
          for unit in 0..<units {
            let sum = found.alpha[0][unit] + found.alpha[1][unit]
            #expect(method == GradientAscent.name ? abs(sum - 1) < 1e-6 : sum == 1)
          }
        }
        if result.served == "mixture", granularity != .vector {
          #expect(result.mix == mix && result.units?.count == units)
        }
        let isOverfitted = units * (normalised ? 1 : 2) > 4
        #expect((result.warnings ?? []).contains { $0.contains("coefficients were fitted to 4 shots") } == isOverfitted)
      }
    }
  }

  /// On one thread, on three, and after kill -9 at the beginning, in the middle and before the end.
  @Test(arguments: methods, [Granularity.vector, .layer, .matrix])
  func aSeedGivesOneMixtureOnAnyThreadsAndAfterAKill(method: SearchMethodName, granularity: Granularity) throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let spec = try Self.spec(model) {
        $0.method = method
        $0.granularities = [granularity]
        $0.objective = .loglik
        $0.iterations = 3
      }
      let whole = try TestWorker(threads: 1).run(spec)
      let result = try WorkerServiceTests.timeless(whole.ending)
      #expect(whole.journal.count > 6)
      for (kept, threads) in [(0, 3), (2, 2), (whole.journal.count / 2, 3), (whole.journal.count - 1, 1)] {
        let resumed = try TestWorker(threads: threads).run(spec, journal: Array(whole.journal.prefix(kept)))
        #expect(try WorkerServiceTests.timeless(resumed.ending) == result, "after \(kept) entries")
        #expect(WorkerServiceTests.scores(resumed.journal) == WorkerServiceTests.scores(whole.journal))
      }
    }
  }

  /// Ten shots with choices and cem as it is by default, everything counted that each made: baselines, the searches on all
  /// shots and without a fold, and what was held out.
  @Test func gradientReachesWhatCEMReachesForATenthOfItsEvaluations() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      func run(_ method: SearchMethodName) throws -> Mixture {
        var spec = try WorkerServiceTests.adapt(model, eval: 0)
        spec.task = try model.task(shots: 10, eval: 0)
        spec.search = SearchSettings()
        spec.search.method = method
        spec.search.objective = .loglik
        return try WorkerServiceTests.timeless(try TestWorker().run(spec).ending)
      }
      let (cem, gradient) = (try run(CrossEntropyMethod.name), try run(GradientAscent.name))
      #expect(gradient.scores.mixture.fitLogLikelihood >= cem.scores.mixture.fitLogLikelihood - 1e-3)
      let (dear, cheap) = (cem.search.costs.prompts, gradient.search.costs.prompts)
      #expect(10 * cheap <= dear, "\(cheap) of gradient, \(dear) of cem")
    }
  }

  @Test func gradientRefusesRowsThatAreGenerated() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      var spec = try Self.spec(model) { $0.method = GradientAscent.name }
      spec.task = try model.generatedTask(shots: 3, tokens: 3)
      let fault = try TestWorker().run(spec).ending.fault()
      #expect(fault.kind == .unsupported && fault.message.contains("'gradient' needs rows with choices"))
    }
  }

  /// Two or more rows to generate on a model that answers none, under no expert.
  @Test(arguments: [2, 8])
  func aSearchWithoutSignalServesTheBaseAndSaysSo(shots: Int) throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      var spec = try Self.spec(model) { $0.method = CrossEntropyMethod.name }
      spec.task = try model.generatedTask(shots: shots, tokens: 3)
      let result = try WorkerServiceTests.timeless(try TestWorker().run(spec).ending)
      #expect(result.scores.base.fit == 0 && result.scores.mixture.fit == 0)
      #expect(result.scores.experts.entries.allSatisfy { $0.value.fit == 0 })
      #expect(result.served == "base" && result.noSignal == true)
      #expect(result.servedBecause.hasPrefix("no signal: "))
      #expect(result.alpha.entries.allSatisfy { $0.value == .one(0) })
      #expect(result.warnings?.contains { $0.hasPrefix("no signal: ") && $0.contains("\(shots) shots") } == true)
      // The vectors that are written are the base's too.
      let vectors = try ExpertFile.read(path: spec.vectorsPath)
      let signature = try #require(vectors.signatureOfItsOwn(named: "own"))
      #expect(try vectors.validated(against: signature).parameters.allSatisfy { $0.values.allSatisfy { $0 == 1 } })
    }
  }

  @Test func aMixtureWithoutDenominatorIsAClearErrorToWhoeverAsksForIt() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let experts = [
        try model.expert("one", seed: 11, rescale: "nuclear"), try model.expert("two", seed: 11, rescale: "nuclear"),
      ]
      // The second is the first, so one less the other is nothing.
      for alpha: [[Float]] in [[[0], [0]], [[1], [-1]]] {
        let weights = Weights.mixture(
          .init(experts: experts, granularity: .vector, mix: .sum, rescale: .nuclear, alpha: alpha))
        let answer = try TestWorker().answer(
          .score(ScoreCall(model: model.reference, prompt: .text("a"), continuation: .text("b"), weights: weights)))
        guard case .failure(let fault) = answer else {
          Issue.record("a mixture of nothing has no weights")
          continue
        }
        #expect(fault.kind == .mixtureInvalid)
        #expect(fault.message.contains("model.layers.0.self_attn.q_proj.weight"), "\(fault.message)")
      }
    }
  }

  @Test func aFreeSumWithoutRescaleIsRefusedAndUnderTheRescaleItIsFine() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      var spec = try Self.spec(model) { $0.mix = .sum }
      let fault = try TestWorker().run(spec).ending.fault()
      #expect(fault.kind == .badRequest && fault.message.contains("normalized"))
      spec.experts = [
        try model.expert("one", seed: 11, rescale: "nuclear"), try model.expert("two", seed: 12, rescale: "nuclear"),
      ]
      for mix in [MixRule.sum, .delta] {
        spec.search.mix = mix
        let result = try WorkerServiceTests.timeless(try TestWorker().run(spec).ending)
        #expect(result.rescale == .nuclear && result.search.configurations[0].mix == mix)
      }
    }
  }

  // MARK: - the eval file

  /// With an eval file that cannot even be parsed the whole search runs: only what comes after it opens the file.
  @Test func theSearchNeverReadsTheEvalFile() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      let spec = try Self.spec(model, eval: 5) { $0.method = .all }
      let sound = try worker.run(spec)
      _ = try sound.ending.result()
      try FileSystem.writeAtomically(spec.task.path + "/eval.jsonl", Array("not JSON at all\n".utf8))
      let broken = try worker.run(spec)
      let fault = try broken.ending.fault()
      #expect(fault.kind == .taskUnreadable && fault.message.contains("eval.jsonl"))
      let searched = WorkerServiceTests.scores(sound.journal).filter { $0["entry"] != "eval" }
      #expect(WorkerServiceTests.scores(broken.journal) == searched && searched.count > 20)
      // Nor does the search know whether there will be an evaluation.
      var quiet = spec
      quiet.evaluates = false
      #expect(WorkerServiceTests.scores(try worker.run(quiet).journal) == searched)
    }
  }

  @Test func theEvalRowsArePairedWithTheBaseAndTheBestExpert() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let spec = try Self.spec(model, eval: 30) { _ in }
      let result = try WorkerServiceTests.timeless(try TestWorker().run(spec).ending)
      let base = try #require(result.scores.base.eval)
      let expert = try #require(result.scores.experts.entries.compactMap(\.value.eval).first)
      let mixture = try #require(result.scores.mixture.eval)
      #expect(base.count == 30 && base.versusBase == nil && expert.versusBestExpert == nil)
      for eval in [base, expert, mixture] {
        #expect(eval.lower <= eval.value && eval.value <= eval.upper && eval.upper - eval.lower > 0.2)
      }
      let paired = try #require(mixture.versusBase)
      #expect(paired.wins - paired.losses == Int(((mixture.value - base.value) * 30).rounded()))
      let rival = try #require(mixture.versusBestExpert)
      #expect(rival.wins - rival.losses == Int(((mixture.value - expert.value) * 30).rounded()))
      #expect((0...1).contains(paired.p) && (0...1).contains(rival.p))

      let kept = try #require(result.evalItems)
      func count(_ mine: (EvalItems.Item) -> EvalItems.Answer, beyond other: (EvalItems.Item) -> EvalItems.Answer)
        -> Int
      {
        kept.items.count { mine($0).isRight && !other($0).isRight }
      }
      #expect(kept.differing == kept.items.count)
      #expect(count(\.mixture, beyond: \.base) == paired.wins && count(\.base, beyond: \.mixture) == paired.losses)
      #expect(
        count(\.mixture, beyond: \.bestExpert) == rival.wins && count(\.bestExpert, beyond: \.mixture) == rival.losses)
      #expect(result.scores.experts.entries.first { $0.value.eval != nil }?.name == kept.bestExpert)
    }
  }

  @Test func anItemHoldsTheQuestionTheGoldAndWhatEachAnswered() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let spec = try Self.spec(model, eval: 1) { _ in }
      // One letter against others: a model that knows nothing decides it by little, and every vector otherwise.
      let letters = "abcdefghijklmnopqrstuvwxyz".map(String.init)
      let rows = (0..<40).flatMap { index -> [UInt8] in
        let choices = (0..<6).map { letters[(index * 7 + $0 * 5) % 26] }
        return
          (["question": .string("letter \(index)?"), "choices": JSONValue(choices), "answer": JSONValue(index % 6)]
          as JSONValue).workerLine
      }
      try FileSystem.writeAtomically(spec.task.path + "/eval.jsonl", rows)
      let whole = try TestWorker().run(spec)
      let result = try WorkerServiceTests.timeless(whole.ending)
      let items = try #require(result.evalItems).items
      try #require(!items.isEmpty, "of 40 rows some differ")
      for item in items {
        #expect(!item.question.isEmpty && !item.gold.isEmpty && (1...40).contains(item.line))
        for answer in [item.base, item.bestExpert, item.mixture] {
          #expect((answer.text == item.gold) == answer.isRight, "\(item)")
        }
      }
      // What an older worker journalled lacks the answers, so it counts for nothing and is scored again.
      let old = whole.journal.map { entry -> JSONValue in
        guard entry["entry"] == "eval", var object = entry.objectValue else { return entry }
        object["answers"] = nil
        return .object(object)
      }
      let resumed = try TestWorker(threads: 1).run(spec, journal: old)
      #expect(try WorkerServiceTests.timeless(resumed.ending) == result)
      let evaluated = whole.journal.filter { $0["entry"] == "eval" }
      #expect(resumed.journal.suffix(evaluated.count) == evaluated[...])
    }
  }
}
