package import Records

package enum ExpertRetire: RPCMethodDeclaration {
  package static let name = "expert.retire"
  package static let access = RPCMethod.Access.change
  package static let verb = "expert retire"
  package static let summary = "Takes an expert out of every coming search; its versions stay."

  package struct Parameters: Record {
    @Setting("its name") package var expert: String
    @Setting("for the journal") package var reason: String?
    package init() {}
  }

  package typealias Result = AliasMoved
}
