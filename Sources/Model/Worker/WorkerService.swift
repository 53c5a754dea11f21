import Glibc
package import LinearAlgebra
import ModelFormats
import Multipliers
import Records
import Results
package import SVF
package import Sandbox
package import StrictJSON
package import SystemSupport
import WorkerProtocol

/// Answers the daemon's requests.
///
/// The caller of `handle` reads and only sorts requests; the thread `short` answers tokenize and score, decides what
/// is to be dispatched, and prepares what is to be generated, one after the other; `generate` decodes all of that
/// together; `job` runs one job at a time; `export` writes what somebody takes away. For models that engines elsewhere
/// compute `short` and `generate` have twins, which wait for those and hold up nobody else. They share the compute pool, where the tiles of a short request go before
/// those of a job, so it waits for a tile and not for a search.
///
/// `memory` is answered where it is read: the daemon takes it for the sign of life, and a short request may be loading a
/// large model for minutes.
package final class WorkerService: Sendable {
  private let connection: Connection
  private let models: ModelStore
  private let sandbox: Sandbox?
  private let short: Mailbox<@Sendable () -> Void>
  private let shortElsewhere: Mailbox<@Sendable () -> Void>
  private let generator: Generator
  /// What is being generated, by the number of its request.
  private let tasks = Mutex<[Int64: GenerateTask]>([:])
  private let jobs: Mailbox<RunningJob>
  private let exports: Mailbox<@Sendable () -> Void>
  private let running = Mutex<RunningJob?>(nil)

  /// - Parameters:
  ///   - dataLimit: bytes of RLIMIT_DATA; nil for no limit.
  ///   - memoryBudget: bytes of models; nil for no limit.
  ///   - factors: how singular vectors are kept; nil: by the shapes of the model.
  ///   - sandbox: where code is run, if at all.
  package convenience init(
    connection: Connection, pool: ComputePool, dataLimit: Int?, memoryBudget: Int?, factors: FactorPrecision? = nil,
    sandbox: Sandbox?
  ) throws(SystemCallError) {
    try self.init(
      connection: connection, pool: pool, limits: .ofProcess(budget: memoryBudget, data: dataLimit, factors: factors),
      sandbox: sandbox)
  }

  init(
    connection: Connection, pool: ComputePool, limits: MemoryLimits, sandbox: Sandbox?
  ) throws(SystemCallError) {
    self.connection = connection
    self.sandbox = sandbox
    models = ModelStore(pool: pool, limits: limits) { path, problem in
      connection.send(.event(.remade(.factorization, of: path, problem: problem)))
    }
    short = try Mailbox()
    shortElsewhere = try Mailbox()
    jobs = try Mailbox()
    exports = try Mailbox()
    generator = try Generator()
    for (name, mailbox) in [("short", short), ("short engine", shortElsewhere)] {
      _ = try OwnedThread(name: name) {
        while let work = mailbox.take() { work() }
      }
    }
    // A LoRA of a large model takes many seconds, for which nobody who asks the model waits.
    _ = try OwnedThread(name: "export") { [self] in
      while let work = exports.take() { work() }
    }
    _ = try OwnedThread(name: "job") { [self] in
      while let job = jobs.take() { run(job) }
    }
  }

  /// One line of the daemon; returns at once.
  package func handle(_ line: JSONValue) {
    let request: WorkerRequest
    do {
      request = try WorkerRequest(decoding: line)
    } catch {
      if let id = WorkerRequest.id(of: line) {
        connection.send(.fault(id: id, WorkerFault(.badRequest, error.description)))
      }
      return
    }
    switch request.call {
    case .memory: answer(request)
    case .hello, .plan: short.put { self.answer(request) }
    case .tokenize(let model, _, _): thread(of: model).put { self.answer(request) }
    case .score(let call): thread(of: call.model).put { self.answer(request) }
    case .export: exports.put { self.answer(request) }
    case .generate(let call): generate(request.id, call)
    case .dispatch(let call): dispatch(request.id, call)
    case .cancelRequest(let id):
      tasks.withLock { $0[id] }?.cancel()
      connection.send(.result(id: request.id, [:]))
    case .startJob(let start):
      let job = RunningJob(start, models: models, connection: connection, sandbox: sandbox)
      let isFree = running.withLock { current in
        guard current == nil else { return false }
        current = job
        return true
      }
      guard isFree else {
        connection.send(
          .fault(id: request.id, WorkerFault(.busy, "another job is running; one computes at a time", retry: true)))
        return
      }
      connection.send(.result(id: request.id, [:]))
      jobs.put(job)
    case .cancelJob(let id):
      running.withLock { job in
        if let job, job.id == id { job.cancel() }
      }
      connection.send(.result(id: request.id, [:]))
    }
  }

  /// Ends all threads after what they are at; a running job is cancelled. For a process that goes on without its worker.
  package func stop() {
    running.withLock { $0?.cancel() }
    short.close()
    shortElsewhere.close()
    generator.stop()
    jobs.close()
    exports.close()
  }

  // MARK: - short requests

  /// Of short requests on a model.
  private func thread(of model: ModelReference) -> Mailbox<@Sendable () -> Void> {
    model.engine == nil ? short : shortElsewhere
  }

  private func answer(_ request: WorkerRequest) {
    do throws(WorkerFault) {
      connection.send(.result(id: request.id, try result(of: request)))
    } catch {
      connection.send(.fault(id: request.id, error))
    }
  }

  private func result(of request: WorkerRequest) throws(WorkerFault) -> JSONValue {
    switch request.call {
    case .hello:
      let kernel = BLAS.kernel
      return HelloAnswer(
        pid: Int(getpid()), cores: models.pool.threadCount, kernel: kernel.running,
        deservedKernel: kernel.deserved ?? kernel.running, kernelTooOld: kernel.tooOld,
        code: sandbox.map(Self.facts)
      ).json
    case .memory:
      return MemoryAnswer(
        resident: Int64(ProcessMemory.of()?.anonymous ?? 0), limit: Int64(models.limits.data ?? 0),
        models: models.contents
      ).json
    case .tokenize(let model, let text, let special):
      return try models.using(model) { (model) throws(WorkerFault) in try model.tokenize(text, special: special) }.json
    case .score(let call):
      return try models.using(call.model) { (model) throws(WorkerFault) in try model.answer(call) }.json
    case .plan(let path, let modules): return try plan(path, modules).json
    case .export(let call):
      return try models.using(call.model) { (model) throws(WorkerFault) in try model.answer(call) }.json
    case .generate, .dispatch, .cancelRequest, .startJob, .cancelJob:
      preconditionFailure("not answered here: \(request.call.method)")
    }
  }

  private func plan(_ path: String, _ modules: [String]) throws(WorkerFault) -> MemoryPlan {
    let description: ModelDescription
    do throws(ModelFormatError) { description = try ModelDescription(at: path) } catch {
      throw WorkerFault(.modelUnreadable, error.description)
    }
    do throws(UnknownModule) {
      return MemoryPlan(
        try description.factoring(modules), threads: models.pool.threadCount, limits: models.limits)
    } catch {
      throw WorkerFault(error)
    }
  }

  private static func facts(of sandbox: Sandbox) -> HelloAnswer.Code {
    do throws(SandboxError) {
      return HelloAnswer.Code(protections: try sandbox.probe().map(\.rawValue))
    } catch {
      return HelloAnswer.Code(protections: [], problem: error.description)
    }
  }

  // MARK: - what is generated

  private func generate(_ id: Int64, _ call: GenerateCall) {
    let thread = thread(of: call.model)
    let task = GenerateTask(
      call, arrived: .now, generator: generator, later: { thread.put($0) },
      tell: { [connection] event in
        switch event {
        case .decided(let index, let decision):
          connection.send(.event(.decided(id: id, request: index, decision)))
        case .token(let index, let token, let text):
          connection.send(.event(.token(id: id, request: index, token: token, text: text)))
        }
      },
      finish: { [self] result in
        tasks.withLock { $0[id] = nil }
        switch result {
        case .success(let answer): connection.send(.result(id: id, answer.json))
        case .failure(let fault): connection.send(.fault(id: id, fault))
        }
      })
    tasks.withLock { $0[id] = task }
    thread.put { [models] in task.begin(models) }
  }

  private func dispatch(_ id: Int64, _ call: DispatchCall) {
    let arrived = MonotonicInstant.now
    let thread = thread(of: call.model)
    thread.put { [self] in
      let done: @Sendable (Result<DispatchPass.Outcome, WorkerFault>) -> Void = { [connection] result in
        switch result {
        case .success(let outcome):
          let total = (MonotonicInstant.now - arrived).inSeconds
          connection.send(
            .result(
              id: id,
              DispatchAnswer(
                decision: outcome.decision, promptTokens: outcome.promptTokens,
                queueSeconds: max(0, total - outcome.seconds), seconds: outcome.seconds
              ).json))
        case .failure(let fault): connection.send(.fault(id: id, fault))
        }
      }
      do throws(WorkerFault) {
        let lease = try models.lease(call.model)
        DispatchPass(
          prompt: call.prompt, spec: call.dispatch, lease: lease, generator: generator,
          later: { thread.put($0) }
        ).run(decoding: { _ in }, done)
      } catch {
        done(.failure(error))
      }
    }
  }

  // MARK: - the thread of jobs

  private func result<Spec: RunnableJob>(of spec: Spec, _ job: RunningJob) throws(WorkerFault) -> JSONValue {
    RecordWriter.json(try spec.run(as: job))
  }

  private func run(_ job: RunningJob) {
    let event: WorkerEvent
    do throws(WorkerFault) {
      guard let spec = job.spec as? any RunnableJob else {
        throw WorkerFault(.unsupported, "'\(job.spec.kind)' is in the table and has no body")
      }
      event = .done(job: job.id, result: try result(of: spec, job))
    } catch {
      event = error.kind == .cancelled ? .cancelled(job: job.id) : .failed(job: job.id, error)
    }
    // Free before the daemon hears of it: it may start the next at once.
    running.withLock { $0 = nil }
    connection.send(.event(event))
  }
}
