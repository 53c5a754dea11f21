package import Records
package import Results
package import Settings

/// Score the same rows of a task under several strategies, in the manner of table 2 of arXiv 2501.06252.
package struct CompareSpec: JobSpec {
  package typealias Result = CompareResult

  package struct Column: WorkerMessage {
    /// `base`, an expert with its version, or the strategy.
    package var name: String
    package var strategy: DispatchStrategy
    @Flattened package var weights: RowWeights
    /// What a reader should know of it, such as that the mixture is stale.
    package var note: String?

    package init(name: String, strategy: DispatchStrategy, weights: RowWeights, note: String? = nil) {
      self.name = name
      self.strategy = strategy
      self.weights = weights
      self.note = note
    }
  }

  @Setting() package var model: ModelReference
  @Setting() package var task: TaskReference
  /// The base is the first.
  @Setting() package var columns: [Column]
  @Setting package var skipped: [CompareResult.Skipped] = []
  @Setting package var split = RowSplit.automatic
  /// At most this many rows, the first ones.
  @Setting() package var limit: Int?

  package init() {}

  package mutating func validate() throws(RecordError) {
    guard columns.first?.strategy == .base else {
      throw RecordError(.invalid, at: "columns", "must begin with the base")
    }
  }

  package init(
    model: ModelReference, task: TaskReference, columns: [Column], skipped: [CompareResult.Skipped] = [],
    split: RowSplit = .automatic, limit: Int? = nil
  ) {
    self.model = model
    self.task = task
    self.columns = columns
    self.skipped = skipped
    self.split = split
    self.limit = limit
  }
}

extension CompareResult.Skipped: WorkerMessage {}
