package import Records
package import Settings
package import StrictJSON

/// Score the same rows of a task under several strategies, in the manner of table 2 of arXiv 2501.06252.
package struct CompareSpec: JobSpec {
  package typealias Result = JSONValue
  package static let kind = JobKind("compare")

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

  /// A column that there is not, and why.
  package struct Skipped: WorkerMessage {
    package var name: String
    package var reason: String

    private enum CodingKeys: String, CodingKey {
      case name = "column"
      case reason
    }

    package init(name: String, reason: String) {
      self.name = name
      self.reason = reason
    }
  }

  @Setting() package var model: ModelReference
  @Setting() package var task: TaskReference
  /// The base is the first.
  @Setting() package var columns: [Column]
  @Setting package var skipped: [Skipped] = []
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
    model: ModelReference, task: TaskReference, columns: [Column], skipped: [Skipped] = [],
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
