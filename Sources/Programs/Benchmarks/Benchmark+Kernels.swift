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
  let best = t2_best_vector_unit()
  let limit = t2_few_rows_limit()
  context.say(
    "  up to \(limit) rows are multiplied by \(best.name); more by OpenBLAS's \(BLAS.kernel.running), stored weights "
      + "widened by \(best.name)")
  var results = [
    Measurement("plain reading, all cores", readingSpeed(context, of: block) / 1e9, "GB/s"),
    Measurement("rows up to which these multiply", Double(limit), ""),
  ]
  func add(_ name: String, _ bound: Double? = nil, _ measure: () -> Double) {
    // Anew beside each, so that both sides of a share are of the same second.
    let reading = readingSpeed(context, of: block)
    let speed = measure()
    results += [
      Measurement(name, speed / 1e9, "GB/s"),
      .ratio("\(name), share of the reading", speed / reading, bound.map { .atLeast($0) }),
    ]
  }
  for unit in [T2_UNIT_AVX512, T2_UNIT_AVX2, T2_UNIT_BASELINE] where unit.rawValue <= best.rawValue {
    for number in 0..<UInt32(t2_weight_type_count()) {
      let type = t2_weight_type(rawValue: number)
      let name = unsafe String(cString: t2_weight_type_name(type))
      guard unit == best || bounds[name] != nil else { continue }
      add("\(name), \(unit.name)", unit == best ? bounds[name] : nil) { productSpeed(context, unit, type, block) }
    }
    guard unit == best else { continue }
    // A matrix that is not transposed, as Q and M of a vector are.
    add("Q in F32, \(unit.name)") { plainSpeed(context, unit, isHalf: false, block) }
    add("Q in F16, \(unit.name)") { plainSpeed(context, unit, isHalf: true, block) }
  }
  return results
}

extension t2_vector_unit {
  fileprivate var name: String {
    switch self {
    case T2_UNIT_AVX512: "AVX-512"
    case T2_UNIT_AVX2: "AVX2"
    default: "plain"
    }
  }
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

/// Bytes per second of square matrices of 2048, cut into a tile of columns for each core.
private func plainSpeed(
  _ context: borrowing BenchmarkContext, _ unit: t2_vector_unit, isHalf: Bool, _ block: FloatBuffer
) -> Double {
  let side = 2048
  let size = isHalf ? MemoryLayout<UInt16>.stride : MemoryLayout<Float>.stride
  let cores = context.pool.threadCount
  let width = side / cores & ~63
  let matrices = block.count * MemoryLayout<Float>.stride / (side * side * size)
  let x = noise(side)
  let y = FloatBuffer(count: matrices * side)
  let seconds = context.bestSeconds {
    context.pool.forEach(matrices * cores, priority: .interactive) { tile, _ in
      let (matrix, column) = (tile / cores, tile % cores * width)
      let count = tile % cores == cores - 1 ? side - column : width
      let start = unsafe UnsafeRawPointer(block.pointer) + (matrix * side * side + column) * size
      let target = unsafe y.pointer + matrix * side + column
      unsafe isHalf
        ? t2_few_rows_plain_half(
          unit, 1, count, side, x.pointer, side, start.assumingMemoryBound(to: UInt16.self), side, target, side, false)
        : t2_few_rows_plain(
          unit, 1, count, side, x.pointer, side, start.assumingMemoryBound(to: Float.self), side, target, side, false)
    }
  }
  return Double(matrices * side * side * size) / seconds
}
