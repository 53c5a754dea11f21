package import Settings
package import StrictJSON

/// Which weights answer the rows of a task.
package enum RowWeights: Sendable, Equatable {
  /// The same for all of them.
  case fixed(Weights)
  /// Those of the label that pass one gives to a row.
  case dispatched(DispatchSpec)

  /// A member for the object that the weights belong to.
  var member: (String, JSONValue?) {
    switch self {
    case .fixed(let weights): ("weights", weights.json)
    case .dispatched(let dispatch): ("dispatch", dispatch.json)
    }
  }
}

extension Fields {
  func rowWeights() throws(WorkerProtocolError) -> RowWeights {
    guard let dispatch = optional("dispatch") else { return .fixed(try weights()) }
    return .dispatched(try DispatchSpec(decoding: dispatch))
  }
}

/// Score the same rows of a task under several strategies, in the manner of table 2 of arXiv 2501.06252.
package struct CompareSpec: Sendable, Equatable {
  package struct Column: Sendable, Equatable {
    /// `base`, an expert with its version, or the strategy.
    package var name: String
    package var strategy: DispatchStrategy
    package var weights: RowWeights
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
  package struct Skipped: Sendable, Equatable {
    package var name: String
    package var reason: String

    package init(name: String, reason: String) {
      self.name = name
      self.reason = reason
    }

    package var json: JSONValue { object([("column", .string(name)), ("reason", .string(reason))]) }
  }

  package var model: ModelReference
  package var task: TaskReference
  /// The base is the first.
  package var columns: [Column]
  package var skipped: [Skipped]
  package var split: RowSplit
  /// At most so many rows, the first ones.
  package var limit: Int?

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

  var json: JSONValue {
    object([
      ("model", model.json), ("task", task.json),
      (
        "columns",
        list(columns) {
          object([
            ("name", .string($0.name)), ("strategy", .string($0.strategy.rawValue)), $0.weights.member,
            ("note", $0.note.map { .string($0) }),
          ])
        }
      ), ("skipped", list(skipped, \.json)), ("split", .string(split.rawValue)),
      ("limit", limit.map { .integer(Int64($0)) }),
    ])
  }

  init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "spec")
    self.init(
      model: try ModelReference(decoding: try fields.value("model")),
      task: try TaskReference(decoding: try fields.value("task")),
      columns: try fields.each("columns") { (value, path) throws(WorkerProtocolError) in
        let column = try Fields(value, path)
        return Column(
          name: try column.string("name"), strategy: try column.name("strategy"), weights: try column.rowWeights(),
          note: try column.optionalString("note"))
      },
      skipped: try fields.each("skipped") { (value, path) throws(WorkerProtocolError) in
        let one = try Fields(value, path)
        return Skipped(name: try one.string("column"), reason: try one.string("reason"))
      }, split: try fields.name("split"), limit: try fields.optionalInteger("limit"))
    guard columns.first?.strategy == .base else { throw .wrongType(path: "spec.columns", expected: "the base first") }
  }
}
