import ResultText
import Results
import SystemSupport

extension Invocation {
  /// By part, in other types, and against the limits.
  func show(_ plan: MemoryPlan) {
    let millions = fixed(Double(plan.parameters) / 1e6, 1)
    console.print("\(escaped(plan.modelID)), \(plan.architecture), \(millions) M parameters in \(plan.layers) layers")
    var parts = Table(("PART", .left), ("BYTES", .right))
    func add(_ part: String, _ bytes: Int64) { parts.add([part, bytesText(bytes)]) }
    add("weights of the target matrices, \(plan.weights.type)", plan.weights.targets)
    add("embedding and head", plan.weights.embedding)
    add("norms and biases", plan.weights.rest)
    let modules = plan.factors.modules.map { " of " + $0.joined(separator: ", ") } ?? ""
    add("singular vectors\(modules), \(plan.factors.precision) precision (mapped)", plan.factors.bytes)
    if plan.products > 0 { add("their products with the weights", plan.products) }
    add("held", plan.held)
    let workload = plan.workload
    add("keys and values of \(workload.sequences) x \(workload.positions) tokens", plan.keysAndValues)
    if plan.vectorChanges > 0 { add("vector changes, kept for long answers", plan.vectorChanges) }
    add("a pass", plan.pass)
    add("search of \(workload.experts) experts", plan.search)
    add("training, \(workload.tokens) tokens a step", plan.training)
    add("factorizing, once (threads: \(workload.threads))", plan.factorizing)
    add("held, what answers take, the largest job", plan.needed)
    print(parts, empty: "")
    console.print("")
    var types = Table(("STORED AS", .left), ("WEIGHTS", .right), ("HELD", .right), ("WITH ALL", .right))
    for type in plan.types {
      types.add([type.type, bytesText(type.weights), bytesText(type.held), bytesText(type.needed)])
    }
    print(types, empty: "")
    console.print("")
    func line(_ name: String, _ limit: Int64?) { console.print("\(name): \(limit.map(bytesText) ?? "no limit")") }
    line("memory_budget", plan.limits.budget)
    line("worker.memory_limit", plan.limits.data)
    line("MemoryMax of the unit", plan.limits.group)
    line("this machine", plan.limits.machine)
    note(plan)
  }

  /// What is to be set, and what cannot be.
  private func note(_ plan: MemoryPlan) {
    for setting in plan.advice?.settings ?? [] { console.note("set \(setting)") }
    guard plan.needed > plan.limits.machine else { return }
    let least = plan.types.filter { $0.needed <= plan.limits.machine }.max { $0.needed < $1.needed }
    console.note(
      "all of it is more than this machine has"
        + (least.map { "; stored as \($0.type) it would fit: \(bytesText($0.needed))" } ?? ""))
  }

  /// Beforehand, of a model that is about to be added.
  func announce(_ plan: MemoryPlan) throws(ControlError) {
    if let problem = plan.problem { throw .failed(escaped(problem)) }
    console.note(
      "memory: weights \(bytesText(plan.weights.total)), singular vectors"
        + (plan.factors.modules.map { " of \($0.joined(separator: ", "))" } ?? "")
        + " \(bytesText(plan.factors.bytes)), "
        + (plan.products > 0 ? "products \(bytesText(plan.products)), " : "")
        + "keys and values \(bytesText(plan.keysAndValues)), search \(bytesText(plan.search)); "
        + "in all up to \(bytesText(plan.needed)) (--plan says more)")
    note(plan)
  }
}
