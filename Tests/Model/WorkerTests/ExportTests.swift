import Digests
import Experts
import LinearAlgebra
import ModelFormats
import ModelSamples
import Multipliers
import SVF
import StrictJSON
import SystemSupport
import Testing
import Transformer
import WorkerProtocol

/// What is written of a mixture for somebody to take away.
@Suite struct ExportTests {
  /// An expert that changes `count` multipliers of each matrix, or of some.
  private static func expert(_ model: SyntheticModel, changing count: Int, rescale: String = "none") throws
    -> ExpertReference
  {
    var random = Random(seed: 7)
    let tensors = SyntheticModel.targets.map { target in
      var values = [Float](repeating: 1, count: target.rank)
      for j in 0..<min(count, target.rank) { values[(5 * j + 2) % target.rank] = 1 + 0.6 * random.next() }
      return SafetensorsTensor(name: target.name, shape: [target.rank], values: values)
    }
    let path = model.directory + "/sparse.safetensors"
    try writeSafetensors(
      to: path, tensors: tensors,
      metadata: [
        ("t2.format", "t2-expert"), ("t2.version", "1"), ("t2.name", "sparse"), ("t2.param_space", "multiplier"),
        ("t2.max_mult", "1"), ("t2.rescale", rescale),
      ])
    return ExpertReference(
      name: "sparse", version: 1, digest: SHA256.digest([]).description, path: path,
      blob: SHA256.digest(try FileSystem.readAll(path, maximumBytes: 1 << 20)).hex)
  }

  private static func vector(_ path: String) throws -> MultiplierVector {
    let layout = MultiplierLayout(SyntheticModel.targets)
    let file = try SafetensorsFile.open(path: path)
    return MultiplierVector(
      layout: layout,
      named: try layout.matrices.indices.map { ($0, try file.floats(layout.matrices[$0].name)) })
  }

  private func export(
    _ worker: TestWorker, _ model: SyntheticModel, _ weights: Weights, rank: Int?, to path: String
  ) throws -> ExportAnswer {
    let call = ExportCall(model: model.reference, weights: weights, rank: rank, path: path)
    return try ExportAnswer(decoding: try worker.answer(.export(call)).get())
  }

  /// W' of every matrix as it is defined, and W + B A of what was exported.
  private func compare(
    _ model: SyntheticModel, _ vector: MultiplierVector, _ path: String, rank: Int,
    _ body: (_ adapted: [Float], _ exported: [Float], _ base: [Float]) throws -> Void
  ) throws {
    let loaded = try LanguageModel.load(path: model.path, factorizationDirectory: nil)
    let (weights, lora) = (
      try SafetensorsFile.open(path: model.path + "/model.safetensors"), try SafetensorsFile.open(path: path)
    )
    #expect(lora.tensors.count == 2 * SyntheticModel.targets.count)
    let scratch = Scratch()
    for (index, target) in SyntheticModel.targets.enumerated() {
      let base = try weights.floats(target.name)
      let s = Array(vector.values[loaded.layout.range(of: index)])
      var adapted = base
      unsafe adapted.withUnsafeMutableBufferPointer { out in
        unsafe base.withUnsafeBufferPointer { w in
          unsafe s.withUnsafeBufferPointer { s in
            guard let out = out.baseAddress, let w = w.baseAddress, let s = s.baseAddress else {
              return
            }
            unsafe materialize(loaded.factorization[index], weight: w, multipliers: s, into: out, scratch: scratch)
          }
        }
      }
      let names = AdapterFiles.factorNames(of: target)
      let (a, b) = (try lora.floats(names.a), try lora.floats(names.b))
      #expect(a.count == rank * target.columns && b.count == target.rows * rank)
      var exported = base
      for row in 0..<target.rows {
        for column in 0..<target.columns {
          var sum = 0.0
          for k in 0..<rank { sum += Double(b[row * rank + k]) * Double(a[k * target.columns + column]) }
          exported[row * target.columns + column] += Float(sum)
        }
      }
      try body(adapted, exported, base)
    }
  }

  @Test(arguments: [1, 5, 24])
  func aLoRAIsExactWhereItsRankHoldsAllThatIsChanged(count: Int) throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      let expert = try Self.expert(model, changing: count)
      let path = directory + "/lora.safetensors"
      let answer = try export(worker, model, .expert(expert, rescale: .none), rank: count, to: path)
      let fit = try #require(answer.fit)
      #expect(fit.exact && fit.components <= count && fit.relativeError == 0 && fit.energyLeast == 1)
      let vector = try Self.vector(expert.path)
      #expect(answer.digest == vector.digest(in: MultiplierLayout(SyntheticModel.targets)).description)
      var largest: Float = 0
      try compare(model, vector, path, rank: count) { adapted, exported, base in
        largest = max(largest, zip(adapted, exported).map { abs($0 - $1) }.max() ?? .infinity)
        #expect(zip(adapted, base).contains { abs($0 - $1) > 1e-3 }, "the expert changes nothing")
      }
      #expect(largest < 1e-5)
    }
  }

  @Test func whatALoRAOfSmallRankMissesIsWhatIsSaid() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      let expert = try model.expert("dense", seed: 3)
      let path = directory + "/lora.safetensors"
      let fit = try #require(
        try export(worker, model, .expert(expert, rescale: .none), rank: 4, to: path).fit)
      #expect(!fit.exact && fit.components == 24 && fit.rank == 4)
      var (missed, all, shares) = (0.0, 0.0, [Double]())
      try compare(model, try Self.vector(expert.path), path, rank: 4) { adapted, exported, base in
        func energy(_ a: [Float], _ b: [Float]) -> Double {
          zip(a, b).reduce(0) { $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1)) }
        }
        missed += energy(adapted, exported)
        all += energy(adapted, base)
        shares.append(1 - energy(adapted, exported) / energy(adapted, base))
      }
      #expect(abs(fit.relativeError - (missed / all).squareRoot()) < 1e-4)
      #expect(abs(fit.energyMean - shares.reduce(0, +) / Double(shares.count)) < 1e-4)
      #expect(abs(fit.energyLeast - (shares.min() ?? 0)) < 1e-4)
      #expect(fit.relativeError > 0.1)
    }
  }

  @Test func multipliersAreThoseOfTheMixtureAfterItsRescale() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      let experts = [
        try model.expert("one", seed: 11, rescale: "nuclear"), try model.expert("two", seed: 12, rescale: "nuclear"),
      ]
      let weights = Weights.mixture(
        .init(experts: experts, granularity: .vector, mix: .sum, rescale: .nuclear, alpha: [[0.5], [0.75]]))
      let path = directory + "/mixed.safetensors"
      let answer = try export(worker, model, weights, rank: nil, to: path)
      #expect(answer.fit == nil)
      let loaded = try LanguageModel.load(path: model.path, factorizationDirectory: nil)
      let expected = try Mixer(
        layout: loaded.layout, sigma: loaded.factorization.sigma, experts: try experts.map { try Self.vector($0.path) },
        rescale: .nuclear
      ).multipliers(MixtureCoefficients(mix: .sum, [0.5, 0.75]))
      #expect(try Self.vector(path) == expected)
      #expect(answer.digest == expected.digest(in: loaded.layout).description)
    }
  }

  @Test func whatCannotBeWrittenIsSaidAndLeavesNothing() throws {
    try withTemporaryDirectory { directory in
      let model = try SyntheticModel(in: directory)
      let worker = try TestWorker()
      for rank in [nil, 2] {
        let call = ExportCall(model: model.reference, weights: .base, rank: rank, path: directory + "/none/file")
        guard case .failure(let fault) = try worker.answer(.export(call)) else {
          Issue.record("a file was written into a directory that there is not")
          continue
        }
        #expect(fault.kind == .files && fault.message.hasPrefix("cannot write what is exported: "))
      }
    }
  }
}
