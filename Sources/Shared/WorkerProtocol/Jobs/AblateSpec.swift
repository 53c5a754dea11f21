package import Records
package import Results
package import Settings

/// Score the rows of a task under a mixture, and under what is left of it without each of its experts.
package struct AblateSpec: JobSpec {
  package typealias Result = AblateResult

  @Setting() package var model: ModelReference
  @Setting() package var task: TaskReference
  @Setting() package var weights: Weights
  @Setting package var split = RowSplit.automatic
  /// At most this many rows, the first ones.
  @Setting() package var limit: Int?

  package init() {}

  package mutating func validate() throws(RecordError) {
    guard mixture != nil else { throw RecordError(.invalid, at: "weights", "must be a mixture of experts") }
  }

  package init(
    model: ModelReference, task: TaskReference, mixture: Weights.Mixture, split: RowSplit = .automatic,
    limit: Int? = nil
  ) {
    self.model = model
    self.task = task
    weights = .mixture(mixture)
    self.split = split
    self.limit = limit
  }

  /// Nil of the base, which ``validate()`` refuses.
  package var mixture: Weights.Mixture? {
    guard case .mixture(let mixture) = weights, !mixture.experts.isEmpty else { return nil }
    return mixture
  }
}
