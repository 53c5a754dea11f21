import CKernels
import Glibc
import LinearAlgebra
import SystemSupport
import TestSupport
import Testing

@testable import ModelFormats
@testable import Transformer

/// Weights as files store them: their values, and their products with few rows and with many.
@Suite struct StoredProductTests {
  // MARK: Values

  @Test func everyTypeOfAFileIsAKernels() {
    for type in ElementType.allCases {
      #expect(type.kernelType.name == type.rawValue)
      #expect(type.kernelType.blockValues == type.blockLength && type.kernelType.blockBytes == type.blockSize)
    }
  }

  /// Blocks of each type with all patterns of levels, zero, negative and subnormal scales, and what ggml makes of them.
  @Test(arguments: weightTypes.filter { $0.blockValues > 1 })
  func everyUnitWidensBlocksAsGGMLDoes(type: t2_weight_type) throws {
    let path = "\(repository)/Tests/Fixtures/quants/blocks/\(type.name)"
    let blocks = try FileSystem.readAll("\(path).bin", maximumBytes: 1 << 20)
    let expected = try floats(FileSystem.readAll("\(path).f32", maximumBytes: 1 << 20))
    try #require(expected.count == blocks.count / type.blockBytes * type.blockValues && expected.count > 4096)
    for unit in vectorUnits {
      let found = widened(unit, type, rows: 1, inner: expected.count, blocks, stride: 0)
      #expect(sameBits(found, expected), "unit \(unit.rawValue)")
    }
  }

  /// Infinite scales and those that are no number too, which a file may hold.
  @Test func kernelsWidenAnyBlockAsModelFormatsDoes() {
    for type in ElementType.allCases {
      let kernel = type.kernelType
      var numbers = Numbers(31)
      let blocks = kernel.blockValues == 1 ? 1037 : 64
      let specials: [UInt16] = [0, 0x8000, 0x7c00, 0xfc00, 0x7e01, 0x0001, 0x83ff, 0x0400, 0x7bff]
      let bytes = numbers.blocks(kernel, blocks) {
        $0.next() % 3 == 0 ? specials[Int($0.next() % 9)] : UInt16($0.next() >> 48)
      }
      let count = blocks * kernel.blockValues
      var expected = [Float](repeating: 0, count: count)
      unsafe expected.withUnsafeMutableBufferPointer { target in
        unsafe bytes.withUnsafeBytes { unsafe type.widen($0, into: target) }
      }
      for unit in vectorUnits {
        let found = widened(unit, kernel, rows: 1, inner: count, bytes, stride: 0)
        #expect(sameBits(found, expected), "\(type.rawValue), unit \(unit.rawValue)")
      }
    }
  }

  @Test(arguments: [0, 1, 15, 63, 64, 65, 255, 1000, 5003])
  func plainReadingReadsEveryWordOnce(count: Int) {
    var numbers = Numbers(29)
    let words = (0..<count).map { _ in UInt32(truncatingIfNeeded: numbers.next()) }
    let sum = words.reduce(0, &+)
    for unit in vectorUnits { #expect(unsafe t2_read(unit, words, count) == sum, "unit \(unit.rawValue)") }
  }

  // MARK: Few rows

  /// All paths: spans of scales whole and in part, pieces of a row, leftover columns; every byte at an odd address.
  static let shapes: [(columns: Int, blocks: Int, values: Int)] = [
    (1, 1, 1), (5, 2, 33), (7, 18, 1040), (11, 37, 2075), (4, 16, 64),
  ]

  /// Against widening and a sum in double, and to the bit against the product of floats: so neither how weights are
  /// stored nor how many rows go together changes an answer.
  @Test(arguments: weightTypes, shapes)
  func productsAreThoseOfTheWidenedWeights(type: t2_weight_type, shape: (columns: Int, blocks: Int, values: Int)) {
    let values = type.blockValues
    let inner = values == 1 ? shape.values : values == 32 ? shape.blocks * 32 : min(shape.blocks, 9) * 256
    let (columns, limit) = (shape.columns, t2_few_rows_limit() + 3)
    let (xStride, yStride, stride) = (inner + 3, columns + 2, inner / values * type.blockBytes + 5)
    var numbers = Numbers(UInt64(32 + columns))
    let bytes = numbers.weights(type, rows: columns, inner: inner, gap: 5)
    let x = (0..<limit * xStride).map { _ in numbers.float(-1, 1) }
    let start = (0..<limit * yStride).map { _ in numbers.float(-1, 1) }
    let weights = widened(T2_UNIT_BASELINE, type, rows: columns, inner: inner, bytes, from: 1, stride: stride)
    let (sums, sizes) = sums(
      rows: [0, 1, 6, limit - 1], columns: columns, inner: inner, x: x, xStride: xStride, weights)

    for unit in vectorUnits {
      for rows in 1...limit {
        let accumulate = rows % 2 == 0
        var found = start
        var plain = start
        unsafe bytes.withUnsafeBytes {
          unsafe t2_few_rows_stored(
            unit, type, rows, columns, inner, x, xStride, $0.baseAddress! + 1, stride, &found, yStride, accumulate)
        }
        unsafe t2_few_rows_transposed(
          unit, rows, columns, inner, x, xStride, weights, &plain, yStride, accumulate)
        // What lies between the rows of y is left alone, which the comparison sees too.
        #expect(sameBits(found, plain), "unit \(unit.rawValue), \(rows) rows")
        for (row, sums) in sums where row < rows {
          for (column, sum) in sums.enumerated() {
            let before = accumulate ? start[row * yStride + column] : 0
            let error = abs(Double(found[row * yStride + column]) - (sum + Double(before)))
            #expect(error <= 1e-5 * (sizes[row]?[column] ?? 0) + 1e-6, "unit \(unit.rawValue), row \(row) of \(rows)")
          }
        }
      }
    }
  }

  /// For some rows the sums in double, and the sums of their terms' sizes: what an error is relative to.
  private func sums(
    rows: [Int], columns: Int, inner: Int, x: [Float], xStride: Int, _ weights: [Float]
  ) -> ([Int: [Double]], [Int: [Double]]) {
    var sums: [Int: [Double]] = [:]
    var sizes: [Int: [Double]] = [:]
    for row in rows {
      for column in 0..<columns {
        var (sum, size) = (0.0, 0.0)
        for i in 0..<inner {
          let term = Double(x[row * xStride + i]) * Double(weights[column * inner + i])
          (sum, size) = (sum + term, size + abs(term))
        }
        sums[row, default: []].append(sum)
        sizes[row, default: []].append(size)
      }
    }
    return (sums, sizes)
  }

  /// A block whose scale is infinite or no number spoils its own column and no other; one of zeros adds nothing.
  @Test(arguments: weightTypes.filter { !$0.halves.isEmpty })
  func aSpecialScaleComesThroughAsWideningHasIt(type: t2_weight_type) {
    var numbers = Numbers(33)
    let inner = 3 * max(type.blockValues, 32)
    let scales: [UInt16] = [0, 0x8000, 0x0001, 0x83ff, 0x7c00, 0xfc00, 0x7e00, 0x3c00]
    let rows = scales.map { scale in numbers.blocks(type, inner / type.blockValues) { _ in scale } }
    let stride = rows[0].count
    let x = (0..<inner).map { _ in numbers.float(-1, 1) }
    for unit in vectorUnits {
      let weights = widened(unit, type, rows: rows.count, inner: inner, Array(rows.joined()), stride: stride)
      for count in [1, 3] {
        let (many, columns) = ([[Float]](repeating: x, count: count).flatMap { $0 }, rows.count)
        var found = [Float](repeating: 0, count: count * columns)
        var plain = found
        unsafe t2_few_rows_stored(
          unit, type, count, columns, inner, many, inner, Array(rows.joined()), stride, &found, columns, false)
        unsafe t2_few_rows_transposed(unit, count, columns, inner, many, inner, weights, &plain, columns, false)
        #expect(sameBits(found, plain), "unit \(unit.rawValue)")
        #expect(found[0] == 0 && found[1] == 0, "unit \(unit.rawValue)")
        #expect(!found[6].isFinite && found[7].isFinite, "unit \(unit.rawValue)")
      }
    }
  }

  // MARK: Halves that lie transposed

  @Test(arguments: [1, 2, 5, 9, 24], [(1, 1), (5, 3), (36, 16), (67, 33), (129, 70), (300, 5)])
  func everyUnitMultipliesByAMatrixOfHalves(rows: Int, shape: (columns: Int, inner: Int)) {
    let (columns, inner, stride) = (shape.columns, shape.inner, shape.columns + 3)
    var numbers = Numbers(34)
    let x = (0..<rows * inner).map { _ in numbers.float(-1, 1) }
    let halves = (0..<inner * stride).map { _ in
      UInt16(0x3000) | UInt16(numbers.next() % 0x800) | UInt16(numbers.next() % 2) << 15
    }
    let values = halves.map(floatFromHalf)
    let start = (0..<rows * columns).map { _ in numbers.float(-1, 1) }
    for accumulate in [false, true] {
      let expected = (0..<rows * columns).map { place in
        let (row, column) = (place / columns, place % columns)
        let sum = (0..<inner).reduce(0.0) { $0 + Double(x[row * inner + $1]) * Double(values[$1 * stride + column]) }
        return Float(sum) + (accumulate ? start[place] : 0)
      }
      for unit in vectorUnits {
        var (found, plain) = (start, start)
        unsafe t2_few_rows_plain_half(
          unit, rows, columns, inner, x, inner, halves, stride, &found, columns, accumulate)
        unsafe t2_few_rows_plain(unit, rows, columns, inner, x, inner, values, stride, &plain, columns, accumulate)
        #expect(distance(found, expected) < 1e-5, "unit \(unit.rawValue)")
        #expect(sameBits(found, plain), "unit \(unit.rawValue)")
      }
    }
  }

  /// Zeros between two pages that nobody may read: a byte beyond either end would end the process.
  @Test(arguments: weightTypes)
  func productsReadNoByteOutsideTheWeights(type: t2_weight_type) throws {
    let (page, room) = (sysconf(Int32(_SC_PAGESIZE)), 1 << 18)
    let mapped = unsafe mmap(nil, room + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    let memory = try unsafe #require(mapped == MAP_FAILED ? nil : mapped)
    defer { unsafe munmap(memory, room + 2 * page) }
    try #require(unsafe mprotect(memory, page, PROT_NONE) == 0)
    try #require(unsafe mprotect(memory + page + room, page, PROT_NONE) == 0)
    for (columns, values) in [(1, 1), (3, 256), (4, 512), (9, 1280), (8, 4096)] {
      let inner = max(values / type.blockValues, 1) * type.blockValues
      let stride = inner / type.blockValues * type.blockBytes
      let x = [Float](repeating: 0, count: 3 * inner)
      for (unit, rows) in vectorUnits.flatMap({ unit in [1, 3].map { (unit, $0) } }) {
        for place in [page, page + room - columns * stride] {
          var found = [Float](repeating: .nan, count: rows * columns)
          unsafe t2_few_rows_stored(
            unit, type, rows, columns, inner, x, inner, memory + place, stride, &found, columns, false)
          #expect(found.allSatisfy { $0 == 0 }, "unit \(unit.rawValue), \(columns) columns of \(inner)")
        }
      }
    }
  }

  // MARK: As the passes call them

  /// Few rows, many rows, and weights of more than one tile.
  @Test(arguments: [1, 24, 25, 40], [ElementType.f32, .bf16, .f16, .q8_0, .q4_1])
  func productsOfAnyNumberOfRowsReadStoredWeights(rows: Int, type: ElementType) {
    for (columns, inner) in [(3, 32), (70, 4096)] {
      var numbers = Numbers(35)
      let bytes = numbers.weights(type.kernelType, rows: columns, inner: inner, gap: 0)
      let x = (0..<rows * inner).map { _ in numbers.float(-1, 1) }
      let start = (0..<rows * columns).map { _ in numbers.float(-1, 1) }
      for accumulate in [false, true] {
        let scratch = Scratch()
        var (found, expected) = (start, start)
        unsafe bytes.withUnsafeBytes {
          let stored = unsafe StoredRows(type: type.kernelType, start: $0.baseAddress! + 1, inner: inner)
          let values = widened(
            T2_UNIT_BASELINE, type.kernelType, rows: columns, inner: inner, bytes, from: 1, stride: unsafe stored.stride
          )
          unsafe multiplyTransposed(
            rows: rows, columns: columns, inner: inner, x: x, xStride: inner, weights: stored, y: &found,
            yStride: columns, accumulate: accumulate, scratch: scratch)
          unsafe multiplyTransposed(
            rows: rows, columns: columns, inner: inner, x: x, xStride: inner, weights: values, y: &expected,
            yStride: columns, accumulate: accumulate)
        }
        #expect(distance(found, expected) <= (rows <= fewRowsLimit ? 0 : 1e-3))
      }
    }
  }

  /// Columns that begin and end within blocks, and rows of more than one tile.
  @Test(arguments: [1, 24, 25], [ElementType.f32, .bf16, .f16, .f64, .q8_0, .q4_1, .q4_K])
  func productsOnTheWayBackReadSomeColumnsOfStoredWeights(rows: Int, type: ElementType) {
    for (columns, width, inner) in [(5..<60, 512, 9), (250..<700, 768, 700)] {
      var numbers = Numbers(37)
      let bytes = Array(numbers.weights(type.kernelType, rows: inner, inner: width, gap: 0).dropFirst())
      let x = (0..<rows * inner).map { _ in numbers.float(-1, 1) }
      let start = (0..<rows * columns.count).map { _ in numbers.float(-1, 1) }
      for accumulate in [false, true] {
        let scratch = Scratch()
        var (found, expected) = (start, start)
        unsafe bytes.withUnsafeBytes {
          // An even address, which halves need.
          let stored = unsafe StoredRows(type: type.kernelType, start: $0.baseAddress!, inner: width)
          let values = widened(
            T2_UNIT_BASELINE, type.kernelType, rows: inner, inner: width, bytes, from: 0, stride: unsafe stored.stride)
          unsafe multiply(
            rows: rows, columns: columns, inner: inner, x: x, xStride: inner, matrix: stored, width: width, y: &found,
            yStride: columns.count, accumulate: accumulate, scratch: scratch)
          unsafe values.withUnsafeBufferPointer {
            unsafe multiply(
              rows: rows, columns: columns.count, inner: inner, x: x, xStride: inner,
              matrix: $0.baseAddress! + columns.lowerBound, matrixStride: width, y: &expected,
              yStride: columns.count, accumulate: accumulate)
          }
        }
        #expect(distance(found, expected) <= 1e-3)
      }
    }
  }

  @Test(arguments: [1, 24, 25, 40])
  func productsOfAnyNumberOfRowsReadHalves(rows: Int) {
    for (columns, inner) in [(3, 5), (4000, 70)] {
      var numbers = Numbers(36)
      let stride = columns + 1
      let halves = (0..<inner * stride).map { _ in UInt16(0x3000) | UInt16(numbers.next() % 0x800) }
      let values = halves.map(floatFromHalf)
      let x = (0..<rows * inner).map { _ in numbers.float(-1, 1) }
      let start = (0..<rows * columns).map { _ in numbers.float(-1, 1) }
      for accumulate in [false, true] {
        var (found, expected) = (start, start)
        unsafe halves.withUnsafeBytes { bytes in
          let start = bytes.baseAddress!
          unsafe multiply(
            rows: rows, columns: 0..<columns, inner: inner, x: x, xStride: inner,
            matrix: StoredRows(type: T2_F16, start: start, stride: 2 * stride), width: columns, y: &found,
            yStride: columns, accumulate: accumulate, scratch: Scratch())
        }
        unsafe multiply(
          rows: rows, columns: columns, inner: inner, x: x, xStride: inner, matrix: values, matrixStride: stride,
          y: &expected, yStride: columns, accumulate: accumulate)
        #expect(distance(found, expected) <= (rows <= fewRowsLimit ? 0 : 1e-4))
      }
    }
  }

  private func floats(_ bytes: [UInt8]) -> [Float] {
    stride(from: 0, to: bytes.count, by: 4).map { place in
      Float(bitPattern: (0..<4).reduce(0) { $0 | UInt32(bytes[place + $1]) << UInt32(8 * $1) })
    }
  }
}
