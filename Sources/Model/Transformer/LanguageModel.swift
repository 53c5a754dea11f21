package import Engines
package import LinearAlgebra
package import ModelFormats
package import Multipliers
package import SVF
package import SystemSupport
package import Tokenizer

/// The built-in engine: a base model in memory with its factorization, which scores, generates and mixes.
///
/// Immutable once loaded. Every operation blocks its caller, which is not a compute thread, while the pool's threads
/// compute; several callers may be active at once and the pool orders their tiles by priority.
package final class LanguageModel: Engine {
  package let path: String
  package let configuration: ModelConfiguration
  /// The target matrices of every layer, those too that are not factored.
  package let layout: MultiplierLayout
  /// "sha256:..." of the target matrices, as `modelDigest` makes it.
  package let digest: String
  package let factorization: Factorization
  /// Why the factorization that was kept could not be used and was computed anew; nil where it was used, or there was
  /// none.
  package let factorizationDamage: String?
  /// Nil for a directory without tokenizer: it takes token ids only.
  package let tokenizer: Tokenizer?
  /// The model's template, or the reason why there is none to use.
  package let chatTemplate: Result<ChatTemplate, ChatTemplateError>
  /// What was found when its files were read, for people.
  package let warnings: [String]
  package let pool: ComputePool
  /// What it takes of memory, by part.
  package let memory: ModelMemory
  package let facts: EngineFacts
  package let room: MemoryRoom
  package let shape: ModelShape
  let weights: ModelWeights
  let spaces: WorkspacePool
  let forms: FactoredForms
  let keptChanges: KeptChanges

  private init(
    path: String, configuration: ModelConfiguration, layout: MultiplierLayout, digest: String,
    factorization: Factorization, factorizationDamage: String?, tokenizer: Tokenizer?,
    chatTemplate: Result<ChatTemplate, ChatTemplateError>, warnings: [String], pool: ComputePool, memory: ModelMemory,
    room: MemoryRoom, weights: ModelWeights, forms: FactoredForms
  ) {
    self.path = path
    self.configuration = configuration
    self.layout = layout
    self.digest = digest
    self.factorization = factorization
    self.factorizationDamage = factorizationDamage
    self.tokenizer = tokenizer
    self.chatTemplate = chatTemplate
    self.warnings = warnings
    self.pool = pool
    self.memory = memory
    let keptChanges = KeptChanges()
    self.keptChanges = keptChanges
    self.room = room.sparing { keptChanges.removeAll() }
    self.weights = weights
    self.forms = forms
    shape = weights.shape
    facts = EngineFacts(
      tag: .builtIn, path: path, modelID: configuration.modelID, architecture: configuration.architecture,
      parameters: Int64(configuration.parameterCount), layers: configuration.layers, hidden: configuration.hidden,
      vocabulary: configuration.vocabulary, context: weights.shape.context,
      quantization: configuration.quantization, digest: digest, layout: layout, sigma: factorization.sigma,
      tokenizer: tokenizer, chatTemplate: chatTemplate,
      eosIDs: configuration.eosIDs.compactMap { Int32(exactly: $0) }, hasGradients: true, warnings: warnings)
    spaces = WorkspacePool(shape: weights.shape)
  }

  /// Positions of a sequence at most, whatever the configuration says.
  static let contextLimit = 32768

  package static func load(
    path: String, factorizationDirectory: String?, precision: FactorPrecision? = nil, pool: ComputePool = .shared,
    room: MemoryRoom = .unlimited,
    shouldStop: @escaping @Sendable () -> Bool = { false },
    progress: @escaping @Sendable (LoadingStep) -> Void = { _ in }
  ) throws(EngineError) -> LanguageModel {
    let file: OpenModel
    do { file = try openModel(at: path) } catch { throw .unreadable(error) }
    return try load(
      file, factorizationDirectory: factorizationDirectory, precision: precision, pool: pool, room: room,
      shouldStop: shouldStop, progress: progress)
  }

  /// Reads a model, its matrices as they are stored, and its factorization, which is computed once and kept in
  /// `factorizationDirectory` under the model's digest; nil keeps nothing. Where `shouldStop` says true, which is asked
  /// before each tensor, ``EngineError/stopped`` is thrown; where it does not fit into `room`,
  /// ``EngineError/notEnoughMemory(what:needed:room:advice:)`` before anything is read.
  /// - Parameter precision: of the factorization; nil is ``FactorPrecision/standard(for:)``.
  package static func load(
    _ file: OpenModel, factorizationDirectory: String?, precision: FactorPrecision? = nil, pool: ComputePool,
    room: MemoryRoom = .unlimited,
    shouldStop: @escaping @Sendable () -> Bool, progress: @escaping @Sendable (LoadingStep) -> Void
  ) throws(EngineError) -> LanguageModel {
    progress(.reading)
    let configuration = file.configuration
    let memory = ModelMemory(file, precision: precision)
    try room.require(memory.least, for: "model '\(configuration.modelID)'")
    let shape = ModelShape(configuration, contextLimit: contextLimit)
    let weights = ModelWeights(shape: shape) { name in
      guard let type = file.elementType(of: name) else {
        preconditionFailure("'\(name)' is of a type that is not read")
      }
      return type
    }
    try weights.read(file, pool: pool, shouldStop: shouldStop)

    progress(.digesting)
    let targets = file.targets
    let layout = MultiplierLayout(targets)
    let scratch = Scratch()
    let digest = unsafe modelDigest(of: targets) { target in
      guard let index = layout.index(of: target.name) else { preconditionFailure("'\(target.name)' has no place") }
      return unsafe weights.widened(index, scratch)
    }.description
    guard !shouldStop() else { throw .stopped }
    let (factorization, damage) = try factorize(
      weights, memory, layout: layout, digest: digest, precision: precision ?? .standard(for: layout),
      model: configuration.modelID, directory: factorizationDirectory, pool: pool, room: room, shouldStop: shouldStop,
      progress: progress)

    let text = try ModelText(file.tokenizerDescription, path: file.path)
    return LanguageModel(
      path: file.path, configuration: configuration, layout: layout, digest: digest, factorization: factorization,
      factorizationDamage: damage, tokenizer: text.tokenizer, chatTemplate: text.chatTemplate,
      warnings: file.warnings, pool: pool, memory: memory, room: room, weights: weights,
      forms: FactoredForms(factorization, weights))
  }

  /// The same model, whose factored rows always go in one form.
  /// - Parameter changes: where they see one vector, they always go with what it changes.
  package func always(_ form: FactoredForm, changes: Bool = false) -> LanguageModel {
    var forms = forms
    forms.only = form
    forms.alwaysChanges = changes
    return LanguageModel(
      path: path, configuration: configuration, layout: layout, digest: digest, factorization: factorization,
      factorizationDamage: factorizationDamage, tokenizer: tokenizer, chatTemplate: chatTemplate, warnings: warnings,
      pool: pool, memory: memory, room: room, weights: weights, forms: forms)
  }

  private static func factorize(
    _ weights: ModelWeights, _ memory: ModelMemory, layout: MultiplierLayout, digest: String,
    precision: FactorPrecision, model: String, directory: String?, pool: ComputePool, room: MemoryRoom,
    shouldStop: @escaping @Sendable () -> Bool, progress: @escaping @Sendable (LoadingStep) -> Void
  ) throws(EngineError) -> (Factorization, damage: String?) {
    let cacheFile = directory.map { "\($0)/\(layout.factorizationFileName(ofModel: digest))" }
    func failed(_ error: SVFError) -> EngineError {
      if case .stopped = error { .stopped } else { .factorization(model: model, cause: "\(error)") }
    }
    var damage: String?
    do throws(SVFError) {
      if let cacheFile {
        switch try Factorization.load(
          cacheFile: cacheFile, expecting: digest, layout: layout, precision: precision, pool: pool,
          shouldStop: shouldStop)
        {
        case .whole(let cached): return (cached, nil)
        case .missing: break
        case .damaged(let problem): damage = problem
        }
      }
    } catch {
      throw failed(error)
    }
    // Without a file the factors stay in memory of their own.
    try room.require(
      memory.factorizingPerThread * pool.threadCount + (cacheFile == nil ? memory.factors : 0),
      for: "factorizing model '\(model)'")
    do throws(SVFError) {
      let computed = try unsafe Factorization.compute(
        layout: layout, weights: { unsafe weights.widened($0, $1) }, digest: digest, precision: precision,
        into: cacheFile, pool: pool, shouldStop: shouldStop,
        progress: { progress(.factorizing(done: $0.done, of: $0.count, found: $0.found, share: $0.share)) })
      return (computed, damage)
    } catch {
      throw failed(error)
    }
  }
}

// MARK: Facts

extension LanguageModel {
  /// Bytes that the model holds in memory of its own; the factorization is a mapped file beside it.
  package var weightBytes: Int { weights.byteCount }
}
