package import Records

package enum AdapterResolve: RPCMethodDeclaration {
  package static let name = "adapter.resolve"
  package static let since = 5
  package static let access = RPCMethod.Access.read
  package static let verb = "rpc adapter.resolve"
  package static let summary =
    "A directory with an adapter that holds s − 1 of what a name stands for, for an engine that has t2d's extension: "
    + "written once, read-only, and gone when t2d starts again."
  package static let resultNotes =
    "path is below the daemon's runtime directory; digest is of the multipliers, and what an engine forms anew; generation is "
    + "the mixture's, and there where the name is a task's; name is the normal form without the base"

  package struct Parameters: Record {
    @Setting("what the engine was started with: a model's name, its path, or its id on a hub")
    package var engineModel: String
    @Setting("TASK[@GENERATION], else EXPERT[@VERSION]; expert:NAME[@VERSION]; or a mixture, NAME[@VERSION]=WEIGHT+...")
    package var name: String
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package var path: String
    package var digest: String
    package var generation: Int64?
    package var name: String
    package var model: String
    package var warnings: [String]?

    package init(path: String, digest: String, generation: Int64?, name: String, model: String, warnings: [String]) {
      (self.path, self.digest, self.generation, self.name, self.model) = (path, digest, generation, name, model)
      self.warnings = warnings.isEmpty ? nil : warnings
    }
  }
}
