package import Search

/// How far a search was after one of its generations: what a picture of its convergence is drawn from.
package struct SearchStep: Sendable, Equatable {
  package var generation: Int
  /// The best so far.
  package var best: MemberScore
  /// Of the elites, by what the search maximises; nil where no candidates are compared, or one alone is asked for.
  package var mean: Double?
  /// The mean over the coefficients of the spread that the next generation is drawn with; nil where none is.
  package var spread: Double?
  /// That this search has made until then, without those of other searches whose scores it found.
  package var prompts: Int
}
