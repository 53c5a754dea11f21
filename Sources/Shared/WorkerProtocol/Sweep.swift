import Records
package import Settings
package import StrictJSON

/// Search a task's mixture again and again under settings of one kind, and publish nothing: the number of shots
/// (arXiv 2501.06252, table 8) or the budget (table 10).
package struct SweepSpec: Sendable, Equatable {
  /// How far a search may go; whatever else ends it stays.
  package enum Budget: Sendable, Equatable {
    case iterations(Int)
    case prompts(Int)

    package var json: JSONValue {
      switch self {
      case .iterations(let number): object([("iterations", .integer(Int64(number)))])
      case .prompts(let number): object([("prompts", .integer(Int64(number)))])
      }
    }

    init(decoding value: JSONValue, _ path: String) throws(WorkerProtocolError) {
      let fields = try Fields(value, path)
      if let number = try fields.optionalInteger("prompts") {
        self = .prompts(number)
      } else {
        self = .iterations(try fields.integer("iterations"))
      }
    }
  }

  package var model: ModelReference
  package var task: TaskReference
  package var experts: [ExpertReference]
  /// What all searches have in common; its own seed, shots and budget do not count.
  package var search: SearchSettings
  /// Every one with every one: numbers of shots, budgets, seeds.
  package var shots: [Int]
  package var budgets: [Budget]
  package var seeds: [UInt64]

  package init(
    model: ModelReference, task: TaskReference, experts: [ExpertReference], search: SearchSettings, shots: [Int],
    budgets: [Budget], seeds: [UInt64]
  ) {
    self.model = model
    self.task = task
    self.experts = experts
    self.search = search
    self.shots = shots
    self.budgets = budgets
    self.seeds = seeds
  }

  var json: JSONValue {
    object([
      ("model", model.json), ("task", task.json), ("experts", list(experts, \.json)),
      ("search", RecordWriter.json(search)),
      ("shots", list(shots) { .integer(Int64($0)) }), ("budgets", list(budgets, \.json)),
      ("seeds", list(seeds, seedJSON)),
    ])
  }

  init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "spec")
    self.init(
      model: try ModelReference(decoding: try fields.value("model")),
      task: try TaskReference(decoding: try fields.value("task")),
      experts: try fields.each("experts") { (value, _) throws(WorkerProtocolError) in
        try ExpertReference(decoding: value)
      }, search: try fields.record("search"),
      shots: try fields.each("shots") { (value, path) throws(WorkerProtocolError) in
        try Fields.integer(value, path)
      },
      budgets: try fields.each("budgets") { (value, path) throws(WorkerProtocolError) in
        try Budget(decoding: value, path)
      },
      seeds: try fields.each("seeds") { (value, path) throws(WorkerProtocolError) in
        UInt64(bitPattern: Int64(try Fields.integer(value, path)))
      })
  }
}
