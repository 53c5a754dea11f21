import Records

package enum SystemAudit: RPCMethodDeclaration {
  package static let name = "system.audit"
  package static let since = 4
  package static let access = RPCMethod.Access.change
  package static let verb = "audit"
  package static let summary =
    "Compares the store with the catalogue, in both directions, by names and sizes. Contents are compared by the scrub and "
    + "by 't2d fsck'."

  package struct Parameters: Record {
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    /// Whether nothing is missing or damaged.
    package var ok: Bool
    /// Files that were compared.
    package var files: Int
    package var bytes: Int
    /// What is wrong, and what is left over; the first of each kind.
    package var findings: [AuditFinding]
    /// Findings that are not in the list.
    package var more: Int

    package init(ok: Bool, files: Int, bytes: Int, findings: [AuditFinding], more: Int) {
      (self.ok, self.files, self.bytes, self.findings, self.more) = (ok, files, bytes, findings, more)
    }
  }
}

/// A file of the store that is not as the catalogue says, or that it does not name.
package struct AuditFinding: Codable, Sendable, Equatable {
  /// `missing`, `damaged` or `unnamed`.
  package var kind: String
  package var path: String
  /// What it is, or should be.
  package var subject: String
  package var message: String
  package var bytes: Int
  /// When it was last touched.
  package var changed: String?

  package init(kind: String, path: String, subject: String, message: String, bytes: Int, changed: String?) {
    (self.kind, self.path, self.subject, self.message) = (kind, path, subject, message)
    (self.bytes, self.changed) = (bytes, changed)
  }
}
