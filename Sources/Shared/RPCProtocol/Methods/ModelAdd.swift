package import Records

package enum ModelAdd: RPCMethodDeclaration {
  package static let name = "model.add"
  package static let access = RPCMethod.Access.change
  package static let verb = "model add"
  package static let summary =
    "Registers a base model; digest and factorization are a job. The same model again is no error."
  package static let resultNotes = "job where one was started"

  package struct Parameters: Record {
    @Setting("absolute path of a .gguf file or a Hugging Face directory, readable by the daemon")
    package var path: String
    @Setting("its name here; default the file's name") package var name: String?
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
