package import Digests

/// What a fake engine says of itself and of its model; every member may be set for a test.
package struct FakeModel: Sendable {
  package struct Target: Sendable, Equatable {
    package var name: String
    package var rows: Int
    package var columns: Int

    package init(_ name: String, _ rows: Int, _ columns: Int) {
      (self.name, self.rows, self.columns) = (name, rows, columns)
    }
  }

  package var protocolVersion = 1
  package var engine = "fake"
  package var version = "fake 1.0"
  package var type = "float32"
  package var parallelism = 1
  package var id = "fake-model"
  package var digest = SHA256.digest(Array("fake-model".utf8)).description
  package var layers = 2
  package var hidden = 4
  package var vocabulary = 50
  package var context = 64
  package var endIDs: [Int32] = [1]
  package var targets: [Target] = (0..<2).flatMap { layer in
    [
      Target("model.layers.\(layer).self_attn.q_proj.weight", 4, 4),
      Target("model.layers.\(layer).mlp.up_proj.weight", 6, 4),
    ]
  }
  package var gradients = true
  package var logits = true
  package var generates = true
  package var mixtures = 64
  /// How many mixtures it keeps; the one that was used least lately is forgotten for a new one.
  package var mixturesKept = 1000
  package var files: [(name: String, bytes: [UInt8])] = [("config.json", Array(#"{"model_type":"fake"}"#.utf8))]
  package var warnings: [String] = []

  /// ln p of a token behind those before it; a pure function. Base is a vector of ones.
  package var logprob: @Sendable (_ before: [Int32], _ token: Int32, _ multipliers: [Float]) -> Float = {
    before, token, s in
    FakeModel.likelihood(before, token) + FakeModel.bonus(token, s)
  }

  package init() {}

  package var ranks: [Int] { targets.map { min($0.rows, $0.columns) } }
  package var multiplierCount: Int { ranks.reduce(0, +) }

  /// From -10 to -0.01 by a hash (FNV-1a).
  package static func likelihood(_ before: [Int32], _ token: Int32) -> Float {
    var hash: UInt32 = 0x811c_9dc5
    for id in before + [token] { hash = (hash ^ UInt32(bitPattern: id)) &* 0x0100_0193 }
    return -0.01 - Float(hash >> 8 & 0xFFF) / 410
  }

  /// At most 0: a parabola in every multiplier, the summit of which is not at 1.
  package static func bonus(_ token: Int32, _ s: [Float]) -> Float {
    var sum: Float = 0
    for (index, value) in s.enumerated() {
      let distance = value - summit(index)
      sum -= steepness(token, index) * distance * distance
    }
    return sum
  }

  /// The derivative of a log-probability by the multipliers.
  package static func slope(_ token: Int32, _ s: [Float]) -> [Float] {
    s.enumerated().map { -2 * steepness(token, $0.offset) * ($0.element - summit($0.offset)) }
  }

  private static func summit(_ index: Int) -> Float { 1 + 0.125 * Float(index % 3) }
  private static func steepness(_ token: Int32, _ index: Int) -> Float { 0.0625 * Float((Int(token) + 3 * index) % 5) }

  /// Of the protocol: the name of a vector.
  package func mixtureDigest(_ multipliers: [Float]) -> Digest {
    var hash = SHA256()
    var place = 0
    for (target, rank) in zip(targets, ranks) {
      hash.update(target.name)
      hash.update([0])
      for value in multipliers[place..<place + rank] {
        hash.update((0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) })
      }
      place += rank
    }
    return hash.finish()
  }
}

/// What a fake engine does wrong.
package enum FakeFault: Sendable {
  /// An error of the protocol.
  case error(status: Int, code: String, message: String = "as the test wants it", progress: Double? = nil)
  /// Forgets every mixture before it reads the request.
  case forgetsMixtures
  /// The answer ends in the middle of its body, and the connection with it.
  case cutInBody
  /// Closes the connection without a byte.
  case closesBeforeAnswer
  /// Answers well, and closes the connection without a word about it.
  case closesAfterAnswer
  /// The same with a header that says so.
  case saysItCloses
  /// So many bytes more are announced than come, or fewer.
  case wrongLength(by: Int)
  /// Says nothing until the other side closes.
  case silence
  /// Answers for the base, whatever mixture was asked for, and says so.
  case answersForBase
  /// The last rank has another vector.
  case otherReadBack
  case raw([UInt8])
  /// Sends headers until the other side closes.
  case endlessHead
  /// A body of so many bytes.
  case body(count: Int)
  /// Of a stream: without its last line.
  case noLastLine
  /// Of a stream: says nothing more after so many tokens.
  case stallsAfter(tokens: Int)
  /// The process ends at this request.
  case dies
}
