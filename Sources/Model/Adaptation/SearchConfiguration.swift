/// One way to search; several are compared on the folds.
package struct SearchConfiguration: Sendable, Equatable {
  package enum Method: Sendable, Equatable {
    case crossEntropy(CrossEntropyMethod.Settings)
    case random(RandomShooting.Settings)
    case covariance(SeparableCMAES.Settings)
    case gradient(GradientAscent.Settings)

    package var name: String {
      switch self {
      case .crossEntropy: CrossEntropyMethod.name
      case .random: RandomShooting.name
      case .covariance: SeparableCMAES.name
      case .gradient: GradientAscent.name
      }
    }

    /// At most so many generations.
    var generations: Int {
      switch self {
      case .crossEntropy(let settings): settings.iterations
      case .random(let settings): settings.iterations
      case .covariance(let settings): settings.iterations
      case .gradient(let settings): settings.iterations
      }
    }

    /// Whether its points lie on the grid of the space, which a method that follows a gradient leaves.
    var isOnGrid: Bool {
      switch self {
      case .crossEntropy, .random, .covariance: true
      case .gradient: false
      }
    }
  }

  package var method: Method
  package var space: MixtureSpace

  package init(method: Method, space: MixtureSpace) {
    self.method = method
    self.space = space
  }

  /// `isWhole` is false of a search without a fold.
  func start(seed: UInt64, stream: UInt32, isWhole: Bool) -> any SearchMethod {
    switch method {
    case .crossEntropy(let settings): CrossEntropyMethod(space: space, settings: settings, seed: seed, stream: stream)
    case .random(let settings): RandomShooting(space: space, settings: settings, seed: seed, stream: stream)
    case .covariance(let settings): SeparableCMAES(space: space, settings: settings, seed: seed, stream: stream)
    case .gradient(let settings): GradientAscent(space: space, settings: settings, isWhole: isWhole)
    }
  }
}
