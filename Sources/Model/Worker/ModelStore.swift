import EngineLink
import Engines
import LinearAlgebra
import ModelFormats
import Multipliers
import Settings
import struct Synchronization.Atomic
import SystemSupport
import Transformer
import WorkerProtocol

/// The models in memory, within a budget: the least recently used goes first, never one in use.
///
/// All threads that compute use it. Whoever needs a model that is being loaded waits for that one alone.
final class ModelStore: Sendable {
  let pool: ComputePool
  let limits: MemoryLimits
  /// Told the path of a model whose stored factorization could not be used and was computed anew, and why.
  private let remade: @Sendable (_ path: String, _ problem: String) -> Void
  private let entries = Mutex<[Entry]>([])

  /// A place for one model, with what is factored of it: its mutex is held while the model is loaded.
  fileprivate final class Entry: Sendable {
    let path: String
    let engine: EngineKind?
    let modules: [String]
    let model = Mutex<LoadedModel?>(nil)
    /// Written under the store's mutex.
    let users = Atomic<Int>(0)
    let bytes = Atomic<Int>(0)

    init(_ reference: ModelReference) {
      (path, engine, modules) = (reference.path, reference.engine, reference.modules ?? [])
    }
  }

  init(
    pool: ComputePool, limits: MemoryLimits,
    remade: @escaping @Sendable (_ path: String, _ problem: String) -> Void = { _, _ in }
  ) {
    self.pool = pool
    self.limits = limits
    self.remade = remade
  }

  /// Runs `body` with the model, which stays in memory until `body` returns. A result that its factorization did not
  /// outlive whole is an error.
  /// - Parameter thoroughly: read the factorization before and after, though nobody is known to have written to it.
  func using<Result>(
    _ reference: ModelReference, thoroughly: Bool = false, shouldStop: @escaping @Sendable () -> Bool = { false },
    progress: @escaping @Sendable (LoadingStep) -> Void = { _ in },
    _ body: (LoadedModel) throws(WorkerFault) -> Result
  ) throws(WorkerFault) -> Result {
    let lease = try lease(reference, thoroughly: thoroughly, shouldStop: shouldStop, progress: progress)
    return try withExtendedLifetime(lease) { () throws(WorkerFault) in
      let result = try body(lease.model)
      if let problem = lease.model.damage(thoroughly: thoroughly) { throw lease.model.damaged(problem) }
      return result
    }
  }

  /// A model that stays in memory as long as somebody holds this.
  final class Lease: Sendable {
    let model: LoadedModel
    private let store: ModelStore
    private let entry: Entry

    fileprivate init(_ model: LoadedModel, _ store: ModelStore, _ entry: Entry) {
      self.model = model
      self.store = store
      self.entry = entry
    }

    deinit { store.give(entry) }
  }

  /// Loads the model where it is not there.
  func lease(
    _ reference: ModelReference, thoroughly: Bool = false, shouldStop: @escaping @Sendable () -> Bool = { false },
    progress: @escaping @Sendable (LoadingStep) -> Void = { _ in }
  ) throws(WorkerFault) -> Lease {
    let entry = take(reference)
    do throws(WorkerFault) {
      return Lease(try load(entry, reference, thoroughly, shouldStop, progress), self, entry)
    } catch {
      give(entry)
      throw error
    }
  }

  private func load(
    _ entry: Entry, _ reference: ModelReference, _ thoroughly: Bool, _ shouldStop: @escaping @Sendable () -> Bool,
    _ progress: @escaping @Sendable (LoadingStep) -> Void
  ) throws(WorkerFault) -> LoadedModel {
    let isFactorized = Mutex(false)
    var (model, wasThere) = try load(
      entry, cacheDirectory: reference.cacheDirectory, isReloaded: false, thoroughly: thoroughly, shouldStop
    ) { step in
      if case .factorizing = step { isFactorized.withLock { $0 = true } }
      progress(step)
    }
    guard !reference.digest.isEmpty else { return model }
    var digest: String { model.model.facts.digest }
    if isFactorized.withLock({ $0 }), digest == reference.digest {
      // A model that was registered had one.
      let damage = (model.model as? LanguageModel)?.factorizationDamage
      remade(reference.path, damage ?? "it was missing, or made by an earlier version")
    }
    if wasThere, digest != reference.digest {
      // The file may have been replaced since: what counts is what lies there now.
      (model, _) = try load(entry, cacheDirectory: reference.cacheDirectory, isReloaded: true, shouldStop, progress)
    }
    guard digest == reference.digest else {
      throw WorkerFault(
        .modelChanged,
        "another model lies at '\(reference.path)': its digest is \(digest), registered was "
          + "\(reference.digest); register it anew")
    }
    return model
  }

  /// Opens, digests and factorizes the model anew, and describes it.
  func inspect(
    _ reference: ModelReference, shouldStop: @escaping @Sendable () -> Bool,
    progress: @escaping @Sendable (LoadingStep) -> Void
  ) throws(WorkerFault) -> ModelFacts {
    let entry = take(reference)
    defer { give(entry) }
    let begun = Mutex<MonotonicInstant?>(nil)
    let (model, _) = try load(entry, cacheDirectory: reference.cacheDirectory, isReloaded: true, shouldStop) { step in
      if case .factorizing = step { begun.withLock { $0 = $0 ?? .now } }
      progress(step)
    }
    let seconds = begun.withLock { $0 }.map { (MonotonicInstant.now - $0).inSeconds } ?? 0
    return model.facts(seconds: seconds)
  }

  var contents: [MemoryAnswer.Model] {
    entries.withLock { $0 }.compactMap { entry in
      // A model that is being loaded is not there yet; its mutex must not be waited for.
      guard let model = entry.model.withLockIfAvailable({ $0 }), let model else { return nil }
      return MemoryAnswer.Model(
        path: entry.path, digest: model.model.facts.digest, bytes: Int64(entry.bytes.load(ordering: .relaxed)),
        replicas: (model.model as? RemoteEngine)?.health)
    }
  }

  // MARK: - entries

  /// The entry of a model, newest in the order of use.
  private func take(_ reference: ModelReference) -> Entry {
    entries.withLock { entries in
      let entry: Entry
      if let index = entries.firstIndex(where: {
        $0.path.utf8.elementsEqual(reference.path.utf8) && $0.engine == reference.engine
          && $0.modules == reference.modules ?? []
      }) {
        entry = entries.remove(at: index)
      } else {
        entry = Entry(reference)
      }
      entries.append(entry)
      entry.users.add(1, ordering: .relaxed)
      return entry
    }
  }

  fileprivate func give(_ entry: Entry) {
    entries.withLock { entries in
      entry.users.subtract(1, ordering: .relaxed)
      // One that could not be loaded leaves no trace.
      if entry.users.load(ordering: .relaxed) == 0, entry.bytes.load(ordering: .relaxed) == 0 {
        entries.removeAll { $0 === entry }
      }
    }
  }

  /// Finds the model, or reads it, once: its header says what room it needs.
  private func load(
    _ entry: Entry, cacheDirectory: String, isReloaded: Bool, thoroughly: Bool = false,
    _ shouldStop: @escaping @Sendable () -> Bool, _ progress: @escaping @Sendable (LoadingStep) -> Void
  ) throws(WorkerFault) -> (model: LoadedModel, wasThere: Bool) {
    do {
      return try entry.model.withLock { slot in
        if let model = slot, !isReloaded, model.damage(thoroughly: thoroughly, shouldStop: shouldStop) == nil {
          return (model, true)
        }
        slot = nil
        entry.bytes.store(0, ordering: .relaxed)
        if let engine = entry.engine {
          // Who waits for a job waits for an engine that is starting too; a short request is told.
          let model = try connect(entry, engine, waits: isReloaded || thoroughly, shouldStop, progress)
          slot = model
          return (model, false)
        }
        let file = try openModel(at: entry.path).factoring(entry.modules)
        let needs = MemoryNeeds(ModelMemory(file, precision: limits.factors), threads: pool.threadCount)
        if let refusal = limits.refusal(of: needs, file.configuration.modelID) {
          throw WorkerFault(.notEnoughMemory, refusal)
        }
        makeRoom(for: needs.memory)
        let model = try LanguageModel.load(
          file, factorizationDirectory: cacheDirectory, precision: limits.factors, pool: pool, room: limits.room,
          shouldStop: shouldStop,
          progress: progress)
        let loaded = LoadedModel(model)
        entry.bytes.store(model.memory.held, ordering: .relaxed)
        slot = loaded
        return (loaded, false)
      }
    } catch let fault as WorkerFault {
      throw fault
    } catch let error as EngineError {
      throw WorkerFault(error)
    } catch let error as UnknownModule {
      throw WorkerFault(error)
    } catch {
      throw WorkerFault(.modelUnreadable, "\(error)")
    }
  }

  /// Of a model that engines elsewhere compute, what is known here.
  private func connect(
    _ entry: Entry, _ kind: EngineKind, waits: Bool, _ shouldStop: @escaping @Sendable () -> Bool,
    _ progress: @escaping @Sendable (LoadingStep) -> Void
  ) throws -> LoadedModel {
    let hasToWait = Mutex<String?>(nil)
    do throws(EngineError) {
      let addresses: [EngineAddress]
      do { addresses = try EngineAddresses(text: entry.path).items } catch { throw .unsupported(error.description) }
      let engine = try RemoteEngine(
        kind, at: addresses, shouldStop: { shouldStop() || !waits && hasToWait.withLock({ $0 != nil }) }
      ) { share, what in
        hasToWait.withLock { $0 = what }
        progress(.starting(share: share, what: what))
      }
      entry.bytes.store(engine.facts.layout.count * MemoryLayout<Float>.stride, ordering: .relaxed)
      return LoadedModel(engine)
    } catch {
      if case .stopped = error, !shouldStop(), let what = hasToWait.withLock({ $0 }) {
        throw EngineError.unavailable("the engine at \(entry.path) is starting: \(what); ask again later")
      }
      throw error
    }
  }

  /// Lets go of unused models, the least recently used first, until another fits the budget and what memory there is.
  private func makeRoom(for memory: ModelMemory) {
    let budget = limits.budget ?? .max
    entries.withLock { entries in
      func total() -> Int { entries.reduce(0) { $0 + $1.bytes.load(ordering: .relaxed) } }
      while total() > budget - memory.held || !limits.room.has(memory.least),
        let index = entries.firstIndex(where: {
          $0.users.load(ordering: .relaxed) == 0 && $0.bytes.load(ordering: .relaxed) > 0
        })
      {
        entries.remove(at: index)
      }
    }
  }
}
