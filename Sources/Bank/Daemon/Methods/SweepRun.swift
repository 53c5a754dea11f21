import Records
import Registry
import Results
import RPCProtocol
import RPCServer
import Settings
import StrictJSON
import WorkerProtocol

extension SweepRun: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    guard asked.shots != nil || asked.budgets != nil else {
      throw RPCError(
        .invalidParams, "a sweep needs 'shots' or 'budgets', or both",
        hint: "such as --shots 3,5,10,20 or --budgets 5,20,100")
    }
    let budgets = try sweptBudgets(asked)
    let who = Service.who(reply)
    service.onCatalogue(reply) { coordinator throws(RPCError) in
      let snapshot = coordinator.snapshot
      let task = try snapshot.resolveReadableTask(asked.task)
      let model = try snapshot.resolveModel(asked.model, task: task.name)
      try task.requireEvalRows("a sweep")
      try snapshot.requireActive(asked.experts)
      guard let need = snapshot.need(task, on: model, options: asked.givenMembers) else {
        throw RPCError(
          .emptyBank, "no expert of model '\(model.name)' is active, so there is nothing to mix",
          hint: "drop an expert into the watched directory, or promote one: t2ctl expert list")
      }
      let search = try answering { () throws(RegistryError) in
        try coordinator.search(of: need, options: asked.settings.givenMembers)
      }
      let shots = try sweptShots(asked, task, standard: search.shots ?? task.current.rows)
      // One seed after the other, as far as a seed goes.
      let seeds = (0..<UInt64(asked.seeds)).map { (search.seed &+ $0) & UInt64(Int64.max) }
      let job = try answering { () throws(RegistryError) in
        try coordinator.sweep(
          need, search, shots: shots, budgets: budgets ?? [.iterations(search.iterations)], seeds: seeds, who: who)
      }
      reply.succeed(
        Result(
          job: job, task: task.name, model: model.name,
          searches: shots.count * (budgets?.count ?? 1) * seeds.count))
    }
  }

  /// `20` is a number of generations, `500p` one of evaluations.
  private static func sweptBudgets(_ asked: Parameters) throws(RPCError) -> [SweepBudget]? {
    guard let texts = asked.budgets else { return nil }
    if asked.given.contains("iterations") {
      throw RPCError(.invalidParams, "'iterations' and 'budgets' both say how far a search goes; give one of them")
    }
    var budgets: [SweepBudget] = []
    for text in texts {
      let isPrompts = text.hasSuffix("p")
      guard let number = Int(isPrompts ? text.dropLast() : text[...]),
        (1...(isPrompts ? 1_000_000_000 : 10_000)).contains(number)
      else {
        throw RPCError(
          .invalidParams,
          "a budget is a number of generations from 1 to 10000, or of prompts with a 'p', and not "
            + quoted(text), hint: "such as 5, 100 or 500p")
      }
      budgets.append(isPrompts ? .prompts(number) : .iterations(number))
    }
    if let problem = repetition(texts, "budgets") { throw problem }
    return budgets
  }

  private static func sweptShots(_ asked: Parameters, _ task: TaskRecord, standard: Int) throws(RPCError) -> [Int] {
    guard let given = asked.shots else {
      return [min(standard, task.current.rows)]
    }
    if let most = given.max(), most > task.current.rows {
      throw RPCError(
        .badTask,
        "\(most) shots were asked for, and the few-shot file of task '\(task.name)' has \(task.current.rows) rows",
        hint: "give it more rows, or ask for fewer shots")
    }
    if let problem = repetition(given.map { "\($0)" }, "shots") { throw problem }
    return given
  }

  private static func repetition(_ texts: [String], _ name: String) -> RPCError? {
    guard !texts.isEmpty else { return RPCError(.invalidParams, "'\(name)' is an empty list") }
    guard Set(texts).count < texts.count else { return nil }
    return RPCError(.invalidParams, "'\(name)' names a value twice: \(quoted(texts.joined(separator: ",")))")
  }
}

extension TaskRecord {
  /// - Parameter what: what is judged by them.
  func requireEvalRows(_ what: String) throws(RPCError) {
    guard current.evalRows == 0 else { return }
    throw RPCError(
      .badTask, "task '\(name)' has no eval rows, by which \(what) is judged", hint: "add eval.jsonl to its directory")
  }
}

extension Coordinator {
  /// Queues a sweep, behind every search that a mixture waits for: its journal keeps what it did when it gives way.
  fileprivate func sweep(
    _ need: MixtureNeed, _ search: SearchSettings, shots: [Int], budgets: [SweepBudget], seeds: [UInt64],
    who: String
  ) throws(RegistryError) -> Int64 {
    let spec = SweepSpec(
      model: reference(need.model), task: reference(need.task), experts: need.experts.map { reference($0) },
      search: search, shots: shots, budgets: budgets, seeds: seeds)
    return try jobs.submit(
      JobRecord(
        spec, key: "\(spec.kind)\0\(spec.json.jsonText)",
        target: "\(spec.kind)\0\(need.task.name)\0\(need.model.name)", priority: JobQueue.yieldingPriority,
        task: need.task.name, model: need.model.name, who: who, reason: "sweep.run", created: .now))
  }
}

extension SweepSpec: HandledJob {}
