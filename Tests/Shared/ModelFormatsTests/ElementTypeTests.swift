import StrictJSON
import SystemSupport
import TestSupport
import Testing

@testable import ModelFormats

/// Blocks of each type in `Tests/Fixtures/quants/blocks`: of random bits with scales that are zero, negative and subnormal,
/// and of values that ggml quantised, with what ggml makes of them.
@Suite struct ElementTypeTests {
  static let quantized = ElementType.allCases.filter { $0.blockLength > 1 }

  private func blocks(of type: ElementType) throws -> (bytes: [UInt8], values: [UInt32]) {
    let path = repository + "/Tests/Fixtures/quants/blocks/\(type.rawValue)"
    let floats = try FileSystem.readAll(path + ".f32", maximumBytes: 1 << 20)
    let bits = stride(from: 0, to: floats.count, by: 4).map { start in
      (0..<4).reduce(UInt32(0)) { $0 | UInt32(floats[start + $1]) << UInt32(8 * $1) }
    }
    return (try FileSystem.readAll(path + ".bin", maximumBytes: 1 << 20), bits)
  }

  @Test(arguments: quantized) func blocksAreWidenedToTheBitsOfGgml(type: ElementType) throws {
    let (bytes, expected) = try blocks(of: type)
    #expect(type.byteCount(of: expected.count) == bytes.count)
    var values = [Float](repeating: .nan, count: expected.count)
    unsafe bytes.withUnsafeBytes { source in
      unsafe values.withUnsafeMutableBufferPointer { unsafe type.widen(source, into: $0) }
    }
    let wrong = values.indices.first { values[$0].bitPattern != expected[$0] }
    #expect(
      wrong == nil,
      "value \(wrong ?? 0) is \(values[wrong ?? 0]), ggml's is \(Float(bitPattern: expected[wrong ?? 0]))")
  }

  /// A mapped tensor begins at its file's alignment, a row of it where the blocks before it end.
  @Test(arguments: quantized) func blocksMayBeginAnywhere(type: ElementType) throws {
    let (bytes, expected) = try blocks(of: type)
    var values = [Float](repeating: .nan, count: type.blockLength)
    unsafe ([0] + bytes).withUnsafeBytes { source in
      let block = unsafe UnsafeRawBufferPointer(rebasing: source[1..<1 + type.blockSize])
      unsafe values.withUnsafeMutableBufferPointer { unsafe type.widen(block, into: $0) }
    }
    #expect(values.map(\.bitPattern) == Array(expected[..<type.blockLength]))
  }

  @Test func theFixturesHaveEveryTypeAndItsSizes() throws {
    let index = try parseJSON(
      FileSystem.readAll(repository + "/Tests/Fixtures/quants/blocks/index.json", maximumBytes: 1 << 20))
    let types = try #require(index["types"]?.objectValue)
    #expect(Set(types.members.map(\.key)) == Set(Self.quantized.map(\.rawValue)))
    for (name, facts) in types.members {
      let code = try #require(facts["ggml_type"]?.intValue)
      let type = try #require(ElementType(ggml: UInt32(code)))
      #expect(type.rawValue == name)
      #expect(type.blockLength == facts["block_values"]?.intValue && type.blockSize == facts["block_bytes"]?.intValue)
    }
  }
}
