/// The search methods of t2d. A line here, and the method is known to the protocol, to task files, to the configuration,
/// to the worker and to the help of t2ctl.
package enum SearchMethods {
  /// In the order in which `all` runs them and help lists them. A new one goes to the end: the place in a run of `all`
  /// tells a method which random numbers are its own.
  package static let all: [any SearchMethod.Type] = [
    CrossEntropyMethod.self,
    RandomShooting.self,
    SeparableCMAES.self,
    GradientAscent.self,
    NaturalEvolution.self,
  ]
}
