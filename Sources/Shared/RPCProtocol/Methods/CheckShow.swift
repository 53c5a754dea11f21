package import Records
package import StrictJSON

package enum CheckShow: RPCMethodDeclaration {
  package static let name = "check.show"
  package static let access = RPCMethod.Access.read
  package static let verb = "check show"
  package static let summary = "One check with all its numbers."
  package static let resultSummary =
    "as in check.list, and by_metric [{metric, verdict, scores, versus_shuffles, versus_base, each {p, p_mcnemar, "
    + "p_sign_flip, effect, ci95, won, lost}}], seed, template, kernel, seconds, row_ids, items [{of, right}]"

  package struct Parameters: Record {
    @Setting("its number", 1...Int64.max) package var check: Int64
    package init() {}
  }

  package typealias Result = JSONValue
}
