import Glibc
package import LinearAlgebra
package import StrictJSON
import Synchronization
package import SystemSupport
import WorkerProtocol

/// Answers the daemon's requests.
///
/// Three threads: the caller of `handle` reads and only sorts requests; `short` answers tokenize, score and generate, one
/// after the other; `job` runs one job at a time. The two share the compute pool, where the tiles of a short request go
/// before those of a job, so it waits for a tile and not for a search.
package final class WorkerService: Sendable {
  private let connection: Connection
  private let models: ModelStore
  private let dataLimit: Int
  private let short = Mailbox<WorkerRequest>()
  private let jobs = Mailbox<RunningJob>()
  private let running = Mutex<RunningJob?>(nil)

  package init(connection: Connection, pool: ComputePool, dataLimit: Int, memoryBudget: Int?) throws(SystemCallError) {
    self.connection = connection
    self.dataLimit = dataLimit
    models = ModelStore(pool: pool, budget: memoryBudget)
    _ = try OwnedThread(name: "short") { [self] in
      while let request = short.take() { answer(request) }
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
    case .hello, .memory, .tokenize, .score, .generate, .inspectModel: short.put(request)
    case .startJob(let start):
      let job = RunningJob(start, connection: connection)
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

  /// Ends both threads after what they are at; a running job is cancelled. For a process that goes on without its worker.
  package func stop() {
    running.withLock { $0?.cancel() }
    short.close()
    jobs.close()
  }

  // MARK: - the thread of short requests

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
        deservedKernel: kernel.deserved ?? kernel.running, kernelTooOld: kernel.tooOld
      ).json
    case .memory:
      return MemoryAnswer(
        resident: Int64(ProcessMemory.of()?.anonymous ?? 0), limit: Int64(dataLimit), models: models.contents
      ).json
    case .inspectModel(let path, let cache):
      return try models.inspect(path: path, cacheDirectory: cache).json
    case .tokenize(let model, let text, let special):
      return try models.using(model) { (model) throws(WorkerFault) in try model.tokenize(text, special: special) }.json
    case .score(let call):
      return try models.using(call.model) { (model) throws(WorkerFault) in try model.answer(call) }.json
    case .generate(let call):
      let id = request.id
      return try models.using(call.model) { (model) throws(WorkerFault) in
        try model.answer(call) { [connection] index, text in
          connection.send(.event(.token(id: id, request: index, text: text)))
        }
      }.json
    case .startJob, .cancelJob: preconditionFailure("not a short request: \(request.call.method)")
    }
  }

  // MARK: - the thread of jobs

  private func run(_ job: RunningJob) {
    let event: WorkerEvent
    do throws(WorkerFault) {
      let result: JSONValue
      switch job.work {
      case .adapt(let spec): result = try AdaptJob(spec, job, models).run().json
      case .evaluate(let spec): result = try EvaluateJob(spec, job, models).run()
      case .check(let spec): result = try CheckJob(spec, job, models).run().json
      case .inspect(let path, let cache):
        result = try models.inspect(path: path, cacheDirectory: cache, progress: job.loadingProgress(of: 1)).json
      }
      event = .done(job: job.id, result: result)
    } catch {
      event = error.kind == .cancelled ? .cancelled(job: job.id) : .failed(job: job.id, error)
    }
    // Free before the daemon hears of it: it may start the next at once.
    running.withLock { $0 = nil }
    connection.send(.event(event))
  }
}
