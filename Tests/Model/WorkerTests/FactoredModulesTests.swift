import ModelSamples
import Multipliers
import Results
import StrictJSON
import SystemSupport
import Testing
import WorkerProtocol

/// What the worker does with a model of which only the matrices of the MLP are factored.
@Suite struct FactoredModulesTests {
  private static let modules = ["mlp"]

  private func files(_ model: SyntheticModel) throws -> [String: Int64] {
    let directory = model.directory + "/cache"
    var sizes: [String: Int64] = [:]
    for name in try FileSystem.entries(directory).compactMap(\.text) {
      sizes[name] = try FileSystem.status(directory + "/" + name).map { Int64($0.size) }
    }
    return sizes
  }

  private func inspection(_ model: SyntheticModel, _ modules: [String]) -> InspectSpec {
    InspectSpec(path: model.path, cacheDirectory: model.reference.cacheDirectory, modules: modules)
  }

  private func refusal(_ result: Result<JSONValue, WorkerFault>) throws -> WorkerFault {
    guard case .failure(let fault) = result else { throw TestWorker.Closed() }
    return fault
  }

  /// Each choice has a file of its own, so none is taken for another, and both models are there at once.
  @Test func aModelIsFactoredTwiceAndEachHasItsFile() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      let part = try ModelFacts(decoding: worker.run(inspection(model, Self.modules)).ending.result())
      let whole = try ModelFacts(decoding: worker.run(inspection(model, []), job: 2).ending.result())
      #expect(part.digest == whole.digest && whole.targets == SyntheticModel.targets)
      #expect(part.targets.map(\.name) == whole.targets.map(\.name))
      #expect(part.targets.allSatisfy { $0.isFactored == $0.name.contains(".mlp.") })
      let stem = whole.digest.replacing(":", with: "-")
      let sizes = try files(model)
      let (small, large) = (sizes[stem + ".gate_proj+up_proj+down_proj.svf"] ?? 0, sizes[stem + ".svf"] ?? 0)
      #expect(sizes.count == 2 && small > 0 && small < large, "\(sizes)")

      // The expert's matrices are these alone: under both models it is the same, to the rounding of another form.
      let expert = try model.expert("one", seed: 3, part: ".mlp.")
      func score(_ modules: [String], _ weights: Weights) throws -> [Float] {
        let call = ScoreCall(
          model: model.reference(factoring: modules), prompt: .text("one"), continuation: .text(" and two"),
          weights: weights)
        return try ScoreAnswer(decoding: worker.answer(.score(call)).get()).logprobs
      }
      let alone = Weights.expert(expert, rescale: .none)
      #expect(try score(Self.modules, .base) == score([], .base))
      let (found, expected) = (try score(Self.modules, alone), try score([], alone))
      #expect(zip(found, expected).allSatisfy { abs($0 - $1) < 1e-4 })
      #expect(try found != score([], .base))
      #expect(try MemoryAnswer(decoding: worker.answer(.memory).get()).models.count == 2)
      #expect(worker.remade.isEmpty)

      // One that has values for others is refused, by the name of the first.
      let all = try model.expert("all", seed: 4)
      let call = ScoreCall(
        model: model.reference(factoring: Self.modules), prompt: .text("one"), continuation: .text(" and two"),
        weights: .expert(all, rescale: .none))
      let fault = try refusal(worker.answer(.score(call)))
      #expect(fault.kind == .expertUnreadable)
      #expect(
        fault.message.contains(
          "8 matrices that model 'model' does not factor: the first is 'model.layers.0.self_attn.q_proj.weight'"))
    }
  }

  @Test func aPlanSaysWhatTheChoiceNeeds() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      func plan(_ modules: [String]) throws -> MemoryPlan {
        try MemoryPlan(decoding: worker.answer(.plan(path: model.path, modules: modules)).get())
      }
      let (part, whole) = (try plan(Self.modules), try plan([]))
      #expect(part.factors.modules == ["gate_proj", "up_proj", "down_proj"] && whole.factors.modules == nil)
      #expect(part.weights == whole.weights && part.factors.bytes < whole.factors.bytes)
      #expect(part.products < whole.products && part.search < whole.search)
      #expect(part.training < whole.training && part.held < whole.held && part.needed < whole.needed)
      _ = try worker.run(inspection(model, Self.modules)).ending.result()
      #expect(try MemoryAnswer(decoding: worker.answer(.memory).get()).models.map(\.bytes) == [part.held])
      #expect(try files(model).values.map { $0 } == [part.factors.bytes])

      let fault = try refusal(worker.answer(.plan(path: model.path, modules: ["mlp", "qkv_proj"])))
      #expect(fault.kind == .badRequest && fault.message.contains("has no target matrices 'qkv_proj'; modules are mlp"))
      let failed = try worker.run(inspection(model, ["qkv_proj"]), job: 3).ending.fault()
      #expect(failed.message == fault.message)
    }
  }

  private func search(_ model: SyntheticModel, _ granularity: Granularity) throws -> AdaptSpec {
    var spec = try SearchJobTests.spec(model) { $0.granularities = [granularity] }
    spec.model = model.reference(factoring: Self.modules)
    spec.experts = [
      try model.expert("three", seed: 13, part: ".mlp."), try model.expert("four", seed: 14, part: ".mlp."),
    ]
    return spec
  }

  @Test func aSearchByMatrixHasCoefficientsForWhatIsFactored() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let found = try WorkerServiceTests.timeless(TestWorker().run(search(model, .matrix)).ending)
      #expect(found.search.configurations.allSatisfy { $0.alpha.map(\.count) == [6, 6] })
    }
  }

  @Test func theSameExpertsOnAllOfTheModelGiveTheSameMixture() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      var spec = try search(model, .vector)
      let part = try WorkerServiceTests.timeless(worker.run(spec).ending)
      spec.model = model.reference
      let whole = try WorkerServiceTests.timeless(worker.run(spec, job: 2).ending)
      #expect(part.alpha == whole.alpha && part.scores.mixture.fit == whole.scores.mixture.fit)
    }
  }

  @Test func aTrainingTrainsWhatIsFactoredAndNothingElse() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      var spec = try TrainJobTests.spec(model)
      spec.model = model.reference(factoring: Self.modules)
      let worker = try TestWorker()
      _ = try worker.run(spec).ending.result()
      let expert = ExpertReference(
        name: "learned", version: 1, digest: "sha256:" + String(repeating: "0", count: 64), path: spec.expertPath,
        blob: nil)
      // It has them alone: no other is refused where these are all there is.
      for modules in [Self.modules, []] {
        let call = ScoreCall(
          model: model.reference(factoring: modules), prompt: .text("a"), continuation: .text("b"),
          weights: .expert(expert, rescale: .none))
        _ = try worker.answer(.score(call)).get()
      }
      spec.settings.modules = ["down_proj", "o_proj"]
      let fault = try worker.run(spec, job: 2).ending.fault()
      #expect(
        fault.message == "'model.layers.0.self_attn.o_proj.weight' has no multipliers to train: of this model only "
          + "gate_proj, up_proj, down_proj are factored; train those, or add the model again with more modules")
      // An addition of low rank needs no singular values.
      spec.settings.method = .lora
      spec.settings.modules = ["q_proj", "v_proj"]
      _ = try worker.run(spec, job: 3).ending.result()
    }
  }

  /// On a sibling of equal shapes, of which the same is factored.
  @Test func anExpertIsCheckedOnASibling() throws {
    try withTemporaryDirectory { directory in
      let (model, sibling) = (
        try SyntheticModel(in: directory + "/a", seed: 1), try SyntheticModel(in: directory + "/b", seed: 2)
      )
      let spec = CheckSpec(
        kind: .transfer, model: sibling.reference(factoring: Self.modules), task: try model.task(shots: 4, eval: 12),
        expert: try model.expert("one", seed: 3, part: ".mlp."), shuffles: 2)
      let result = try CheckResult(decoding: TestWorker().run(spec).ending.result())
      #expect(result.count == 12)
    }
  }
}
