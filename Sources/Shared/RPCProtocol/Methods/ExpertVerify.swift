package import Records

package enum ExpertVerify: RPCMethodDeclaration {
  package static let name = "expert.verify"
  package static let access = RPCMethod.Access.read
  package static let verb = "expert verify"
  package static let takesFile = true
  package static let summary =
    "Reads an expert file that is passed along (SCM_RIGHTS) by every rule, and stores nothing."

  package struct Parameters: Record {
    @Setting("what the file is called; the daemon opens no path") package var path: String
    @Setting("the model that it should fit") package var model: String?
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package var ok: Bool
    package var name: String?
    package var model: String?
    package var digest: String?
    package var matrices: Int?
    package var warnings: [String]
    package var error: Problem?

    package init(
      ok: Bool, name: String? = nil, model: String? = nil, digest: String? = nil, matrices: Int? = nil,
      warnings: [String], error: Problem? = nil
    ) {
      (self.ok, self.name, self.model, self.digest, self.matrices, self.warnings, self.error) = (
        ok, name, model, digest, matrices, warnings, error
      )
    }
  }
}

/// Why something is refused, or failed.
package struct Problem: Codable, Sendable, Equatable {
  package var kind: String
  package var message: String

  package init(kind: String, message: String) {
    (self.kind, self.message) = (kind, message)
  }
}
