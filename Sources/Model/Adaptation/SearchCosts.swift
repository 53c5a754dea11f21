/// What searching cost and what it was spared, counted in evaluations: one row under one candidate. A gradient counts
/// three, a forward pass and a backward one of about twice its work.
///
/// Without cache, pruning and convergence a search of g generations of p candidates on n shots makes g·p·n evaluations;
/// those that were made and those that were saved add up to that number exactly.
package struct SearchCosts: Sendable, Equatable {
  /// Made, here or in the run that is resumed.
  package var prompts = 0
  /// Known already: the candidate, rounded to the grid, was met before.
  package var savedByCache = 0
  /// Of candidates that could not be among the elites any more.
  package var savedByPruning = 0
  /// Of the generations that were left when a method saw that it had converged or stalled.
  package var savedByConvergence = 0
  package var seconds = 0.0

  package init() {}

  /// The measured mean; nil where nothing was scored.
  package var secondsPerPrompt: Double? { prompts > 0 ? seconds / Double(prompts) : nil }

  static func += (a: inout SearchCosts, b: SearchCosts) {
    a.prompts += b.prompts
    a.savedByCache += b.savedByCache
    a.savedByPruning += b.savedByPruning
    a.savedByConvergence += b.savedByConvergence
    a.seconds += b.seconds
  }

  static func - (a: SearchCosts, b: SearchCosts) -> SearchCosts {
    var difference = a
    difference.prompts -= b.prompts
    difference.savedByCache -= b.savedByCache
    difference.savedByPruning -= b.savedByPruning
    difference.savedByConvergence -= b.savedByConvergence
    difference.seconds -= b.seconds
    return difference
  }
}
