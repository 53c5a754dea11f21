package import Records
package import Settings

package enum TaskVerify: RPCMethodDeclaration {
  package static let name = "task.verify"
  package static let since = 4
  package static let access = RPCMethod.Access.read
  package static let verb = "task verify"
  package static let takesFile = true
  package static let summary =
    "Reads a file of rows that is passed along (SCM_RIGHTS) by every rule, and stores nothing."
  package static let resultNotes = "prompt is that of the first row; of more errors than are listed more says how many"

  package struct Parameters: Record {
    @Setting("what the file is called; the daemon opens no path") package var path: String
    @Setting("what task.json5 says, as text") package var settings: String?
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package var ok: Bool
    package var rows: Int?
    package var scoring: Scoring?
    package var metric: String?
    package var template: String?
    package var prompt: String?
    package var continuations: [String]?
    package var warnings: [String]
    package var errors: [String]
    package var more: Int?

    package init(errors: [String], more: Int? = nil) {
      (ok, warnings, self.errors, self.more) = (false, [], errors, more)
    }

    package init(
      rows: Int, scoring: Scoring, metric: String, template: String, prompt: String, continuations: [String],
      warnings: [String]
    ) {
      (ok, self.rows, self.scoring, self.metric, self.template) = (true, rows, scoring, metric, template)
      (self.prompt, self.continuations, self.warnings, errors) = (prompt, continuations, warnings, [])
    }
  }
}
