/// How much of what a mixture changes is in a cut of low rank.
///
/// The singular values of W' − W are |s − 1| σ, so the best cut of rank K keeps the K largest of them, and what it misses
/// is known without forming either matrix.
package struct LowRankFit: Codable, Sendable, Equatable {
  package var rank: Int
  /// Multipliers other than 1, in the matrix that has most of them.
  package var components: Int
  /// Whether that is at most the rank: then nothing is missing but the rounding of floats.
  package var exact: Bool
  /// ‖W' − (W + B A)‖ / ‖W' − W‖, Frobenius, over all matrices together; 0 where nothing is changed.
  package var relativeError: Double
  /// The share of ‖W' − W‖² that is kept, as the mean over the matrices that are changed, and in the worst of them.
  package var energyMean: Double
  package var energyLeast: Double

  package init(
    rank: Int, components: Int, relativeError: Double, energyMean: Double, energyLeast: Double
  ) {
    self.rank = rank
    self.components = components
    exact = components <= rank
    self.relativeError = relativeError
    self.energyMean = energyMean
    self.energyLeast = energyLeast
  }
}
