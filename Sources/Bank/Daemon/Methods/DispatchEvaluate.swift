import Evaluation
import Registry
import RPCProtocol
import RPCServer
import Records
import Settings
import StrictJSON
import SystemSupport
import WorkerProtocol

extension DispatchEvaluate: HandledMethod {
  static func handle(_ asked: Parameters, by service: Service, _ reply: Reply<Result>) throws(RPCError) {
    let snapshot = service.snapshots.get()
    let model = try snapshot.resolveModel(asked.model)
    let file = FileSystem.split(asked.path).name
    var dispatches: [(name: FirstPass, dispatch: ResolvedDispatch)] = []
    if let strategy = asked.strategy {
      dispatches = [(strategy, try service.resolveDispatch(strategy, asked.decision, model: model))]
    } else {
      var plain = asked.decision
      plain.dispatcher = nil
      dispatches = [(.prompt, try service.resolveDispatch(.prompt, plain, model: model))]
      // Side by side where there is one; that there is none is no error unless it was asked for.
      do throws(RPCError) {
        dispatches.append((.classifier, try service.resolveDispatch(.classifier, asked.decision, model: model)))
      } catch  where error.kind == RPCErrorCode.noDispatcher.kind && asked.decision.dispatcher == nil {
      }
    }
    let names = dispatches.first?.dispatch.spec.names ?? []
    let strategies = dispatches.map {
      DispatchEvaluateSpec.Strategy(name: $0.name.rawValue, dispatch: $0.dispatch.spec)
    }
    let limit = asked.limit
    let who = Service.who(reply)
    try Service.readPassed(reply, atMost: maximumBytes) { (bytes) throws(RPCError) in
      let rows = try readRows(bytes, file, labels: names).prefix(limit ?? Int.max)
      service.onCatalogue(reply) { coordinator throws(RPCError) in
        let spec = DispatchEvaluateSpec(
          model: coordinator.reference(model),
          rows: rows.map { .init(line: $0.line, prompt: $0.prompt, label: $0.label) }, strategies: strategies)
        let job = try answering { () throws(RegistryError) in
          try coordinator.jobs.submit(
            JobRecord(
              spec, key: "\(spec.kind)\0\(spec.json.jsonText)", target: "\(spec.kind)\0\(model.name)", priority: 5,
              task: nil, model: model.name, who: who, reason: "dispatch.evaluate", created: .now))
        }
        reply.succeed(Result(job: job, rows: rows.count))
      }
    }
  }

  private static let maximumBytes = 16 << 20

  private static func readRows(
    _ bytes: [UInt8], _ file: String, labels: [String]
  ) throws(RPCError) -> [DispatchRow] {
    do throws(DispatchRowError) {
      return try DispatchRow.read(bytes, file: file, labels: labels)
    } catch {
      switch error {
      case .unknownLabel:
        throw RPCError(.unknownLabel, error.description, hint: "see the labels with: t2ctl expert list")
      case .file, .noLabel, .noPrompt: throw RPCError(.badFile, error.description)
      }
    }
  }
}

extension DispatchEvaluateSpec: HandledJob {}
