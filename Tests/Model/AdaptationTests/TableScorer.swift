import Adaptation
import Multipliers
import Search

/// A scorer without a model: what a candidate does on a shot is a number drawn from the two, so that any search can be
/// run to its end in milliseconds and asked twice.
final class TableScorer: CandidateScorer {
  let shotCount: Int
  let likelihoodRule: LikelihoodRule
  /// Shots computed together.
  let chunkSize: Int
  /// Few levels of log-likelihood make ties, which the index must decide.
  let levels: Int
  /// Draws nearer to this mixture are better; nil is pure chance.
  let target: [Float]?
  let generator: Philox
  var refused: ([[Float]]) -> Bool = { _ in false }
  /// Cancels when so many pieces have been scored.
  var cancelsAfter = Int.max

  private(set) var calls = 0
  private(set) var pieces = 0
  private(set) var asked: [[UInt32]: Int] = [:]

  init(
    shots: Int, rule: LikelihoodRule = .everyShot, chunkSize: Int = 3, levels: Int = 1 << 20, target: [Float]? = nil,
    seed: UInt64 = 1
  ) {
    shotCount = shots
    likelihoodRule = rule
    self.chunkSize = chunkSize
    self.levels = levels
    self.target = target
    generator = Philox(seed: seed)
  }

  func chunks(of shots: [Int]) -> [[Int]] {
    stride(from: 0, to: shots.count, by: chunkSize).map { Array(shots[$0..<min($0 + chunkSize, shots.count)]) }
  }

  func admits(_ candidate: MixtureCoefficients) -> Bool { !refused(candidate.alpha) }

  func score(_ work: [ScoringWork]) throws(ScorerError) -> [[ShotScore]] {
    calls += 1
    var results: [[ShotScore]] = []
    for piece in work {
      guard pieces < cancelsAfter else { throw .cancelled }
      pieces += 1
      let values = piece.candidate.alpha.flatMap { $0.map(\.bitPattern) }
      asked[values + [piece.candidate.mix == .sum ? 1 : 0, UInt32(piece.shots[0])], default: 0] += 1
      results.append(piece.shots.map { score(piece.candidate, shot: $0) })
    }
    return results
  }

  func score(_ candidate: MixtureCoefficients, shot: Int) -> ShotScore {
    var hash: UInt32 = 2_166_136_261
    for row in candidate.alpha {
      for value in row { hash = (hash ^ value.bitPattern) &* 16_777_619 }
    }
    let (u, v) = generator.uniforms([hash, UInt32(shot), 0, 0])
    var distance = 0.0
    if let target {
      for (a, b) in zip(candidate.alpha.flatMap(\.self), target) { distance += Double(abs(a - b)) }
    }
    let right = target == nil ? u < 0.5 : u * 1.5 > distance
    let logLikelihood = -(v * Double(levels)).rounded() / Double(levels) * 3 - 2 * distance
    switch likelihoodRule {
    case .everyShot: return ShotScore(right: right ? 1 : 0, logLikelihood: logLikelihood)
    case .rightShots: return ShotScore(right: right ? 1 : 0, logLikelihood: right ? logLikelihood : nil)
    }
  }
}
