package import Records

package enum RemovalUndo: RPCMethodDeclaration {
  package static let name = "removal.undo"
  package static let since = 4
  package static let access = RPCMethod.Access.change
  package static let verb = "removal undo"
  package static let summary =
    "Brings back what was removed, as long as gc has not given its files up. A version that was active is so again, unless "
    + "another one was promoted since."

  package struct Parameters: Record {
    @Setting("its number, as removal.list says", 1...Int64.max) package var removal: Int64
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    @Flattened package var row: RemovalRow
    /// The active version of the expert now; null where none is, and of what is no expert.
    @NullWhenAbsent package var active: Int?

    package init(row: RemovalRow, active: Int?) {
      self.row = row
      self.active = active
    }
  }
}
