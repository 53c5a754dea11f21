package import Records

package enum ExpertPromote: RPCMethodDeclaration {
  package static let name = "expert.promote"
  package static let access = RPCMethod.Access.change
  package static let verb = "expert promote"
  package static let summary = "Makes a version the active one."

  package struct Parameters: Record {
    @Setting("NAME@VERSION") package var expert: String
    @Setting("for the journal") package var reason: String?
    @Setting("although it was made for another base model") package var allowBase = false
    @Setting("although a check has quarantined it") package var allowQuarantined = false
    package init() {}
  }

  package typealias Result = AliasMoved
}

/// What a name stands for now, and stood for before.
package struct AliasMoved: Codable, Sendable, Equatable {
  package var name: String
  @NullWhenAbsent package var version: Int?
  @NullWhenAbsent package var state: String?
  @NullWhenAbsent package var active: Int?
  @NullWhenAbsent package var previous: Int?

  package init(name: String, version: Int? = nil, state: String? = nil, active: Int? = nil, previous: Int? = nil) {
    self.name = name
    self.version = version
    self.state = state
    self.active = active
    self.previous = previous
  }
}
