package import Multipliers
package import Results
import Records

package struct HelloAnswer: WorkerResult {
  package var pid: Int
  package var protocolVersion: Int64
  package var cores: Int
  package var blas: Kernels
  /// Where programs of code rows are run: what holds them, or why none can be.
  package var code: Code?

  /// The kernel that OpenBLAS runs, the one this CPU deserves, and whether the former is too old for it.
  package struct Kernels: WorkerMessage {
    package var running: String
    package var deserved: String
    package var tooOld: Bool
  }

  package var kernel: String { blas.running }
  package var deservedKernel: String { blas.deserved }
  package var kernelTooOld: Bool { blas.tooOld }

  private enum CodingKeys: String, CodingKey {
    case pid
    case protocolVersion = "protocol"
    case cores, blas, code
  }

  package struct Code: WorkerMessage {
    package var protections: [String]
    package var problem: String?

    package init(protections: [String], problem: String? = nil) {
      self.protections = protections
      self.problem = problem
    }
  }

  package init(
    pid: Int, protocolVersion: Int64 = WorkerProtocol.version, cores: Int, kernel: String, deservedKernel: String,
    kernelTooOld: Bool, code: Code? = nil
  ) {
    self.pid = pid
    self.protocolVersion = protocolVersion
    self.cores = cores
    blas = Kernels(running: kernel, deserved: deservedKernel, tooOld: kernelTooOld)
    self.code = code
  }
}

/// What a model is: enough to validate experts against it and to describe it, without opening it again.
package struct ModelFacts: WorkerResult {
  package var digest: String
  package var modelID: String
  package var architecture: String
  package var parameters: Int64
  package var layers: Int
  package var hidden: Int
  package var vocabulary: Int
  package var contextLength: Int
  package var quantization: String
  package var hasTokenizer: Bool
  /// The name of the recognised template, or nil and why.
  package var chatTemplate: String?
  package var chatTemplateProblem: String?
  /// What was resolved when its files were read, and may have been meant in another way; nil where there is nothing.
  package var warnings: [String]?
  /// In the model's order: layer by layer q, k, v, o, gate, up, down.
  package var targets: [TargetMatrix]
  /// 0 where the factorization was found in the cache.
  package var factorizationSeconds: Double
  /// What computes it, for people: name, version, number type and ranks; nil: the worker itself.
  package var computedBy: String?

  private enum CodingKeys: String, CodingKey {
    case digest, modelID
    case architecture = "arch"
    case parameters, layers, hidden, vocabulary, contextLength, quantization
    case hasTokenizer = "tokenizer"
    case chatTemplate, chatTemplateProblem, warnings, targets, factorizationSeconds, computedBy
  }

  package init(
    digest: String, modelID: String, architecture: String, parameters: Int64, layers: Int, hidden: Int,
    vocabulary: Int, contextLength: Int, quantization: String, hasTokenizer: Bool, chatTemplate: String?,
    chatTemplateProblem: String?, warnings: [String] = [], targets: [TargetMatrix], factorizationSeconds: Double,
    computedBy: String? = nil
  ) {
    self.digest = digest
    self.modelID = modelID
    self.architecture = architecture
    self.parameters = parameters
    self.layers = layers
    self.hidden = hidden
    self.vocabulary = vocabulary
    self.contextLength = contextLength
    self.quantization = quantization
    self.hasTokenizer = hasTokenizer
    self.chatTemplate = chatTemplate
    self.chatTemplateProblem = chatTemplateProblem
    self.warnings = warnings.isEmpty ? nil : warnings
    self.targets = targets
    self.factorizationSeconds = factorizationSeconds
    self.computedBy = computedBy
  }
}

extension TargetMatrix: WorkerMessage {
  private enum CodingKeys: String, CodingKey { case name, rows, columns, layer, factored }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    let (rows, columns) = (
      try container.decode(Int.self, forKey: .rows), try container.decode(Int.self, forKey: .columns)
    )
    guard rows > 0, columns > 0 else {
      throw RecordError(.invalid, in: decoder, "must be a matrix with rows and columns, and is \(rows) x \(columns)")
    }
    self.init(
      name: try container.decode(String.self, forKey: .name), rows: rows, columns: columns,
      layer: try container.decodeIfPresent(Int.self, forKey: .layer),
      isFactored: try container.decodeIfPresent(Bool.self, forKey: .factored) ?? true)
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(name, forKey: .name)
    try container.encode(rows, forKey: .rows)
    try container.encode(columns, forKey: .columns)
    try container.encodeIfPresent(layer, forKey: .layer)
    if !isFactored { try container.encode(false, forKey: .factored) }
  }
}

package struct TokenizeAnswer: WorkerResult {
  package var ids: [Int32]
  package init(ids: [Int32]) { self.ids = ids }
}

package struct ScoreAnswer: WorkerResult {
  package struct Top: WorkerMessage {
    package var id: Int32
    package var logit: Float
    package init(id: Int32, logit: Float) {
      self.id = id
      self.logit = logit
    }
  }
  package var promptIDs: [Int32]
  package var continuationIDs: [Int32]
  /// One for each continuation token.
  package var logprobs: [Float]
  /// The largest logits at the first continuation position, descending.
  package var top: [Top]

  package init(promptIDs: [Int32], continuationIDs: [Int32], logprobs: [Float], top: [Top]) {
    self.promptIDs = promptIDs
    self.continuationIDs = continuationIDs
    self.logprobs = logprobs
    self.top = top
  }
}

package struct GenerateAnswer: WorkerResult {
  /// How long a request waited, and its passes took. They follow one another, but others may be computed meanwhile.
  package struct Seconds: WorkerMessage {
    package var queue: Double
    package var dispatch: Double
    package var prefill: Double
    package var decode: Double
    package init(queue: Double = 0, dispatch: Double = 0, prefill: Double = 0, decode: Double = 0) {
      self.queue = queue
      self.dispatch = dispatch
      self.prefill = prefill
      self.decode = decode
    }
  }

  package struct Generation: WorkerMessage {
    package var text: String
    package var promptTokens: Int
    /// The tokens chosen; what ended the answer is the last of them.
    package var ids: [Int32]
    /// `eos`, `stop`, `length` or `context`.
    package var finish: String
    /// Where there was a first pass.
    package var decision: Decision?
    /// Of the multipliers under which the text was made; nil for the base.
    package var digest: String?
    package var seconds: Seconds

    package init(
      text: String, promptTokens: Int, ids: [Int32], finish: String, decision: Decision? = nil, digest: String? = nil,
      seconds: Seconds = Seconds()
    ) {
      self.text = text
      self.promptTokens = promptTokens
      self.ids = ids
      self.finish = finish
      self.decision = decision
      self.digest = digest
      self.seconds = seconds
    }
  }
  package var generations: [Generation]

  package init(generations: [Generation]) { self.generations = generations }
}

package struct ExportAnswer: WorkerResult {
  /// Of the multipliers, see `MultiplierVector.digest(in:)`.
  package var digest: String
  /// Of a LoRA.
  package var fit: LowRankFit?

  package init(digest: String, fit: LowRankFit? = nil) {
    self.digest = digest
    self.fit = fit
  }
}

extension MemoryPlan: WorkerResult {}

package struct MemoryAnswer: WorkerResult {
  package struct Model: WorkerMessage {
    package var path: String
    package var digest: String
    package var bytes: Int64
    /// Of one that engines elsewhere compute, as far as the last calls tell.
    package var replicas: [EngineReplica]?

    package init(path: String, digest: String, bytes: Int64, replicas: [EngineReplica]? = nil) {
      self.path = path
      self.digest = digest
      self.bytes = bytes
      self.replicas = replicas
    }
  }
  /// Resident bytes without mapped files, and the limit on data that the worker was started with (0: none).
  package var resident: Int64
  package var limit: Int64
  package var models: [Model]

  private enum CodingKeys: String, CodingKey {
    case resident = "rss"
    case limit, models
  }

  package init(resident: Int64, limit: Int64, models: [Model]) {
    self.resident = resident
    self.limit = limit
    self.models = models
  }
}
