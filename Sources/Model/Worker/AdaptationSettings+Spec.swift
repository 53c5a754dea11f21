import Adaptation
import Multipliers
import Settings
import WorkerProtocol

/// The methods that `--search` knows, in the order in which `all` runs them.
enum SearchChoice {
  static let all = [CrossEntropyMethod.name, RandomShooting.name, SeparableCMAES.name, GradientAscent.name]

  static func method(_ name: String, _ search: SearchSettings) -> SearchConfiguration.Method? {
    switch name {
    case CrossEntropyMethod.name:
      var settings = CrossEntropyMethod.Settings()
      settings.population = search.population
      settings.elites = search.elites
      settings.iterations = search.iterations
      return .crossEntropy(settings)
    case RandomShooting.name:
      var settings = RandomShooting.Settings()
      settings.population = search.population
      settings.iterations = search.iterations
      return .random(settings)
    case SeparableCMAES.name:
      var settings = SeparableCMAES.Settings()
      settings.population = search.population
      settings.iterations = search.iterations
      return .covariance(settings)
    case GradientAscent.name:
      var settings = GradientAscent.Settings()
      // The default is meant for populations.
      settings.iterations = min(settings.iterations, search.iterations)
      settings.objective = Objective(search.objective)
      return .gradient(settings)
    default: return nil
    }
  }
}

/// What an adaptation is to do, checked: one configuration for every method and granularity.
/// - Parameter hasChoices: whether the shots are rows with choices, of which alone there is a gradient.
func adaptationSettings(
  _ search: SearchSettings, hasChoices: Bool, experts: Int, layout: MultiplierLayout, rescale: Rescale, identity: String
) throws(WorkerFault) -> AdaptationSettings {
  let mix = search.mix ?? .standard(for: rescale)
  guard mix == .delta || rescale == .nuclear || search.isNormalized else {
    throw WorkerFault(
      .badRequest,
      "experts without rescale cannot be mixed by 'sum' with free coefficients, whose sum would scale whole matrices; "
        + "ask for normalized coefficients, or for the mix 'delta'")
  }
  let objective = Objective(search.objective)
  guard search.population >= 2, search.population <= 4096, search.elites >= 2, search.elites <= search.population,
    search.iterations >= 1, search.lower < search.upper, !search.granularities.isEmpty
  else {
    throw WorkerFault(
      .badRequest,
      "a search needs 2 to 4096 candidates, 2 elites or more, an iteration and a range; got \(search.population) "
        + "candidates, \(search.elites) elites, \(search.iterations) iterations, \(search.lower) to \(search.upper)")
  }
  var configurations: [SearchConfiguration] = []
  if search.method == .gradient, !hasChoices {
    throw WorkerFault(
      .unsupported, "the search 'gradient' needs rows with choices: only a gold choice has a log-likelihood to ascend")
  }
  let all = SearchChoice.all.filter { hasChoices || $0 != GradientAscent.name }
  for name in search.method == .all ? all : [search.method.rawValue] {
    guard let method = SearchChoice.method(name, search) else {
      throw WorkerFault(
        .unsupported,
        "the search method '\(name)' is not known here; known are \(SearchChoice.all.joined(separator: ", ")) and all")
    }
    for granularity in search.granularities {
      configurations.append(
        SearchConfiguration(
          method: method,
          space: MixtureSpace(
            experts: experts, units: layout.unitCount(granularity), granularity: granularity, mix: mix,
            normalised: search.isNormalized, lower: search.lower, upper: search.upper)))
    }
  }
  return AdaptationSettings(
    seed: search.seed, objective: objective, configurations: configurations, promptBudget: search.budgetPrompts,
    secondsBudget: search.budgetSeconds, identity: identity)
}

extension Objective {
  init(_ objective: SearchObjective) {
    switch objective {
    case .accuracy: self = .accuracy
    case .loglik: self = .loglik
    }
  }
}
