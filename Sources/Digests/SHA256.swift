/// SHA-256 (FIPS 180-4) in plain Swift.
///
/// A value type: copying it forks the computation. The daemon hashes every file that arrives and the worker every target
/// matrix of a model, so the block function is written for the optimiser: the message schedule is kept in 16 words and
/// the rounds rename the eight variables instead of moving them.
package struct SHA256 {
  private var state: State
  /// The start of a block that is not yet full.
  private var pending: [UInt8] = []
  private var length: UInt64 = 0  // bytes

  package init() {
    state = State()
    pending.reserveCapacity(64)
  }

  /// The digest of bytes in one call.
  package static func digest(_ bytes: UnsafeRawBufferPointer) -> Digest {
    var hash = SHA256()
    unsafe hash.update(bytes)
    return hash.finish()
  }

  package static func digest(_ bytes: [UInt8]) -> Digest {
    unsafe bytes.withUnsafeBytes { unsafe digest($0) }
  }

  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    length &+= UInt64(bytes.count)
    var start = 0
    if !pending.isEmpty {
      let taken = min(64 - pending.count, bytes.count)
      unsafe pending.append(contentsOf: bytes[..<taken])
      start = taken
      guard pending.count == 64 else { return }
      unsafe pending.withUnsafeBytes { unsafe state.compress($0) }
      pending.removeAll(keepingCapacity: true)
    }
    let whole = (bytes.count - start) & ~63
    if whole > 0 {
      unsafe state.compress(UnsafeRawBufferPointer(rebasing: bytes[start..<start + whole]))
      start += whole
    }
    unsafe pending.append(contentsOf: bytes[start...])
  }

  package mutating func update(_ bytes: Span<UInt8>) {
    unsafe bytes.withUnsafeBytes { unsafe update($0) }
  }

  package mutating func update(_ bytes: [UInt8]) {
    unsafe bytes.withUnsafeBytes { unsafe update($0) }
  }

  /// The bytes of a string's UTF-8.
  package mutating func update(_ text: String) { update(Array(text.utf8)) }

  package consuming func finish() -> Digest {
    let bitCount = length &* 8
    var padding: [UInt8] = [0x80]
    padding += repeatElement(0, count: (119 - Int(length & 63)) & 63)
    padding += stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: bitCount >> UInt64($0)) }
    update(padding)
    return Digest(words: state.words)
  }
}

extension SHA256 {
  /// The eight chaining values.
  struct State {
    var words: [8 of UInt32] = [
      0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
    ]

    /// Takes whole blocks of 64 bytes.
    mutating func compress(_ blocks: UnsafeRawBufferPointer) {
      precondition(blocks.count & 63 == 0, "SHA-256 takes whole blocks, got \(blocks.count) bytes")
      var w: [16 of UInt32] = .init(repeating: 0)
      let k = roundConstants
      for block in stride(from: 0, to: blocks.count, by: 64) {
        for i in 0..<16 {
          unsafe w[unchecked: i] = unsafe UInt32(
            bigEndian: blocks.loadUnaligned(fromByteOffset: block + 4 * i, as: UInt32.self))
        }
        var a = words[0], b = words[1], c = words[2], d = words[3]
        var e = words[4], f = words[5], g = words[6], h = words[7]
        var t = 0
        while true {
          round(a, b, c, &d, e, f, g, &h, unsafe k[unchecked: t + 0] &+ w[0])
          round(h, a, b, &c, d, e, f, &g, unsafe k[unchecked: t + 1] &+ w[1])
          round(g, h, a, &b, c, d, e, &f, unsafe k[unchecked: t + 2] &+ w[2])
          round(f, g, h, &a, b, c, d, &e, unsafe k[unchecked: t + 3] &+ w[3])
          round(e, f, g, &h, a, b, c, &d, unsafe k[unchecked: t + 4] &+ w[4])
          round(d, e, f, &g, h, a, b, &c, unsafe k[unchecked: t + 5] &+ w[5])
          round(c, d, e, &f, g, h, a, &b, unsafe k[unchecked: t + 6] &+ w[6])
          round(b, c, d, &e, f, g, h, &a, unsafe k[unchecked: t + 7] &+ w[7])
          round(a, b, c, &d, e, f, g, &h, unsafe k[unchecked: t + 8] &+ w[8])
          round(h, a, b, &c, d, e, f, &g, unsafe k[unchecked: t + 9] &+ w[9])
          round(g, h, a, &b, c, d, e, &f, unsafe k[unchecked: t + 10] &+ w[10])
          round(f, g, h, &a, b, c, d, &e, unsafe k[unchecked: t + 11] &+ w[11])
          round(e, f, g, &h, a, b, c, &d, unsafe k[unchecked: t + 12] &+ w[12])
          round(d, e, f, &g, h, a, b, &c, unsafe k[unchecked: t + 13] &+ w[13])
          round(c, d, e, &f, g, h, a, &b, unsafe k[unchecked: t + 14] &+ w[14])
          round(b, c, d, &e, f, g, h, &a, unsafe k[unchecked: t + 15] &+ w[15])
          t += 16
          if t == 64 { break }
          for i in 0..<16 { w[i] = schedule(w[i], w[(i + 1) & 15], w[(i + 9) & 15], w[(i + 14) & 15]) }
        }
        words[0] &+= a
        words[1] &+= b
        words[2] &+= c
        words[3] &+= d
        words[4] &+= e
        words[5] &+= f
        words[6] &+= g
        words[7] &+= h
      }
    }
  }
}

/// One of the 64 rounds. The caller renames the variables from round to round: `d` becomes the next `e`, `h` the next `a`.
@inline(__always)
private func round(
  _ a: UInt32, _ b: UInt32, _ c: UInt32, _ d: inout UInt32, _ e: UInt32, _ f: UInt32, _ g: UInt32, _ h: inout UInt32,
  _ kw: UInt32
) {
  let s1 = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)
  let choice = g ^ (e & (f ^ g))
  let t1 = h &+ s1 &+ choice &+ kw
  let s0 = rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)
  let majority = (a & b) | (c & (a | b))
  d = d &+ t1
  h = t1 &+ s0 &+ majority
}

/// Word t of the message schedule from words t-16, t-15, t-7 and t-2.
@inline(__always)
private func schedule(_ w16: UInt32, _ w15: UInt32, _ w7: UInt32, _ w2: UInt32) -> UInt32 {
  let s0 = rotated(w15, 7) ^ rotated(w15, 18) ^ (w15 &>> 3)
  let s1 = rotated(w2, 17) ^ rotated(w2, 19) ^ (w2 &>> 10)
  return w16 &+ s0 &+ w7 &+ s1
}

@inline(__always)
private func rotated(_ x: UInt32, _ count: UInt32) -> UInt32 { (x &>> count) | (x &<< (32 &- count)) }

/// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
private let roundConstants: [64 of UInt32] = [
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
]
