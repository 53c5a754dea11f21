/// What a method can be told. Its members have the method's own defaults.
package protocol SearchMethodSettings: Sendable, Equatable {
  init()

  /// At most so many generations.
  var iterations: Int { get }

  /// Takes over what means something to the method.
  mutating func apply(_ requested: RequestedSettings)
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
