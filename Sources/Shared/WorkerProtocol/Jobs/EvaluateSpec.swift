package import Records
package import Results
package import Settings

/// Score a task's rows under some weights, item by item: the same for all rows, or those of each row's label.
package struct EvaluateSpec: JobSpec {
  package typealias Result = EvaluateResult

  @Setting() package var model: ModelReference
  @Setting() package var task: TaskReference
  @Flattened package var weights = RowWeights.fixed(.base)
  @Setting package var split = RowSplit.automatic
  /// At most this many rows, the first ones.
  @Setting() package var limit: Int?

  package init() {}

  package init(
    model: ModelReference, task: TaskReference, weights: RowWeights, split: RowSplit = .automatic, limit: Int? = nil
  ) {
    self.model = model
    self.task = task
    self.weights = weights
    self.split = split
    self.limit = limit
  }
}

/// Which weights answer the rows of a task.
package enum RowWeights: WorkerMessage {
  /// The same for all of them.
  case fixed(Weights)
  /// Those of the label that the first pass gives to a row.
  case dispatched(DispatchSpec)

  private enum CodingKeys: String, CodingKey { case weights, dispatch }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    if let dispatch = try container.decodeIfPresent(DispatchSpec.self, forKey: .dispatch) {
      self = .dispatched(dispatch)
    } else {
      self = .fixed(try container.decode(Weights.self, forKey: .weights))
    }
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    switch self {
    case .fixed(let weights): try container.encode(weights, forKey: .weights)
    case .dispatched(let dispatch): try container.encode(dispatch, forKey: .dispatch)
    }
  }
}
