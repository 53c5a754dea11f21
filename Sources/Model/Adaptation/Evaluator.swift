package import Multipliers
package import Search
package import StrictJSON

/// Gives scores at the least cost: from what is known, from the journal of an interrupted run, or from the scorer; and
/// ranks a population without finishing candidates that cannot be elites.
///
/// Works in steps (the baselines, a generation, the held-out scores). What a step computed is its record in the journal.
package struct Evaluator<Scorer: CandidateScorer> {
  private let scorer: Scorer
  private let chunks: [[Int]]
  /// Off only in tests: pruning and the cache change costs, never results.
  private let prunes: Bool
  private let caches: Bool
  private var known: [MixtureKey: [[ShotScore]?]] = [:]
  private var knownGradients: [MixtureKey: [Int: ShotGradient]] = [:]

  package private(set) var costs = SearchCosts()

  private var replay: [ReplayKey: ShotGradient] = [:]
  private var record: [JSONValue] = []

  private struct ReplayKey: Hashable {
    var candidate: Int
    var chunk: Int
  }

  package init(_ scorer: Scorer, chunks: [[Int]], prunes: Bool = true, caches: Bool = true) {
    self.scorer = scorer
    self.chunks = chunks
    self.prunes = prunes
    self.caches = caches
  }

  // MARK: - steps

  /// Begins a step; `scores` is what the journal holds of it.
  package mutating func begin(replaying scores: JSONValue?) {
    replay = [:]
    record = []
    if !caches { known = [:] }
    for entry in scores?.arrayValue ?? [] {
      guard let parts = entry.arrayValue, parts.count == 3 || parts.count == 4, let candidate = parts[0].intValue,
        let chunk = parts[1].intValue, let shots = parts[2].arrayValue
      else { continue }
      let gradient = parts.count == 4 ? (parts[3].arrayValue ?? []).compactMap(\.doubleValue) : []
      replay[ReplayKey(candidate: candidate, chunk: chunk)] = ShotGradient(
        shots: shots.compactMap(shotScore), gradient: gradient)
    }
  }

  /// `[[candidate, chunk, [[right, loglik], …]], …]` of this step; a gradient stands after the shots.
  package var scores: JSONValue { .array(record) }

  // MARK: - whole scores

  /// Scores of candidates on whole chunks, nothing dropped; nil is a candidate that does not exist.
  package mutating func scores(
    of candidates: [MixtureCoefficients?], on chunks: [Int]
  ) throws(ScorerError) -> [MemberScore] {
    var population = Population(candidates, scorer: scorer)
    try compute(population.missing(chunks, in: known).flatMap(\.self), of: population)
    population.read(chunks, from: known, sizes: self.chunks)
    return population.members.map { population.score(ofDistinct: $0, rule: scorer.likelihoodRule) }
  }

  // MARK: - a ranking

  /// The first `leaders` candidates of a population, its elites, in order: (score, log-likelihood, index).
  ///
  /// Rounds: the first chunk of everybody, then all chunks of those that lead, then chunk by chunk, dropping before each
  /// round the candidates whose upper bound is below the last elite's score. What is dropped could not have been one, so the
  /// answer is that of scoring everybody.
  package mutating func rank(
    _ candidates: [MixtureCoefficients?], on chunks: [Int], leaders: Int, objective: Objective
  ) throws(ScorerError) -> [RankedMember] {
    precondition(leaders > 0 && leaders <= candidates.count, "\(leaders) leaders of \(candidates.count)")
    var population = Population(candidates, scorer: scorer)
    population.read(chunks, from: known, sizes: self.chunks)
    countCached(population, chunks)

    var missing = population.missing(chunks, in: known)
    if prunes {
      try compute(missing.compactMap(\.first), of: population)
      population.read(chunks, from: known, sizes: self.chunks)
      let leading = Set(
        population.order(by: objective, rule: scorer.likelihoodRule).prefix(leaders).map { population.members[$0] })
      missing = population.missing(chunks, in: known)
      try compute(leading.compactMap { $0 }.sorted().flatMap { missing[$0] }, of: population)
      population.read(chunks, from: known, sizes: self.chunks)
      try finish(&population, chunks, leaders, objective)
    } else {
      try compute(missing.flatMap(\.self), of: population)
      population.read(chunks, from: known, sizes: self.chunks)
    }

    let ranked = population.order(by: objective, rule: scorer.likelihoodRule)
      .filter { population.isComplete(member: $0) }
    return ranked.prefix(leaders).map {
      RankedMember(member: $0, score: population.score(ofDistinct: population.members[$0], rule: scorer.likelihoodRule))
    }
  }

  private mutating func finish(
    _ population: inout Population, _ chunks: [Int], _ leaders: Int, _ objective: Objective
  ) throws(ScorerError) {
    let rule = scorer.likelihoodRule
    while true {
      let complete = population.order(by: objective, rule: rule).filter { population.isComplete(member: $0) }
      let last =
        complete.count >= leaders
        ? population.score(ofDistinct: population.members[complete[leaders - 1]], rule: rule) : .worst
      let missing = population.missing(chunks, in: known)
      var alive: [Int] = []
      for distinct in missing.indices where !missing[distinct].isEmpty && !population.dropped.contains(distinct) {
        if population.score(ofDistinct: distinct, rule: rule).isBelow(last, by: objective) {
          population.dropped.insert(distinct)
          costs.savedByPruning += missing[distinct].reduce(0) { $0 + self.chunks[$1.chunk].count }
        } else {
          alive.append(distinct)
        }
      }
      if alive.isEmpty { return }
      // A round of fewer pieces than this leaves threads idle longer than pruning saves.
      let each = max(1, 4 / alive.count)
      try compute(alive.flatMap { missing[$0].prefix(each) }, of: population)
      population.read(chunks, from: known, sizes: self.chunks)
    }
  }

  // MARK: - a gradient

  /// What a gradient costs beside a score: a forward pass, and a backward one of twice its work.
  package static var gradientCost: Int { 3 }

  /// The score of a candidate on whole chunks and the gradient of its log-likelihood by its coefficients.
  ///
  /// Kept apart from the known scores: the passes differ in their last bits, and what is known must not depend on who
  /// asked first. `sharing` makes its scores known all the same; that is for who does come first, by the settings alone.
  package mutating func gradient(
    at candidate: MixtureCoefficients, on chunks: [Int], sharing: Bool = false
  ) throws(ScorerError) -> PointGradient {
    let coefficients = candidate.alpha.reduce(0) { $0 + $1.count }
    let key = MixtureKey(candidate)
    var found = knownGradients[key] ?? [:]
    let cached = Set(found.keys)
    for chunk in chunks where found[chunk] == nil {
      if let known = replay[ReplayKey(candidate: 0, chunk: chunk)], known.gradient.count == coefficients,
        known.shots.count == self.chunks[chunk].count
      {
        found[chunk] = known
      }
    }
    let asked = chunks.filter { found[$0] == nil }
    if !asked.isEmpty {
      let results = try scorer.gradients(asked.map { ScoringWork(candidate: candidate, shots: self.chunks[$0]) })
      precondition(results.count == asked.count, "\(results.count) gradients for \(asked.count) pieces of work")
      for (chunk, result) in zip(asked, results) {
        precondition(result.gradient.count == coefficients, "a gradient by \(result.gradient.count) coefficients")
        found[chunk] = result
      }
    }
    var shots: [ShotScore?] = []
    var sum = [Double](repeating: 0, count: coefficients)
    for chunk in chunks {
      guard let part = found[chunk] else { preconditionFailure("chunk \(chunk) has no gradient") }
      shots += part.shots
      if sharing { keep(part.shots, of: key, on: chunk) }
      for index in sum.indices { sum[index] += part.gradient[index] }
      guard !cached.contains(chunk) else {
        costs.savedByCache += Self.gradientCost * part.shots.count
        continue
      }
      costs.prompts += Self.gradientCost * part.shots.count
      record.append(
        .array([
          0, .integer(Int64(chunk)), .array(part.shots.map(shotJSON)), .array(part.gradient.map { .number($0) }),
        ]))
    }
    knownGradients[key] = found
    let count = Double(shots.count)
    return PointGradient(
      score: MemberScore(shots, rule: scorer.likelihoodRule), gradient: sum.map { $0 / count })
  }

  private mutating func countCached(_ population: Population, _ chunks: [Int]) {
    var met: Set<Int> = []
    for case let distinct? in population.members {
      let isRepeated = !met.insert(distinct).inserted
      for chunk in chunks where isRepeated || known[population.keys[distinct]]?[chunk] != nil {
        costs.savedByCache += self.chunks[chunk].count
      }
    }
  }

  /// Makes scores known: out of the journal where it has them, out of the scorer otherwise.
  private mutating func compute(_ pieces: [Piece], of population: Population) throws(ScorerError) {
    var asked: [Piece] = []
    for piece in pieces {
      if let known = replay[ReplayKey(candidate: piece.distinct, chunk: piece.chunk)],
        known.shots.count == chunks[piece.chunk].count
      {
        keep(known.shots, piece, population)
      } else {
        asked.append(piece)
      }
    }
    guard !asked.isEmpty else { return }
    let results = try scorer.score(
      asked.map { ScoringWork(candidate: population.candidates[$0.distinct], shots: chunks[$0.chunk]) })
    precondition(results.count == asked.count, "\(results.count) results for \(asked.count) pieces of work")
    for (piece, scores) in zip(asked, results) { keep(scores, piece, population) }
  }

  private mutating func keep(_ scores: [ShotScore], of key: MixtureKey, on chunk: Int) {
    let nothing: [[ShotScore]?] = Array(repeating: nil, count: chunks.count)
    known[key, default: nothing][chunk] = scores
  }

  private mutating func keep(_ scores: [ShotScore], _ piece: Piece, _ population: Population) {
    keep(scores, of: population.keys[piece.distinct], on: piece.chunk)
    costs.prompts += scores.count
    record.append(
      .array([
        .integer(Int64(piece.distinct)), .integer(Int64(piece.chunk)), .array(scores.map(shotJSON)),
      ]))
  }
}
