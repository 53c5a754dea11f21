package import Records

package enum ExpertExport: RPCMethodDeclaration {
  package static let name = "expert.export"
  package static let access = RPCMethod.Access.read
  package static let verb = "expert export"
  package static let summary = "The stored file of a version, as it came."
  package static let resultNotes =
    "with pass_fd the open descriptor comes along (SCM_RIGHTS)"

  package struct Parameters: Record {
    @Setting(expertSummary) package var expert: String
    @Setting("send the open file along (SCM_RIGHTS)") package var passFD = false
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package var name: String
    package var version: Int
    package var digest: String
    package var path: String
    package var bytes: Int

    package init(name: String, version: Int, digest: String, path: String, bytes: Int) {
      (self.name, self.version, self.digest, self.path, self.bytes) = (name, version, digest, path, bytes)
    }
  }
}
