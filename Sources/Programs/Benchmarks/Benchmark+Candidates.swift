import Engines
import LinearAlgebra
import Multipliers
import Transformer

extension Benchmark {
  static let candidates = Benchmark(
    name: "candidates", summary: "a population of 32 on 10 questions with 2 experts, beside the plain way",
    run: measureCandidates)
}

/// Members that the plain way is measured on; it costs the same for each.
private let plainMembers = 2
private let members = 32

private func measureCandidates(_ context: borrowing BenchmarkContext) throws -> [Measurement] {
  let model = try loadModel(context)
  var tokens = BenchmarkTokens(vocabulary: model.shape.vocabulary)
  let shots = tokens.shots()
  let experts = [testVector(model.layout, seed: 7), testVector(model.layout, seed: 8)]
  let mixer = Mixer(
    layout: model.layout, sigma: model.factorization.sigma, experts: experts, rescale: .none)
  let coefficients = (0..<members).map {
    MixtureCoefficients(mix: .delta, [0.1 + 0.02 * Float($0), 0.9 - 0.01 * Float($0)])
  }

  context.say("  the experts' matrices")
  var built: ExpertBasis?
  // A machine that has lent its memory elsewhere gives it back page by page the first time.
  var basisSeconds = Double.infinity
  for _ in 0..<max(context.options.repetitions, 2) {
    built = nil
    basisSeconds = min(
      basisSeconds, try context.seconds { built = try ExpertBasis(model: model, experts: experts) })
  }
  guard let basis = built else { throw BenchmarkError("no basis was built") }
  context.say("  the population")
  let population = try coefficients.map { Candidate(try mixer.blend($0), shots) }
  _ = try model.scoreCandidates(basis: basis, Array(population.prefix(2)), priority: .interactive)
  let ours = try context.seconds { _ = try model.scoreCandidates(basis: basis, population, priority: .interactive) }

  context.say("  the plain way, \(plainMembers) members of it")
  let sequences = plainSequences(shots, &tokens)
  var products = 0.0
  var single = 0.0
  var batched = 0.0
  let alone = BlendCoefficients(
    base: [Float](repeating: 0, count: model.layout.matrices.count),
    experts: [[Float]](repeating: [1], count: model.layout.matrices.count))
  for member in coefficients.prefix(plainMembers) {
    let vector = try mixer.multipliers(member)
    var weights: ExpertBasis?
    // One product of the full shape for each matrix.
    products += try context.seconds { weights = try ExpertBasis(model: model, experts: [vector]) }
    guard let weights else { continue }
    single += try context.seconds {
      _ = try model.scoreCandidates(
        basis: weights, sequences.map { Candidate(alone, [$0]) }, priority: .interactive)
    }
    batched += try context.seconds {
      _ = try model.scoreCandidates(
        basis: weights,
        [0, 1].map { half in
          Candidate(alone, sequences.indices.filter { $0 % 2 == half }.map { sequences[$0] })
        }, priority: .interactive)
    }
  }
  let scale = Double(members) / Double(plainMembers)
  let speed = MachineSpeed.measure(on: context.pool)
  let work = Work(shots, model.shape)
  return [
    Measurement("the experts' matrices, once a search", basisSeconds, "s"),
    Measurement("population", ours, "s"),
    Measurement("of it a member", ours / Double(members), "s"),
    .ratio("share of the sgemm", Double(members) * work.operations / ours / speed.productAllCores),
    Measurement("plain: products U diag(s sigma) V", products * scale, "s"),
    Measurement("plain: sequences one by one", single * scale, "s"),
    Measurement("plain: sequences batched", batched * scale, "s"),
    .ratio("population to the plain way", ours / ((products + single) * scale), .atMost(0.25)),
    .ratio("the same with the matrices of the experts", (ours + basisSeconds) / ((products + single) * scale)),
    .ratio("population to the plain way, batched", ours / ((products + batched) * scale)),
  ]
}

/// Every question with every choice as a sequence of its own, of which nothing is shared: first tokens differ.
private func plainSequences(_ shots: [ScoringItem], _ tokens: inout BenchmarkTokens) -> [ScoringItem] {
  shots.flatMap { shot in
    shot.continuations.map { ScoringItem(prompt: [tokens.next()] + shot.prompt.dropFirst(), continuations: [$0]) }
  }
}
