/// Steps of making a model ready, for a progress bar.
package enum LoadingStep: Sendable, Equatable {
  case reading, digesting
  /// Matrices done of all, how many of them an earlier computation left, and the share of the work that is done.
  /// Skipped where the cache has all.
  case factorizing(done: Int, of: Int, found: Int, share: Double)
  /// An engine elsewhere is at it; from 0 to 1, where it says how far it is.
  case starting(share: Double?, what: String)
}
