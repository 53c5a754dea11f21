package import Records
import Results
package import Settings

package enum DispatchEvaluate: RPCMethodDeclaration {
  package static let name = "dispatch.evaluate"
  package static let access = RPCMethod.Access.change
  package static let verb = "dispatch evaluate"
  package static let since = 2
  package static let takesFile = true
  package static let summary =
    "Sorts labelled prompts of a file that is passed along (SCM_RIGHTS), under the base and under a dispatcher; a job."
  package static let resultNotes =
    "the job's result: \(MemberNames(of: DispatchEvaluateResult.self).text); a matrix is [true label][given label]"

  package struct Parameters: Record {
    @Setting("what the file is called, of JSONL rows with prompt (or question) and label; the daemon opens no path")
    package var path: String
    @Setting(
      "prompt: the base decides; classifier: a dispatcher expert does; default both, where there is a dispatcher")
    package var strategy: FirstPass?
    @Included package var decision = DecisionParameters()
    @Setting(modelSummary) package var model: String?
    @Setting("only the first N rows", 1...100_000) package var limit: Int?
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package var job: Int64
    package var rows: Int

    package init(job: Int64, rows: Int) {
      self.job = job
      self.rows = rows
    }
  }
}
