import Results
import SVF
import SystemSupport
import Transformer

/// What the worker was told it may have of memory, and what its surroundings let it have.
struct MemoryLimits: Sendable {
  /// `memory_budget`, of models that are held; nil for no limit.
  let budget: Int?
  /// `worker.memory_limit`; nil for no limit.
  let data: Int?
  /// Of the control group, `MemoryMax=` of the unit; nil for no limit.
  let group: Int?
  let machine: Int
  let room: MemoryRoom
  /// `factors`: how singular vectors are kept; nil: by the shapes of the model.
  let factors: FactorPrecision?

  init(
    budget: Int? = nil, data: Int? = nil, group: Int? = nil, machine: Int = .max, room: MemoryRoom = .unlimited,
    factors: FactorPrecision? = nil
  ) {
    (self.budget, self.data, self.group, self.machine) = (budget, data, group, machine)
    (self.room, self.factors) = (room, factors)
  }

  static func ofProcess(budget: Int?, data: Int?, factors: FactorPrecision? = nil) -> MemoryLimits {
    let group = ControlGroup.ofProcess()?.limit
    let settings =
      (data.map { ["worker.memory_limit (\($0)) in t2d.json5"] } ?? [])
      + (group.map { ["MemoryMax= of the unit t2d.service (\($0))"] } ?? [])
    return MemoryLimits(
      budget: budget, data: data, group: group, machine: machineMemory,
      room: .ofProcess(
        dataLimit: data, advice: "raise \(settings.joined(separator: " and ")), or ask for less at a time"),
      factors: factors)
  }

  /// Why a model cannot be loaded, and what to set; nil where it can. Beyond the budget it is refused although it might
  /// go; beyond the limits it would end the process.
  func refusal(of needs: MemoryNeeds, _ model: String) -> String? {
    let memory = needs.memory
    let parts = [("weights", memory.weights), ("factors", memory.factors), ("products", memory.products)]
      .filter { $0.1 > 0 }.map { "\($0.0) \(megabytesText($0.1))" }.joined(separator: ", ")
    let found: String
    if let budget, memory.held > budget {
      found =
        "\(megabytesText(memory.held)) of memory (\(parts)), and memory_budget is \(megabytesText(budget))"
    } else if let limit = [data, group].compactMap({ $0 }).min(), memory.least + MemoryRoom.margin > limit {
      found =
        "\(megabytesText(memory.least)) of the worker's own memory to answer anything (\(parts)), and it may have "
        + megabytesText(limit)
    } else {
      return nil
    }
    let settings = advice(for: needs)?.settings.joined(separator: ", ") ?? ""
    return
      "model '\(model)' needs \(found): set \(settings), or take it in a smaller type, or factor less of it with --modules; "
      + "'t2ctl model add --plan PATH' shows both"
  }

  /// What would do for all that is done with a model; nil where it is set.
  func advice(for needs: MemoryNeeds) -> MemoryPlan.Advice? {
    let memory = needs.memory
    var advice = MemoryPlan.Advice()
    if let budget, memory.held > budget {
      advice.memoryBudget = Int64(Self.rounded(memory.held + memory.held / 20, to: 100_000_000))
    }
    let own = needs.whole - memory.factors
    if let data, own > data { advice.workerMemoryLimit = Int64(Self.rounded(own, to: 100_000_000)) }
    // Outside a unit nobody knows what it will say.
    if group.map({ needs.whole > $0 }) ?? (advice != MemoryPlan.Advice()) {
      advice.memoryMax = "\(Self.rounded(needs.whole, to: 1 << 30) >> 30)G"
    }
    return advice == MemoryPlan.Advice() ? nil : advice
  }

  private static func rounded(_ bytes: Int, to unit: Int) -> Int { (bytes + unit - 1) / unit * unit }
}

/// A model, and what is done with it: each beside it, one job at a time.
struct MemoryNeeds {
  let memory: ModelMemory
  let workload: MemoryPlan.Workload
  let decoding: Int
  let search: Int
  let training: Int
  let factorizing: Int

  /// The program without a model, its threads and libraries.
  private static let program = 128 << 20

  init(_ memory: ModelMemory, threads: Int) {
    let shape = memory.shape
    var workload = MemoryPlan.Workload(threads: threads)
    workload.positions = min(workload.positions, shape.context)
    self.memory = memory
    self.workload = workload
    decoding = shape.decodingBytes(positions: workload.positions, sequences: workload.sequences)
    search = shape.searchBytes(experts: workload.experts, threads: threads)
    training = shape.gradientBytes(
      rows: workload.tokens, longest: workload.tokens, memory: GradientTape.standardMemory)
    factorizing = memory.factorizingPerThread * threads
  }

  /// Answers are decoded while a job runs.
  var beside: Int { max(search, training, factorizing) + decoding + memory.vectorChanges + memory.pass }
  var whole: Int { memory.held + beside + Self.program }
}
