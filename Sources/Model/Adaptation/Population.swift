import Multipliers
import Search
import StrictJSON

/// A candidate and a chunk whose score is not known yet.
struct Piece {
  var distinct: Int
  var chunk: Int
}

/// The members of one generation, equal ones taken together, and what is known of each.
struct Population {
  /// For each member its distinct candidate; nil for one that does not exist.
  let members: [Int?]
  let candidates: [MixtureCoefficients]
  let keys: [MixtureKey]
  /// Shots of each distinct candidate in the order of the chunks; nil is not scored.
  private var shots: [[ShotScore?]] = []
  private var unknown: [Int] = []
  /// Distinct candidates that can no longer lead.
  var dropped: Set<Int> = []

  init(_ members: [MixtureCoefficients?], scorer: some CandidateScorer) {
    var places: [Int?] = []
    var candidates: [MixtureCoefficients] = []
    var keys: [MixtureKey] = []
    var seen: [MixtureKey: Int] = [:]
    for member in members {
      guard let member, scorer.admits(member) else {
        places.append(nil)
        continue
      }
      let key = MixtureKey(member)
      let place = seen[key] ?? candidates.count
      if place == candidates.count {
        seen[key] = place
        candidates.append(member)
        keys.append(key)
      }
      places.append(place)
    }
    self.members = places
    self.candidates = candidates
    self.keys = keys
  }

  /// For each distinct candidate the chunks that are not known.
  func missing(_ chunks: [Int], in known: [MixtureKey: [[ShotScore]?]]) -> [[Piece]] {
    keys.indices.map { distinct in
      let scores = known[keys[distinct]]
      return chunks.filter { scores?[$0] == nil }.map { Piece(distinct: distinct, chunk: $0) }
    }
  }

  /// Takes over what has become known.
  mutating func read(_ chunks: [Int], from known: [MixtureKey: [[ShotScore]?]], sizes: [[Int]]) {
    shots = keys.map { key in
      let scores = known[key]
      return chunks.flatMap { chunk in scores?[chunk] ?? Array(repeating: nil, count: sizes[chunk].count) }
    }
    unknown = shots.map { $0.reduce(0) { $0 + ($1 == nil ? 1 : 0) } }
  }

  /// The score of a distinct candidate, an upper bound where shots are unknown; −∞ for nil.
  func score(ofDistinct distinct: Int?, rule: LikelihoodRule) -> MemberScore {
    guard let distinct else { return .worst }
    return MemberScore(shots[distinct], rule: rule)
  }

  func isComplete(member: Int) -> Bool { members[member].map { unknown[$0] == 0 } ?? true }

  /// Members by score or bound, best first, equal ones by index.
  func order(by objective: Objective, rule: LikelihoodRule) -> [Int] {
    let scores = candidates.indices.map { score(ofDistinct: $0, rule: rule) }
    let values = members.map { $0.map { scores[$0] } ?? .worst }
    return members.indices.sorted { a, b in
      let (x, y) = (values[a], values[b])
      if y.isBelow(x, by: objective) { return true }
      if x.isBelow(y, by: objective) { return false }
      return a < b
    }
  }
}

/// What makes two mixtures the same to the cache: the same numbers, used the same way.
struct MixtureKey: Hashable, Sendable {
  private let granularity: Granularity
  private let mix: MixRule
  private let bits: [UInt32]

  init(_ coefficients: MixtureCoefficients) {
    granularity = coefficients.granularity
    mix = coefficients.mix
    // −0 is 0: both give the same products.
    bits = coefficients.alpha.flatMap { $0.map { ($0 == 0 ? 0 : $0).bitPattern } }
  }
}

func shotJSON(_ score: ShotScore) -> JSONValue {
  .array([.number(score.right), score.logLikelihood.map { $0.isFinite ? .number($0) : .string("-inf") } ?? .null])
}

func shotScore(_ value: JSONValue) -> ShotScore? {
  guard let parts = value.arrayValue, parts.count == 2, let right = parts[0].doubleValue else { return nil }
  if parts[1] == .string("-inf") { return ShotScore(right: right, logLikelihood: -.infinity) }
  return ShotScore(right: right, logLikelihood: parts[1].doubleValue)
}
