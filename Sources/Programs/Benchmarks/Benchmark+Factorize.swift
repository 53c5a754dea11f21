import Glibc
import LinearAlgebra
import ModelFormats
import Multipliers
import SVF
import SystemSupport

extension Benchmark {
  static let factorize = Benchmark(
    name: "factorize", summary: "all target matrices of the model: Gram matrix, eigensystem, cache file",
    run: measureFactorize)
}

private func measureFactorize(_ context: borrowing BenchmarkContext) throws -> [Measurement] {
  let model = try openModel(at: context.options.model)
  let work = try FactorizationWork(model, targets: model.targets, pool: context.pool)
  let options = context.options

  let cpuBefore = processorSeconds()
  let inMemory = try context.seconds { try work.compute(into: nil) }
  let cpu = processorSeconds() - cpuBefore

  let (durable, mapped, bytes) = try withTemporaryDirectory { directory in
    let context = BenchmarkContext(options: options)
    let path = "\(directory)/factors"
    let durable = try context.seconds { try work.compute(into: path) }
    var loaded: Factorization?
    let mapped = try context.seconds { loaded = try work.load(path) }
    guard let loaded else { throw BenchmarkError("the cache file that was just written is not accepted") }
    return (durable, mapped, loaded.byteCount)
  }
  let speed = MachineSpeed.measure(on: context.pool)
  return [
    Measurement("sgemm, one core", speed.productOneCore / 1e9, "GFLOP/s"),
    Measurement("sgemm, all cores", speed.productAllCores / 1e9, "GFLOP/s"),
    Measurement("matrices", Double(work.layout.matrices.count), ""),
    Measurement("computed, in memory", inMemory, "s"),
    // Where this is well below the line above, the machine was not idle.
    Measurement("processor time of it, by core", cpu / Double(context.pool.threadCount), "s"),
    Measurement("computed and durable on disk", durable, "s"),
    Measurement("cache file", Double(bytes) / 1e6, "MB"),
    Measurement("mapped from the cache", mapped * 1e3, "ms"),
  ]
}

/// Target matrices in memory, as a loaded model has them.
struct FactorizationWork {
  let layout: MultiplierLayout
  private let weights: [FloatBuffer]
  private let pool: ComputePool

  init(_ model: OpenModel, targets: [TargetMatrix], pool: ComputePool) throws {
    self.pool = pool
    layout = MultiplierLayout(targets)
    var weights: [FloatBuffer] = []
    for target in layout.matrices {
      let buffer = FloatBuffer(count: target.rows * target.columns)
      try unsafe model.readFloats(target.name, into: buffer.buffer)
      weights.append(buffer)
    }
    self.weights = weights
  }

  func compute(into path: String?) throws {
    let weights = weights
    _ = try unsafe Factorization.compute(
      layout: layout, weights: { index, _ in unsafe UnsafePointer(weights[index].pointer) }, digest: "benchmark",
      into: path,
      pool: pool)
  }

  func load(_ path: String) throws -> Factorization? {
    let lying = try Factorization.load(cacheFile: path, expecting: "benchmark", layout: layout, pool: pool)
    guard case .whole(let cached) = lying else { return nil }
    return cached
  }
}

/// What all threads of this process have used so far.
func processorSeconds() -> Double {
  var time = timespec()
  unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
