/// XXH64, the 64-bit checksum of github.com/Cyan4973/xxHash (specification 0.1.1), in plain Swift.
///
/// For large arrays that are read back by their writer: it finds what a disk or a memory chip has changed, at the speed of
/// memory, where SHA-256 would take ten times as long. It is no proof against somebody who means to deceive.
package enum XXH64 {
  private static let prime1: UInt64 = 0x9E37_79B1_85EB_CA87
  private static let prime2: UInt64 = 0xC2B2_AE3D_27D4_EB4F
  private static let prime3: UInt64 = 0x1656_67B1_9E37_79F9
  private static let prime4: UInt64 = 0x85EB_CA77_C2B2_AE63
  private static let prime5: UInt64 = 0x27D4_EB2F_1656_67C5

  /// The checksum of bytes. That of several arrays: each one's is the next one's seed.
  package static func sum(_ bytes: UnsafeRawBufferPointer, seed: UInt64 = 0) -> UInt64 {
    guard let base = bytes.baseAddress else { return unsafe finish(bytes, from: 0, seed &+ prime5) }
    var hash: UInt64
    var offset = 0
    if bytes.count >= 32 {
      var (a, b, c, d) = (seed &+ prime1 &+ prime2, seed &+ prime2, seed, seed &- prime1)
      while offset <= bytes.count - 32 {
        a = round(a, unsafe word(base, offset))
        b = round(b, unsafe word(base, offset + 8))
        c = round(c, unsafe word(base, offset + 16))
        d = round(d, unsafe word(base, offset + 24))
        offset += 32
      }
      hash = rotated(a, 1) &+ rotated(b, 7) &+ rotated(c, 12) &+ rotated(d, 18)
      for lane in [a, b, c, d] { hash = (hash ^ round(0, lane)) &* prime1 &+ prime4 }
    } else {
      hash = seed &+ prime5
    }
    return unsafe finish(bytes, from: offset, hash)
  }

  package static func sum(_ bytes: [UInt8], seed: UInt64 = 0) -> UInt64 {
    unsafe bytes.withUnsafeBytes { unsafe sum($0, seed: seed) }
  }

  /// The rest of less than a stripe, the length, and the last mixing.
  private static func finish(_ bytes: UnsafeRawBufferPointer, from start: Int, _ hash: UInt64) -> UInt64 {
    var (hash, offset) = (hash &+ UInt64(bytes.count), start)
    if let base = bytes.baseAddress {
      while offset <= bytes.count - 8 {
        hash = rotated(hash ^ round(0, unsafe word(base, offset)), 27) &* prime1 &+ prime4
        offset += 8
      }
      if offset <= bytes.count - 4 {
        let half = unsafe UInt32(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        hash = rotated(hash ^ UInt64(half) &* prime1, 23) &* prime2 &+ prime3
        offset += 4
      }
      while offset < bytes.count {
        hash = unsafe rotated(hash ^ UInt64(bytes[offset]) &* prime5, 11) &* prime1
        offset += 1
      }
    }
    hash = (hash ^ (hash &>> 33)) &* prime2
    hash = (hash ^ (hash &>> 29)) &* prime3
    return hash ^ (hash &>> 32)
  }

  @inline(__always)
  private static func word(_ base: UnsafeRawPointer, _ offset: Int) -> UInt64 {
    unsafe UInt64(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }

  @inline(__always)
  private static func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
    rotated(lane &+ word &* prime2, 31) &* prime1
  }

  @inline(__always)
  private static func rotated(_ x: UInt64, _ count: UInt64) -> UInt64 { (x &<< count) | (x &>> (64 &- count)) }
}
