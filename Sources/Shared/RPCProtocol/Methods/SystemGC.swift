import Records

package enum SystemGC: RPCMethodDeclaration {
  package static let name = "system.gc"
  package static let since = 4
  package static let access = RPCMethod.Access.change
  package static let verb = "gc"
  package static let summary =
    "Removes the files of the store that nothing has named for the grace time, and gives up what was removed before it; "
    + "without 'apply' it only says which."

  package struct Parameters: Record {
    @Setting("remove them") package var apply = false
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    /// Whether they were removed.
    package var applied: Bool
    package var files: Int
    package var bytes: Int
    /// The first of them.
    package var paths: [String]
    /// Removals older than the grace time, which cannot be undone then.
    package var removals: Int
    /// Files that nothing names and that are too young.
    package var young: Int

    package init(applied: Bool, files: Int, bytes: Int, paths: [String], removals: Int, young: Int) {
      (self.applied, self.files, self.bytes, self.paths) = (applied, files, bytes, paths)
      (self.removals, self.young) = (removals, young)
    }
  }
}
