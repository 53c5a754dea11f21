/// What a method can be told. Its members have the method's own defaults.
package protocol SearchMethodSettings: Sendable, Equatable {
  init()

  /// At most so many generations.
  var iterations: Int { get }

  /// Takes over what means something to the method.
  mutating func apply(_ requested: RequestedSettings)
}

/// What a search has where nobody says otherwise: the defaults of `SearchSettings` and of the methods' own settings.
package enum StandardSearch {
  package static let population = 32
  /// 0.2 of the population, rounded down.
  package static let elites = 6
  package static let iterations = 100
  /// Of a spread: below about one step of the grid it draws the same points again.
  package static let floor = 0.02
  /// A population method ends after so many generations without another best.
  package static let patience = 8
}

/// Settings of a method that compares populations.
package protocol PopulationSettings: SearchMethodSettings {
  var population: Int { get set }
  var iterations: Int { get set }
}

extension PopulationSettings {
  package mutating func apply(_ requested: RequestedSettings) {
    population = requested.population ?? population
    iterations = requested.iterations ?? iterations
  }
}

/// What whoever asks for a search may say, whatever the method; nil leaves it to the method's own default.
package struct RequestedSettings: Sendable, Equatable {
  /// Members of a generation.
  package var population: Int?
  /// Members that the next generation is learnt from.
  package var elites: Int?
  /// At most so many generations.
  package var iterations: Int?
  package var objective: Objective?

  package init(population: Int? = nil, elites: Int? = nil, iterations: Int? = nil, objective: Objective? = nil) {
    self.population = population
    self.elites = elites
    self.iterations = iterations
    self.objective = objective
  }
}
