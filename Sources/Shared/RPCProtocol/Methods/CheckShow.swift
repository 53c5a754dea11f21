package import Records
package import Results

package enum CheckShow: RPCMethodDeclaration {
  package static let name = "check.show"
  package static let access = RPCMethod.Access.read
  package static let verb = "check show"
  package static let summary = "One check with all its numbers."

  package struct Parameters: Record {
    @Setting("its number", 1...Int64.max) package var check: Int64
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    @Flattened package var row: CheckRow
    package var versusShuffles: CheckResult.Comparison
    package var versusBase: CheckResult.Comparison
    package var seed: UInt64
    package var template: String
    package var kernel: String
    package var seconds: Double
    package var byMetric: [CheckResult.Outcome]
    package var rowIDs: [String]?
    package var items: [CheckResult.Items]?

    package init(
      row: CheckRow, versusShuffles: CheckResult.Comparison, versusBase: CheckResult.Comparison, seed: UInt64,
      template: String, kernel: String, seconds: Double, byMetric: [CheckResult.Outcome], rowIDs: [String]? = nil,
      items: [CheckResult.Items]? = nil
    ) {
      (
        self.versusShuffles, self.versusBase, self.seed, self.template, self.kernel, self.seconds, self.byMetric,
        self.rowIDs
      ) = (versusShuffles, versusBase, seed, template, kernel, seconds, byMetric, rowIDs)
      self.items = items
      self.row = row
    }
  }
}
