package import Records
package import Settings
package import StrictJSON

/// Search a task's mixture again and again under settings of one kind, and publish nothing: the number of shots
/// (arXiv 2501.06252, table 8) or the budget (table 10).
package struct SweepSpec: JobSpec {
  package typealias Result = JSONValue
  package static let kind = JobKind("sweep")

  /// How far a search may go; whatever else ends it stays.
  package enum Budget: WorkerMessage {
    case iterations(Int)
    case prompts(Int)

    private enum CodingKeys: String, CodingKey { case iterations, prompts }

    package init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: CodingKeys.self)
      if let number = try container.decodeIfPresent(Int.self, forKey: .prompts) {
        self = .prompts(number)
      } else {
        self = .iterations(try container.decode(Int.self, forKey: .iterations))
      }
    }

    package func encode(to encoder: any Encoder) throws {
      var container = encoder.container(keyedBy: CodingKeys.self)
      switch self {
      case .iterations(let number): try container.encode(number, forKey: .iterations)
      case .prompts(let number): try container.encode(number, forKey: .prompts)
      }
    }
  }

  @Setting() package var model: ModelReference
  @Setting() package var task: TaskReference
  @Setting() package var experts: [ExpertReference]
  /// What all searches have in common; its own seed, shots and budget do not count.
  @Setting package var search = SearchSettings()
  /// Every one with every one: numbers of shots, budgets, seeds.
  @Setting() package var shots: [Int]
  @Setting() package var budgets: [Budget]
  @Setting() package var seeds: [UInt64]

  package init() {}

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
}
