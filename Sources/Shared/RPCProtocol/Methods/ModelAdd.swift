package import Records
package import Settings

package enum ModelAdd: RPCMethodDeclaration {
  package static let name = "model.add"
  package static let access = RPCMethod.Access.change
  package static let verb = "model add"
  package static let summary =
    "Registers a base model; digest and factorization are a job. The same model again is no error, unless other matrices of "
    + "it are to be factored."
  package static let resultNotes = "job where one was started"

  package struct Parameters: Record {
    @Setting("absolute path of a .gguf file or a Hugging Face directory, readable by the daemon")
    package var path: String?
    @Setting("the engine that computes it elsewhere; default: t2d's own, which reads path") package var engine:
      EngineKind?
    @Setting("where that engine listens: unix:/PATH or http://127.0.0.1:PORT, of all replicas, with commas between")
    package var at: EngineAddresses?
    @Setting("its name here; default the file's name") package var name: String?
    @Setting(
      "factor only these matrices, which experts can then change, and leave the others as they are: \(moduleNames); default "
        + "all")
    package var modules: [String] = []
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package var name: String
    package var path: String
    package var state: String
    /// Where one was started.
    package var job: Int64?

    package init(name: String, path: String, state: String, job: Int64? = nil) {
      (self.name, self.path, self.state, self.job) = (name, path, state, job)
    }
  }
}
