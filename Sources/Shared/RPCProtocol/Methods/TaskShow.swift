package import Records
package import StrictJSON

package enum TaskShow: RPCMethodDeclaration {
  package static let name = "task.show"
  package static let access = RPCMethod.Access.read
  package static let verb = "task show"
  package static let summary = "One task."

  package struct Parameters: Record {
    @Setting("its name") package var task: String
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    @Flattened package var row: TaskRow
    package var digest: String
    package var template: String
    /// As task.json5 gives them.
    package var settings: JSONValue
    package var source: String
    package var added: String
    package var warnings: [String]
    package var mixtures: [MixtureRow]
    package var jobs: [JobRow]
    /// Of a search that failed.
    package var error: Problem?

    package init(
      row: TaskRow, digest: String, template: String, settings: JSONValue, source: String, added: String,
      warnings: [String], mixtures: [MixtureRow], jobs: [JobRow], error: Problem? = nil
    ) {
      (self.digest, self.template, self.settings, self.source, self.added, self.warnings, self.mixtures, self.jobs) = (
        digest, template, settings, source, added, warnings, mixtures, jobs
      )
      self.error = error
      self.row = row
    }
  }
}
