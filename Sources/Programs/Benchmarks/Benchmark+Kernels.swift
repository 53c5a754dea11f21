import CKernels
import LinearAlgebra

extension Benchmark {
  static let kernels = Benchmark(
    name: "kernels", summary: "bytes of stored weights per second that a product of one row reads, by type",
    run: measureKernels)
}

/// Types of which at least this share of the plain reading is asked for, on the best vector unit. They stand for the others
/// on the units below.
private let bounds: [String: Double] = ["BF16": 0.8, "Q8_0": 0.8, "Q4_1": 0.6, "Q4_K": 0.6]

/// One row, as decoding one stream has it, by as many weights as no cache holds, on all cores.
private func measureKernels(_ context: borrowing BenchmarkContext) -> [Measurement] {
  let block = FloatBuffer(count: 1 << 27)  // 512 MB
  // Every 16, 32 and 64 bits of it are a number of a usual size, as every block's scale is: infinities cost nothing,
  // but numbers near zero do, and would not be there.
  unsafe UnsafeMutableRawBufferPointer(block.buffer).withMemoryRebound(to: UInt32.self) { words in
    var state: UInt32 = 1
    for index in words.indices {
      state = state &* 1_664_525 &+ 1_013_904_223
      unsafe words[index] = 0x3030_3030 | (state >> 4) & 0x0f0f_0f0f
    }
  }
  let reading = readingSpeed(context, of: block)
  var results = [Measurement("plain reading, all cores", reading / 1e9, "GB/s")]
  let best = t2_best_vector_unit()
  for (unit, name) in [(T2_UNIT_AVX512, "AVX-512"), (T2_UNIT_AVX2, "AVX2"), (T2_UNIT_BASELINE, "plain")] {
    guard unit.rawValue <= best.rawValue else { continue }
    for number in 0..<UInt32(t2_weight_type_count()) {
      let type = t2_weight_type(rawValue: number)
      let typeName = unsafe String(cString: t2_weight_type_name(type))
      guard unit == best || bounds[typeName] != nil else { continue }
      let speed = productSpeed(context, unit, type, block)
      results.append(Measurement("\(typeName), \(name)", speed / 1e9, "GB/s"))
      guard unit == best else { continue }
      results.append(
        .ratio("\(typeName), share of the reading", speed / reading, bounds[typeName].map { .atLeast($0) }))
    }
  }
  return results
}

/// Bytes of weights per second.
private func productSpeed(
  _ context: borrowing BenchmarkContext, _ unit: t2_vector_unit, _ type: t2_weight_type, _ block: FloatBuffer
) -> Double {
  let inner = 4096
  let stride = inner / t2_block_values(type) * t2_block_bytes(type)
  // Columns come in tiles of some 4 MB, as a pass cuts them, so that no core waits long for another.
  let tileColumns = max((4 << 20) / stride & ~3, 4)
  let tiles = block.count * MemoryLayout<Float>.stride / (stride * tileColumns)
  let x = noise(inner)
  let y = FloatBuffer(count: tiles * tileColumns)
  let seconds = context.bestSeconds {
    context.pool.forEach(tiles, priority: .interactive) { tile, _ in
      let weights = unsafe UnsafeRawPointer(block.pointer) + tile * tileColumns * stride
      unsafe t2_few_rows_stored(
        unit, type, 1, tileColumns, inner, x.pointer, inner, weights, stride, y.pointer + tile * tileColumns,
        tileColumns, false)
    }
  }
  return Double(tiles * tileColumns * stride) / seconds
}
