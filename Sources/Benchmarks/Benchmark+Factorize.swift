import LinearAlgebra
import Multipliers
import SVF
import SystemSupport

extension Benchmark {
  static let factorize = Benchmark(
    name: "factorize", summary: "all target matrices of the model: Gram matrix, eigensystem, cache file"
  ) { context in
    let matrices = [(576, 576), (192, 576), (192, 576), (576, 576), (1536, 576), (1536, 576), (576, 1536)]
    let layout = MultiplierLayout(
      (0..<30).flatMap { (layer: Int) in
        matrices.enumerated().map {
          TargetMatrix(name: "\(layer).\($0.offset)", rows: $0.element.0, columns: $0.element.1, layer: layer)
        }
      })
    let weights = layout.matrices.enumerated().map { noise($1.rows * $1.columns, seed: UInt64($0)) }
    return try withTemporaryDirectory { directory in
      let path = "\(directory)/factors"
      var inMemory = Double.infinity
      do {
        inMemory = try context.seconds {
          _ = try unsafe Factorization.compute(
            layout: layout, weights: { unsafe UnsafePointer(weights[$0].pointer) }, digest: "", into: nil,
            pool: context.pool)
        }
      }
      let cached = try context.seconds {
        _ = try unsafe Factorization.compute(
          layout: layout, weights: { unsafe UnsafePointer(weights[$0].pointer) }, digest: "", into: path,
          pool: context.pool)
      }
      let loaded = try context.seconds {
        guard try Factorization.load(cacheFile: path, expecting: "", layout: layout) != nil else {
          throw BenchmarkError("the cache file was not accepted")
        }
      }
      let speed = MachineSpeed.measure(on: context.pool)
      return [
        Measurement("sgemm, one core", speed.productOneCore / 1e9, "GFLOP/s"),
        Measurement("sgemm, all cores", speed.productAllCores / 1e9, "GFLOP/s"),
        Measurement("matrices", Double(layout.matrices.count), ""),
        Measurement("computed", inMemory, "s"),
        Measurement("computed and durable on disk", cached, "s", .atMost(6)),
        Measurement("mapped from the cache", loaded * 1e3, "ms"),
      ]
    }
  }
}
