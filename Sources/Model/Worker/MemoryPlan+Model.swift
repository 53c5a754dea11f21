import ModelFormats
import Multipliers
import Results
import Transformer

extension MemoryPlan {
  init(_ description: ModelDescription, threads: Int, limits: MemoryLimits) {
    let configuration = description.configuration
    let memory = ModelMemory(configuration, precision: limits.factors) { description.type(of: $0) }
    let needs = MemoryNeeds(memory, threads: threads)
    self.init(
      modelID: configuration.modelID, architecture: configuration.architecture,
      parameters: Int64(configuration.parameterCount), layers: configuration.layers,
      weights: Weights(
        type: configuration.quantization, targets: Int64(memory.targets), embedding: Int64(memory.embedding),
        rest: Int64(memory.rest)),
      factors: Factors(
        precision: memory.precision, modules: MultiplierLayout(configuration.targets).factoredModules,
        bytes: Int64(memory.factors)), products: Int64(memory.products),
      keysAndValues: Int64(needs.decoding), vectorChanges: Int64(memory.vectorChanges), search: Int64(needs.search),
      training: Int64(needs.training), factorizing: Int64(needs.factorizing), pass: Int64(memory.pass),
      held: Int64(memory.held), needed: Int64(needs.whole), workload: needs.workload,
      types: StoredForm.allCases.map { form in
        let other = MemoryNeeds(
          ModelMemory(configuration, precision: limits.factors, type: form.types(of: configuration)), threads: threads)
        return OtherType(
          type: form.rawValue, weights: Int64(other.memory.weights), held: Int64(other.memory.held),
          needed: Int64(other.whole))
      },
      limits: Limits(
        budget: limits.budget.map { Int64($0) }, data: limits.data.map { Int64($0) },
        group: limits.group.map { Int64($0) }, machine: Int64(limits.machine)),
      problem: limits.refusal(of: needs, configuration.modelID), advice: limits.advice(for: needs))
  }
}
