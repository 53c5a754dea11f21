import Settings
import Glibc
import Testing
import Transformer

@testable import Training

@Suite struct TrainingObjectiveTests {
  private static let sums = [-3.2, -1.5, -4.0, -2.2]
  private static let base = [-2.0, -2.5, -3.1, -1.9]

  /// Every objective, with and without divergence, in every coordinate.
  @Test(arguments: TrainingObjective.allCases, [(0, DivergenceDirection.paper), (0.3, .paper), (0.3, .reference)])
  func theDerivativesAreThoseOfFiniteDifferences(
    objective: TrainingObjective, divergence: (weight: Double, direction: DivergenceDirection)
  ) {
    func outcome(_ sums: [Double]) -> RowOutcome {
      objective.outcome(
        sums, gold: 2, base: Self.base, divergenceWeight: divergence.weight, direction: divergence.direction)
    }
    func loss(_ sums: [Double]) -> Double { outcome(sums).loss }
    let derivatives = outcome(Self.sums).derivatives
    for c in Self.sums.indices {
      var (up, down) = (Self.sums, Self.sums)
      up[c] += 1e-5
      down[c] -= 1e-5
      #expect(abs((loss(up) - loss(down)) / 2e-5 - derivatives[c]) < 1e-9, "choice \(c)")
    }
  }

  @Test func theRewardIsExpectedUnderTheModelRestrictedToTheChoices() {
    let even = TrainingObjective.reinforce.outcome([-7, -7, -7, -7], gold: 1)
    #expect(abs(even.reward + 0.5) < 1e-12 && abs(even.loss - 0.5) < 1e-12)
    #expect(!even.isRight)  // Of equal ones the first counts, as in acc.
    #expect(TrainingObjective.reinforce.outcome([-7, -7], gold: 0).isRight)
    let sure = TrainingObjective.reinforce.outcome([-900, -1], gold: 1)
    #expect(sure.reward == 1 && sure.isRight && sure.derivatives == [0, 0])
    let hopeless = TrainingObjective.reinforce.outcome([-900, -1], gold: 0)
    #expect(hopeless.reward == -1 && hopeless.derivatives == [0, 0])
    // Where the reward is flat the cross-entropy still pulls.
    #expect(TrainingObjective.crossEntropy.outcome([-900, -1], gold: 0).derivatives == [-1, 1])
  }

  /// Sums over two choices, written out.
  @Test func eachDirectionIsTheDivergenceOfItsName() {
    func divergence(_ direction: DivergenceDirection) -> Double {
      TrainingObjective.reinforce.outcome(
        [log(0.9), log(0.1)], gold: 0, base: [log(0.5), log(0.5)], divergenceWeight: 1, direction: direction
      ).divergence
    }
    #expect(abs(divergence(.paper) - (0.9 * log(0.9 / 0.5) + 0.1 * log(0.1 / 0.5))) < 1e-12)
    #expect(abs(divergence(.reference) - (0.5 * log(0.5 / 0.9) + 0.5 * log(0.5 / 0.1))) < 1e-12)
  }

  @Test func theDivergenceOfTheBaseFromItselfIsNothing() {
    let outcome = TrainingObjective.reinforce.outcome(Self.base, gold: 0, base: Self.base, divergenceWeight: 0.5)
    #expect(outcome.divergence == 0)
    #expect(outcome.derivatives == TrainingObjective.reinforce.outcome(Self.base, gold: 0).derivatives)
    #expect(
      TrainingObjective.reinforce.outcome(Self.sums, gold: 0, base: Self.base, divergenceWeight: 0.5).divergence > 0)
  }
}

@Suite struct TrainingSettingsTests {
  @Test func theRateRisesByALineAndFallsAsTheDecaySays() {
    var settings = TrainingSettings()
    settings.steps = 12
    settings.warmUp = 4
    settings.learningRate = 1
    let rates = (0..<12).map(settings.rate)
    #expect(zip(rates.prefix(4), [0.2, 0.4, 0.6, 0.8]).allSatisfy { abs($0 - $1) < 1e-12 })
    #expect(rates[4] == 1 && abs(rates[8] - 0.5) < 1e-12 && rates[11] > 0 && rates[11] < 0.05)
    #expect(rates[4...] == rates[4...].sorted(by: >)[...])
    settings.decay = .linear
    #expect((0..<12).map(settings.rate)[4...] == [1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125])
    settings.decay = .constant
    #expect((4..<12).map(settings.rate) == Array(repeating: 1, count: 8))
    // The way up is the same.
    #expect((0..<4).map(settings.rate) == Array(rates.prefix(4)))
  }

  @Test func whatCannotBeTrainedWithIsNamed() {
    #expect(TrainingSettings().trainingProblem == nil)
    func problem(_ change: (inout TrainingSettings) -> Void) -> String? {
      var settings = TrainingSettings()
      change(&settings)
      return settings.trainingProblem
    }
    #expect(problem { $0.steps = 0 }?.hasPrefix("'steps' must be from 1") == true)
    #expect(problem { $0.batch = 0 }?.contains("'batch'") == true)
    #expect(problem { $0.learningRate = .nan }?.contains("'learning_rate'") == true)
    #expect(problem { $0.learningRate = 0 }?.contains("'learning_rate'") == true)
    #expect(problem { $0.warmUp = 40 } == "the warm-up must be shorter than the 40 steps, and has 40")
    #expect(problem { $0.clip = 0 }?.contains("maximum gradient norm") == true)
    #expect(problem { $0.weightDecay = -1 }?.contains("'weight_decay'") == true)
    #expect(problem { $0.divergenceWeight = .nan }?.contains("'kl'") == true)
    #expect(problem { $0.patience = 0 }?.contains("patience") == true)
    #expect(problem { $0.samples = 0 }?.contains("'samples'") == true)
    #expect(
      problem {
        $0.batch = 4096
        $0.samples = 5
      }?.contains("16384 answers at most") == true)
    #expect(problem { $0.batch = .max }?.contains("'batch'") == true)
    for temperature in [0, -1, .nan, .infinity, 1e-50, 1e50] {
      #expect(problem { $0.temperature = temperature }?.contains("temperature") == true, "\(temperature)")
    }
    #expect(
      problem {
        $0.baseline = .group
        $0.samples = 1
      }?.contains("two or more") == true)
  }
}
