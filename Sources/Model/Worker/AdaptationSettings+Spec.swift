import Adaptation
import Multipliers
import Search
import Settings
import WorkerProtocol

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
  if let problem = search.problem { throw WorkerFault(.badRequest, "cannot search so: \(problem)") }
  let methods = search.method.methods(withGradients: hasChoices)
  if !hasChoices, methods.contains(where: { $0.needsGradients }) {
    throw WorkerFault(
      .unsupported,
      "the search '\(search.method)' needs rows with choices: only a gold choice has a log-likelihood to ascend")
  }
  let requested = RequestedSettings(
    population: search.population, elites: search.elites, iterations: search.iterations,
    objective: search.objective)
  let configurations = methods.flatMap { method in
    search.granularities.map { granularity in
      SearchConfiguration(
        method, requested,
        in: MixtureSpace(
          experts: experts, units: layout.unitCount(granularity), granularity: granularity, mix: mix,
          normalised: search.isNormalized, lower: search.lower, upper: search.upper))
    }
  }
  return AdaptationSettings(
    seed: search.seed, objective: search.objective, configurations: configurations, promptBudget: search.budgetPrompts,
    secondsBudget: search.budgetSeconds, identity: identity)
}
