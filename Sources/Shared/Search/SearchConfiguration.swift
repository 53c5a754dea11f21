/// One way to search: a method, its settings and the space. Several are compared on the folds.
package struct SearchConfiguration: Sendable, Equatable {
  package let method: any SearchMethod.Type
  package let space: MixtureSpace
  /// At most so many.
  package let generations: Int
  /// What tells a journal of this search from one of another.
  package let fingerprint: String
  private let make: @Sendable (SearchStart) -> any SearchMethod

  package init<Method: SearchMethod>(
    _ method: Method.Type, _ settings: Method.Settings = .init(), in space: MixtureSpace
  ) {
    self.method = method
    self.space = space
    generations = settings.iterations
    make = { Method(space: space, settings: settings, start: $0) }
    // Every member of the settings, by reflection, so that none is forgotten. The first journals of this version were
    // written when the types belonged to the module Adaptation, and are read still.
    let members = String(reflecting: settings).replacing("Search.", with: "Adaptation.")
    fingerprint = "\(Method.journalName)(\(members))/\(space)"
  }

  /// A method of the table, as it was asked for.
  package init(_ method: any SearchMethod.Type, _ requested: RequestedSettings, in space: MixtureSpace) {
    func configured<Method: SearchMethod>(_ method: Method.Type) -> SearchConfiguration {
      var settings = Method.Settings()
      settings.apply(requested)
      return SearchConfiguration(method, settings, in: space)
    }
    self = configured(method)
  }

  package func started(_ start: SearchStart) -> any SearchMethod { make(start) }

  /// The fingerprint holds all that there is.
  package static func == (a: SearchConfiguration, b: SearchConfiguration) -> Bool { a.fingerprint == b.fingerprint }
}
