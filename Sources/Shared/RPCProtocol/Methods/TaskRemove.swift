package import Records

package enum TaskRemove: RPCMethodDeclaration {
  package static let name = "task.remove"
  package static let since = 4
  package static let access = RPCMethod.Access.change
  package static let verb = "task remove"
  package static let summary =
    "Takes a task away with its mixtures; without 'apply' it only says what depends on it. It can be undone until gc gives "
    + "its files up."

  package struct Parameters: Record {
    @Setting("its name") package var task: String
    @Setting("for the journal") package var reason: String?
    @Setting("remove it") package var apply = false
    package init() {}
  }

  package typealias Result = Removed
}
