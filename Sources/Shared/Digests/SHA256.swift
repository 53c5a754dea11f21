/// SHA-256 (FIPS 180-4) in plain Swift.
///
/// A value type: copying it forks the computation. The daemon hashes every file that arrives and the worker every target
/// matrix of a model, so the block function is written for the optimiser: all 64 rounds one after another on local variables, which
/// change their names from round to round instead of their values.
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
      guard var base = blocks.baseAddress else { return }
      // The state lives in local variables, so that it can stay in registers from block to block.
      var (s0, s1, s2, s3) = (words[0], words[1], words[2], words[3])
      var (s4, s5, s6, s7) = (words[4], words[5], words[6], words[7])
      for _ in 0..<blocks.count / 64 {
        var (a, b, c, d, e, f, g, h) = (s0, s1, s2, s3, s4, s5, s6, s7)
        var w0 = unsafe word(base, 0)
        var w1 = unsafe word(base, 4)
        var w2 = unsafe word(base, 8)
        var w3 = unsafe word(base, 12)
        var w4 = unsafe word(base, 16)
        var w5 = unsafe word(base, 20)
        var w6 = unsafe word(base, 24)
        var w7 = unsafe word(base, 28)
        var w8 = unsafe word(base, 32)
        var w9 = unsafe word(base, 36)
        var w10 = unsafe word(base, 40)
        var w11 = unsafe word(base, 44)
        var w12 = unsafe word(base, 48)
        var w13 = unsafe word(base, 52)
        var w14 = unsafe word(base, 56)
        var w15 = unsafe word(base, 60)

        // Rounds 0 to 15: K(t) of FIPS 180-4, section 4.2.2, with the message schedule of 6.2.2 in 16 words.
        round(a, b, c, &d, e, f, g, &h, 0x428a_2f98 &+ w0)
        round(h, a, b, &c, d, e, f, &g, 0x7137_4491 &+ w1)
        round(g, h, a, &b, c, d, e, &f, 0xb5c0_fbcf &+ w2)
        round(f, g, h, &a, b, c, d, &e, 0xe9b5_dba5 &+ w3)
        round(e, f, g, &h, a, b, c, &d, 0x3956_c25b &+ w4)
        round(d, e, f, &g, h, a, b, &c, 0x59f1_11f1 &+ w5)
        round(c, d, e, &f, g, h, a, &b, 0x923f_82a4 &+ w6)
        round(b, c, d, &e, f, g, h, &a, 0xab1c_5ed5 &+ w7)
        round(a, b, c, &d, e, f, g, &h, 0xd807_aa98 &+ w8)
        round(h, a, b, &c, d, e, f, &g, 0x1283_5b01 &+ w9)
        round(g, h, a, &b, c, d, e, &f, 0x2431_85be &+ w10)
        round(f, g, h, &a, b, c, d, &e, 0x550c_7dc3 &+ w11)
        round(e, f, g, &h, a, b, c, &d, 0x72be_5d74 &+ w12)
        round(d, e, f, &g, h, a, b, &c, 0x80de_b1fe &+ w13)
        round(c, d, e, &f, g, h, a, &b, 0x9bdc_06a7 &+ w14)
        round(b, c, d, &e, f, g, h, &a, 0xc19b_f174 &+ w15)

        // Rounds 16 to 31.
        w0 = schedule(w0, w1, w9, w14)
        round(a, b, c, &d, e, f, g, &h, 0xe49b_69c1 &+ w0)
        w1 = schedule(w1, w2, w10, w15)
        round(h, a, b, &c, d, e, f, &g, 0xefbe_4786 &+ w1)
        w2 = schedule(w2, w3, w11, w0)
        round(g, h, a, &b, c, d, e, &f, 0x0fc1_9dc6 &+ w2)
        w3 = schedule(w3, w4, w12, w1)
        round(f, g, h, &a, b, c, d, &e, 0x240c_a1cc &+ w3)
        w4 = schedule(w4, w5, w13, w2)
        round(e, f, g, &h, a, b, c, &d, 0x2de9_2c6f &+ w4)
        w5 = schedule(w5, w6, w14, w3)
        round(d, e, f, &g, h, a, b, &c, 0x4a74_84aa &+ w5)
        w6 = schedule(w6, w7, w15, w4)
        round(c, d, e, &f, g, h, a, &b, 0x5cb0_a9dc &+ w6)
        w7 = schedule(w7, w8, w0, w5)
        round(b, c, d, &e, f, g, h, &a, 0x76f9_88da &+ w7)
        w8 = schedule(w8, w9, w1, w6)
        round(a, b, c, &d, e, f, g, &h, 0x983e_5152 &+ w8)
        w9 = schedule(w9, w10, w2, w7)
        round(h, a, b, &c, d, e, f, &g, 0xa831_c66d &+ w9)
        w10 = schedule(w10, w11, w3, w8)
        round(g, h, a, &b, c, d, e, &f, 0xb003_27c8 &+ w10)
        w11 = schedule(w11, w12, w4, w9)
        round(f, g, h, &a, b, c, d, &e, 0xbf59_7fc7 &+ w11)
        w12 = schedule(w12, w13, w5, w10)
        round(e, f, g, &h, a, b, c, &d, 0xc6e0_0bf3 &+ w12)
        w13 = schedule(w13, w14, w6, w11)
        round(d, e, f, &g, h, a, b, &c, 0xd5a7_9147 &+ w13)
        w14 = schedule(w14, w15, w7, w12)
        round(c, d, e, &f, g, h, a, &b, 0x06ca_6351 &+ w14)
        w15 = schedule(w15, w0, w8, w13)
        round(b, c, d, &e, f, g, h, &a, 0x1429_2967 &+ w15)

        // Rounds 32 to 47.
        w0 = schedule(w0, w1, w9, w14)
        round(a, b, c, &d, e, f, g, &h, 0x27b7_0a85 &+ w0)
        w1 = schedule(w1, w2, w10, w15)
        round(h, a, b, &c, d, e, f, &g, 0x2e1b_2138 &+ w1)
        w2 = schedule(w2, w3, w11, w0)
        round(g, h, a, &b, c, d, e, &f, 0x4d2c_6dfc &+ w2)
        w3 = schedule(w3, w4, w12, w1)
        round(f, g, h, &a, b, c, d, &e, 0x5338_0d13 &+ w3)
        w4 = schedule(w4, w5, w13, w2)
        round(e, f, g, &h, a, b, c, &d, 0x650a_7354 &+ w4)
        w5 = schedule(w5, w6, w14, w3)
        round(d, e, f, &g, h, a, b, &c, 0x766a_0abb &+ w5)
        w6 = schedule(w6, w7, w15, w4)
        round(c, d, e, &f, g, h, a, &b, 0x81c2_c92e &+ w6)
        w7 = schedule(w7, w8, w0, w5)
        round(b, c, d, &e, f, g, h, &a, 0x9272_2c85 &+ w7)
        w8 = schedule(w8, w9, w1, w6)
        round(a, b, c, &d, e, f, g, &h, 0xa2bf_e8a1 &+ w8)
        w9 = schedule(w9, w10, w2, w7)
        round(h, a, b, &c, d, e, f, &g, 0xa81a_664b &+ w9)
        w10 = schedule(w10, w11, w3, w8)
        round(g, h, a, &b, c, d, e, &f, 0xc24b_8b70 &+ w10)
        w11 = schedule(w11, w12, w4, w9)
        round(f, g, h, &a, b, c, d, &e, 0xc76c_51a3 &+ w11)
        w12 = schedule(w12, w13, w5, w10)
        round(e, f, g, &h, a, b, c, &d, 0xd192_e819 &+ w12)
        w13 = schedule(w13, w14, w6, w11)
        round(d, e, f, &g, h, a, b, &c, 0xd699_0624 &+ w13)
        w14 = schedule(w14, w15, w7, w12)
        round(c, d, e, &f, g, h, a, &b, 0xf40e_3585 &+ w14)
        w15 = schedule(w15, w0, w8, w13)
        round(b, c, d, &e, f, g, h, &a, 0x106a_a070 &+ w15)

        // Rounds 48 to 63.
        w0 = schedule(w0, w1, w9, w14)
        round(a, b, c, &d, e, f, g, &h, 0x19a4_c116 &+ w0)
        w1 = schedule(w1, w2, w10, w15)
        round(h, a, b, &c, d, e, f, &g, 0x1e37_6c08 &+ w1)
        w2 = schedule(w2, w3, w11, w0)
        round(g, h, a, &b, c, d, e, &f, 0x2748_774c &+ w2)
        w3 = schedule(w3, w4, w12, w1)
        round(f, g, h, &a, b, c, d, &e, 0x34b0_bcb5 &+ w3)
        w4 = schedule(w4, w5, w13, w2)
        round(e, f, g, &h, a, b, c, &d, 0x391c_0cb3 &+ w4)
        w5 = schedule(w5, w6, w14, w3)
        round(d, e, f, &g, h, a, b, &c, 0x4ed8_aa4a &+ w5)
        w6 = schedule(w6, w7, w15, w4)
        round(c, d, e, &f, g, h, a, &b, 0x5b9c_ca4f &+ w6)
        w7 = schedule(w7, w8, w0, w5)
        round(b, c, d, &e, f, g, h, &a, 0x682e_6ff3 &+ w7)
        w8 = schedule(w8, w9, w1, w6)
        round(a, b, c, &d, e, f, g, &h, 0x748f_82ee &+ w8)
        w9 = schedule(w9, w10, w2, w7)
        round(h, a, b, &c, d, e, f, &g, 0x78a5_636f &+ w9)
        w10 = schedule(w10, w11, w3, w8)
        round(g, h, a, &b, c, d, e, &f, 0x84c8_7814 &+ w10)
        w11 = schedule(w11, w12, w4, w9)
        round(f, g, h, &a, b, c, d, &e, 0x8cc7_0208 &+ w11)
        w12 = schedule(w12, w13, w5, w10)
        round(e, f, g, &h, a, b, c, &d, 0x90be_fffa &+ w12)
        w13 = schedule(w13, w14, w6, w11)
        round(d, e, f, &g, h, a, b, &c, 0xa450_6ceb &+ w13)
        w14 = schedule(w14, w15, w7, w12)
        round(c, d, e, &f, g, h, a, &b, 0xbef9_a3f7 &+ w14)
        w15 = schedule(w15, w0, w8, w13)
        round(b, c, d, &e, f, g, h, &a, 0xc671_78f2 &+ w15)

        s0 &+= a
        s1 &+= b
        s2 &+= c
        s3 &+= d
        s4 &+= e
        s5 &+= f
        s6 &+= g
        s7 &+= h
        unsafe base += 64
      }
      words = [s0, s1, s2, s3, s4, s5, s6, s7]
    }
  }
}

/// The big-endian word at an offset.
@inline(__always)
private func word(_ base: UnsafeRawPointer, _ offset: Int) -> UInt32 {
  unsafe UInt32(bigEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
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
