package import Records

package enum ExpertRollback: RPCMethodDeclaration {
  package static let name = "expert.rollback"
  package static let access = RPCMethod.Access.change
  package static let verb = "expert rollback"
  package static let summary = "Makes the version active that was active before."

  package struct Parameters: Record {
    @Setting("its name") package var expert: String
    @Setting("for the journal") package var reason: String?
    package init() {}
  }

  package typealias Result = AliasMoved
}
