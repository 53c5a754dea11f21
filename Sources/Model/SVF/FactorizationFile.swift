import Glibc
import Multipliers

// The cache file of a factorization, native byte order, floats as they lie in memory:
//
//     "t2d-svf\n" | version u32 | order mark u32 | bytes of an entry of Q u32 | header bytes u64 | file bytes u64
//     | digest count u32, bytes | matrices u32 | each that is factored: name count u32, bytes, rows u32, columns u32
//     | zeros up to the header's end (a multiple of 4096) | a checksum of each matrix, u64 | σ of all matrices
//     | Q of each matrix ...
//
// Arrays begin at multiples of 64. Everything up to the header's end follows from the model's digest and its layout, so
// a reader does not parse: it forms the header that it would have written and compares. A file of another version, of
// another model, from another machine, or cut short differs somewhere, and is computed anew. The header is written last,
// after the content is durable; until then another one stands there, which says that the file is not at its end.
//
// A matrix's checksum is XXH64 over its σ and its Q, the first sum the seed of the second: it finds what the disk has
// changed since, and which matrices of an unfinished file are there. What lies between the arrays is never read.
struct FactorizationFile {
  /// 1 had no checksums, 2 had the products of Q and W too, and Q in single precision only.
  static let version: UInt32 = 3
  /// Where the version stands.
  private static let versionOffset = 8
  private static let alignment = 64
  private static let page = 4096

  let precision: FactorPrecision
  let header: [UInt8]
  /// What stands in its place while the file is not at its end.
  let unfinishedHeader: [UInt8]
  /// Offsets in bytes from the file's beginning.
  let sums: Int
  let sigma: Int
  let q: [Int]
  let byteCount: Int

  /// Nil where the sizes do not fit into an Int: no such model fits anywhere else either.
  init?(digest: String, layout: MultiplierLayout, precision: FactorPrecision) {
    self.precision = precision
    var description = [UInt8]()
    func append(_ value: some FixedWidthInteger) {
      unsafe withUnsafeBytes(of: value) { unsafe description.append(contentsOf: $0) }
    }
    func append(_ text: String) {
      append(UInt32(truncatingIfNeeded: text.utf8.count))
      description.append(contentsOf: text.utf8)
    }
    append(digest)
    let factored = layout.matrices.filter(\.isFactored)
    append(UInt32(truncatingIfNeeded: factored.count))
    for matrix in factored {
      append(matrix.name)
      append(UInt32(truncatingIfNeeded: matrix.rows))
      append(UInt32(truncatingIfNeeded: matrix.columns))
    }

    let fixed = 8 + 4 + 4 + 4 + 8 + 8
    let headerCount = Self.aligned(fixed + description.count, Self.page)
    var end = headerCount
    /// Reserves an array of rows x columns values; nil on overflow.
    func reserve(_ rows: Int, _ columns: Int, size: Int) -> Int? {
      let start = Self.aligned(end, Self.alignment)
      let (values, overflow) = rows.multipliedReportingOverflow(by: columns)
      guard !overflow, values < Int.max / 16, start < Int.max / 2 else { return nil }
      end = start + values * size
      return start
    }
    var q: [Int] = []
    guard let sums = reserve(layout.matrices.count, 1, size: MemoryLayout<UInt64>.size),
      let sigma = reserve(layout.count, 1, size: MemoryLayout<Float>.size)
    else { return nil }
    for matrix in layout.matrices {
      guard let atQ = reserve(matrix.rank, matrix.rank, size: precision.size) else { return nil }
      q.append(atQ)
    }
    self.sums = sums
    self.sigma = sigma
    self.q = q
    byteCount = Self.aligned(end, Self.page)

    let content = description
    description = Array("t2d-svf\n".utf8)
    append(Self.version)
    append(UInt32(0x0102_0304))
    append(UInt32(truncatingIfNeeded: precision.size))
    append(UInt64(headerCount))
    append(UInt64(byteCount))
    description += content
    description += [UInt8](repeating: 0, count: headerCount - description.count)
    header = description
    unfinishedHeader = Array("t2d-svp\n".utf8) + description.dropFirst(8)
  }

  /// Whether a file that begins like this was written by an earlier version, and so is old and not damaged.
  static func isOlder(_ beginning: [UInt8]) -> Bool {
    guard beginning.starts(with: "t2d-svf\n".utf8), beginning.count >= versionOffset + 4 else { return false }
    let found = Array(beginning[versionOffset..<versionOffset + 4])
    return (1..<Self.version).contains { version in unsafe withUnsafeBytes(of: version) { unsafe Array($0) } == found }
  }

  private static func aligned(_ value: Int, _ to: Int) -> Int { (value + to - 1) / to * to }
}
