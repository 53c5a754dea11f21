package import Records

package enum ModelRemove: RPCMethodDeclaration {
  package static let name = "model.remove"
  package static let since = 4
  package static let access = RPCMethod.Access.change
  package static let verb = "model remove"
  package static let summary =
    "Takes a model away with the mixtures on it, and leaves its own files and its experts; without 'apply' it only says what "
    + "depends on it. It can be undone until gc gives the mixtures up."

  package struct Parameters: Record {
    @Setting("its name") package var name: String
    @Setting("for the journal") package var reason: String?
    @Setting("remove it") package var apply = false
    package init() {}
  }

  package typealias Result = Removed
}
