import LinearAlgebra
import ModelSamples
import Results
import StrictJSON
import SystemSupport
import Testing
import Transformer
import WorkerProtocol

@testable import Worker

/// A worker that may have little memory says so, and what would do.
@Suite struct MemoryTests {
  private func memory(of model: SyntheticModel) throws -> ModelMemory {
    try LanguageModel.load(path: model.path, factorizationDirectory: nil, pool: ComputePool(threads: 1)).memory
  }

  private func room(_ bytes: Int) -> MemoryRoom { MemoryRoom(advice: "raise the limit") { bytes } }

  private func tokenize(_ worker: TestWorker, _ model: SyntheticModel) throws -> WorkerFault? {
    switch try worker.answer(.tokenize(model: model.reference, text: "a", special: false)) {
    case .success: nil
    case .failure(let fault): fault
    }
  }

  @Test func aModelBeyondTheBudgetIsRefusedWithWhatToSet() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let held = try memory(of: model).held
      for (budget, fits) in [(held, true), (held - 1, false)] {
        let worker = try TestWorker(limits: MemoryLimits(budget: budget))
        let fault = try tokenize(worker, model)
        guard !fits else {
          #expect(fault == nil)
          continue
        }
        #expect(fault?.kind == .notEnoughMemory && fault?.retry == false)
        for said in [
          "model 'model' needs ", "weights ", "factors ", "memory_budget is \(megabytesText(budget))",
          "memory_budget: 100000000 in t2d.json5", "MemoryMax=1G in the unit", "t2ctl model add --plan",
        ] {
          #expect(fault?.message.contains(said) == true, "\(said): \(fault?.message ?? "")")
        }
        // A job that inspects it fails in the same way.
        let inspect = InspectSpec(path: model.path, cacheDirectory: model.reference.cacheDirectory)
        #expect(try worker.run(inspect).ending.fault().message == fault?.message)
      }
    }
  }

  @Test func aModelBeyondTheLimitsOfTheProcessIsRefused() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      for limits in [MemoryLimits(data: 1 << 20), MemoryLimits(group: 1 << 20)] {
        let fault = try tokenize(try TestWorker(limits: limits), model)
        #expect(fault?.kind == .notEnoughMemory)
        let setting = limits.data == nil ? "MemoryMax=1G in the unit" : "worker: { memory_limit: "
        #expect(fault?.message.contains(setting) == true, "\(fault?.message ?? "")")
      }
      let fault = try tokenize(try TestWorker(limits: MemoryLimits(room: room(1000))), model)
      #expect(fault?.kind == .notEnoughMemory && fault?.message.contains("raise the limit") == true)
    }
  }

  /// What is not used makes room for another one, by all that is held of it.
  @Test func theLeastRecentlyUsedGoesWhereTheBudgetIsForOne() throws {
    try withTemporaryDirectory { directory in
      let models = try ["a", "b"].map { name in
        try FileSystem.createDirectories("\(directory)/\(name)")
        return try SyntheticModel(in: "\(directory)/\(name)", seed: UInt64(name.utf8.first ?? 0))
      }
      let held = try memory(of: models[0]).held
      for (budget, count) in [(held, 1), (2 * held - 1, 1), (2 * held, 2)] {
        let worker = try TestWorker(limits: MemoryLimits(budget: budget))
        for model in models { #expect(try tokenize(worker, model) == nil) }
        let found = try MemoryAnswer(decoding: worker.answer(.memory).get()).models
        #expect(found.count == count && found.allSatisfy { $0.bytes == Int64(held) }, "a budget of \(budget)")
        #expect(found.last?.path == models[1].path)
      }
    }
  }

  @Test func aPlanSaysByPartWhatIsHeldAndWhatToSet() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let memory = try memory(of: model)
      let worker = try TestWorker(limits: MemoryLimits(budget: 1000, group: 1 << 40, machine: 1 << 34))
      let plan = try MemoryPlan(decoding: worker.answer(.plan(path: model.path, modules: [])).get())
      #expect(plan.weights.total == Int64(memory.weights) && plan.weights.type == "F32")
      #expect(
        plan.factors == .init(precision: "single", bytes: Int64(memory.factors))
          && plan.products == Int64(memory.products))
      #expect(plan.held == Int64(memory.held) && plan.needed > plan.held)
      #expect(plan.workload.positions == 256, "its context")
      #expect(plan.vectorChanges == Int64(memory.vectorChanges) && plan.vectorChanges > 0)
      let jobs = max(plan.search, plan.training, plan.factorizing)
      #expect(plan.needed > plan.held + plan.keysAndValues + plan.vectorChanges + plan.pass + jobs)
      #expect(plan.types.map(\.type) == ["F32", "BF16", "Q8_0", "Q4_K_M"])
      #expect(plan.types[0].held == plan.held && plan.types[0].needed == plan.needed)
      #expect(plan.limits == .init(budget: 1000, data: nil, group: 1 << 40, machine: 1 << 34))
      #expect(plan.problem?.contains("memory_budget is 1 MB") == true)
      #expect(plan.advice == .init(memoryBudget: 100_000_000), "the unit has enough")
      // Nothing was loaded.
      #expect(try MemoryAnswer(decoding: worker.answer(.memory).get()).models.isEmpty)
      guard case .failure(let fault) = try worker.answer(.plan(path: directory + "/none", modules: [])) else {
        Issue.record("a plan of nothing")
        return
      }
      #expect(fault.kind == .modelUnreadable && fault.message.contains("none"))
    }
  }

  @Test func singularVectorsAreKeptAsTheWorkerWasTold() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let memory = try memory(of: model)
      let worker = try TestWorker(limits: MemoryLimits(factors: .half))
      let plan = try MemoryPlan(decoding: worker.answer(.plan(path: model.path, modules: [])).get())
      #expect(plan.factors.precision == "half" && plan.factors.bytes < Int64(memory.factors))
      #expect(try tokenize(worker, model) == nil)
      #expect(try MemoryAnswer(decoding: worker.answer(.memory).get()).models.map(\.bytes) == [plan.held])
    }
  }

  /// As people have them: 8 and 70 billion parameters, of which only config.json is here.
  @Test func aConfigurationAloneIsPlanned() throws {
    try withTemporaryDirectory { directory in
      let limits = MemoryLimits(budget: 2 << 30, machine: 24_000_000_000)
      let worker = try TestWorker(limits: limits)
      func plan(hidden: Int, intermediate: Int, layers: Int, heads: Int) throws -> MemoryPlan {
        let config: JSONValue = [
          "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 128256,
          "hidden_size": JSONValue(hidden), "intermediate_size": JSONValue(intermediate),
          "num_hidden_layers": JSONValue(layers), "num_attention_heads": JSONValue(heads), "num_key_value_heads": 8,
          "max_position_embeddings": 8192, "rope_theta": 500000.0, "rms_norm_eps": 1e-5,
          "tie_word_embeddings": false, "torch_dtype": "bfloat16",
        ]
        try FileSystem.writeAtomically(directory + "/config.json", config.serialized())
        return try MemoryPlan(decoding: worker.answer(.plan(path: directory, modules: [])).get())
      }
      func tenths(_ bytes: Int64) -> Double { (Double(bytes) / 1e8).rounded() / 10 }
      let small = try plan(hidden: 4096, intermediate: 14336, layers: 32, heads: 32)
      #expect(small.parameters == 8_030_261_248)
      #expect(
        small.products == 0 && small.factors.precision == "half" && tenths(small.factors.bytes) == 5.5
          && tenths(small.keysAndValues) == 2.1 && small.vectorChanges == 0)
      #expect(small.types.map { tenths($0.weights) } == [32.1, 16.1, 8.5, 4.9])
      #expect(small.problem != nil)
      #expect(small.advice?.memoryBudget.map { $0 > small.held } == true)
      #expect(small.advice?.memoryMax?.hasSuffix("G") == true)

      // As large as a configuration may be: sums of r³ come near the end of 64 bits.
      let largest = try plan(hidden: 1 << 20, intermediate: 1 << 19, layers: 1, heads: 64)
      #expect(largest.parameters > 1 << 41 && largest.needed > largest.held)
      let tooLarge = #expect(throws: WorkerFault.self) {
        try plan(hidden: 1 << 20, intermediate: 1 << 22, layers: 4096, heads: 64)
      }
      #expect(tooLarge?.message.contains("number of parameters") == true, "\(tooLarge?.message ?? "")")

      let large = try plan(hidden: 8192, intermediate: 28672, layers: 80, heads: 64)
      #expect(tenths(large.factors.bytes) == 54.0 && large.layers == 80)
      #expect(large.types.allSatisfy { $0.needed > large.limits.machine })
    }
  }
}
