package import Multipliers
package import StrictJSON

package struct HelloAnswer: Sendable, Equatable {
  package var pid: Int
  package var protocolVersion: Int64
  package var cores: Int
  /// The kernel that OpenBLAS runs, the one this CPU deserves, and whether the former is too old for it.
  package var kernel: String
  package var deservedKernel: String
  package var kernelTooOld: Bool
  /// Where programs of code rows are run: what holds them, or why none can be.
  package var code: Code?

  package struct Code: Sendable, Equatable {
    package var protections: [String]
    package var problem: String?

    package init(protections: [String], problem: String? = nil) {
      self.protections = protections
      self.problem = problem
    }

    package var json: JSONValue {
      object([("protections", list(protections) { .string($0) }), ("problem", problem.map { .string($0) })])
    }
  }

  package init(
    pid: Int, protocolVersion: Int64 = WorkerProtocol.version, cores: Int, kernel: String, deservedKernel: String,
    kernelTooOld: Bool, code: Code? = nil
  ) {
    self.pid = pid
    self.protocolVersion = protocolVersion
    self.cores = cores
    self.kernel = kernel
    self.deservedKernel = deservedKernel
    self.kernelTooOld = kernelTooOld
    self.code = code
  }

  package var json: JSONValue {
    object([
      ("pid", .integer(Int64(pid))), ("protocol", .integer(protocolVersion)), ("cores", .integer(Int64(cores))),
      (
        "blas",
        object([
          ("running", .string(kernel)), ("deserved", .string(deservedKernel)), ("too_old", .bool(kernelTooOld)),
        ])
      ), ("code", code?.json),
    ])
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "result")
    let blas = try fields.fields("blas")
    self.init(
      pid: try fields.integer("pid"), protocolVersion: Int64(try fields.integer("protocol")),
      cores: try fields.integer("cores"), kernel: try blas.string("running"),
      deservedKernel: try blas.string("deserved"), kernelTooOld: try blas.bool("too_old"),
      code: try fields.optional("code").map { (value) throws(WorkerProtocolError) in
        let code = try Fields(value, "result.code")
        return Code(protections: try code.strings("protections"), problem: try code.optionalString("problem"))
      })
  }
}

/// What a model is: enough to validate experts against it and to describe it, without opening it again.
package struct ModelFacts: Sendable, Equatable {
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
  /// In the model's order: layer by layer q, k, v, o, gate, up, down.
  package var targets: [TargetMatrix]
  /// 0 where the factorization was found in the cache.
  package var factorizationSeconds: Double

  package init(
    digest: String, modelID: String, architecture: String, parameters: Int64, layers: Int, hidden: Int,
    vocabulary: Int, contextLength: Int, quantization: String, hasTokenizer: Bool, chatTemplate: String?,
    chatTemplateProblem: String?, targets: [TargetMatrix], factorizationSeconds: Double
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
    self.targets = targets
    self.factorizationSeconds = factorizationSeconds
  }

  package var json: JSONValue {
    object([
      ("digest", .string(digest)), ("model_id", .string(modelID)), ("arch", .string(architecture)),
      ("parameters", .integer(parameters)), ("layers", .integer(Int64(layers))), ("hidden", .integer(Int64(hidden))),
      ("vocabulary", .integer(Int64(vocabulary))), ("context_length", .integer(Int64(contextLength))),
      ("quantization", .string(quantization)), ("tokenizer", .bool(hasTokenizer)),
      ("chat_template", chatTemplate.map { .string($0) }),
      ("chat_template_problem", chatTemplateProblem.map { .string($0) }),
      (
        "targets",
        list(targets) {
          object([
            ("name", .string($0.name)), ("rows", .integer(Int64($0.rows))), ("columns", .integer(Int64($0.columns))),
            ("layer", $0.layer.map { .integer(Int64($0)) }),
          ])
        }
      ), ("factorization_seconds", .number(factorizationSeconds)),
    ])
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "result")
    self.init(
      digest: try fields.string("digest"), modelID: try fields.string("model_id"),
      architecture: try fields.string("arch"), parameters: Int64(try fields.integer("parameters")),
      layers: try fields.integer("layers"), hidden: try fields.integer("hidden"),
      vocabulary: try fields.integer("vocabulary"), contextLength: try fields.integer("context_length"),
      quantization: try fields.string("quantization"), hasTokenizer: try fields.bool("tokenizer"),
      chatTemplate: try fields.optionalString("chat_template"),
      chatTemplateProblem: try fields.optionalString("chat_template_problem"),
      targets: try fields.each("targets") { (value, path) throws(WorkerProtocolError) in
        let target = try Fields(value, path)
        let (rows, columns) = (try target.integer("rows"), try target.integer("columns"))
        guard rows > 0, columns > 0 else { throw .wrongType(path: path, expected: "a matrix with rows and columns") }
        return TargetMatrix(
          name: try target.string("name"), rows: rows, columns: columns, layer: try target.optionalInteger("layer"))
      }, factorizationSeconds: try fields.double("factorization_seconds"))
  }
}

package struct TokenizeAnswer: Sendable, Equatable {
  package var ids: [Int32]
  package init(ids: [Int32]) { self.ids = ids }
  package var json: JSONValue { object([("ids", list(ids) { .integer(Int64($0)) })]) }
  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    self.init(ids: try Fields(value, "result").tokens("ids"))
  }
}

package struct ScoreAnswer: Sendable, Equatable {
  package struct Top: Sendable, Equatable {
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

  package var json: JSONValue {
    object([
      ("prompt_ids", list(promptIDs) { .integer(Int64($0)) }),
      ("continuation_ids", list(continuationIDs) { .integer(Int64($0)) }),
      ("logprobs", list(logprobs) { .float($0) }),
      ("top", list(top) { object([("id", .integer(Int64($0.id))), ("logit", .float($0.logit))]) }),
    ])
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "result")
    self.init(
      promptIDs: try fields.tokens("prompt_ids"), continuationIDs: try fields.tokens("continuation_ids"),
      logprobs: try fields.floats("logprobs"),
      top: try fields.each("top") { (value, path) throws(WorkerProtocolError) in
        let top = try Fields(value, path)
        guard let id = Int32(exactly: try top.integer("id")) else {
          throw .wrongType(path: path, expected: "a token id and its logit")
        }
        return Top(id: id, logit: Float(try top.double("logit")))
      })
  }
}

package struct GenerateAnswer: Sendable, Equatable {
  /// How long a request waited, and its passes took. They follow one another, but others may be computed meanwhile.
  package struct Seconds: Sendable, Equatable {
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

  package struct Generation: Sendable, Equatable {
    package var text: String
    package var promptTokens: Int
    /// The tokens chosen; what ended the answer is the last of them.
    package var ids: [Int32]
    /// `eos`, `stop`, `length` or `context`.
    package var finish: String
    /// Where there was a pass one.
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

  package var json: JSONValue {
    object([
      (
        "generations",
        list(generations) {
          object([
            ("text", .string($0.text)), ("prompt_tokens", .integer(Int64($0.promptTokens))),
            ("ids", list($0.ids) { .integer(Int64($0)) }), ("finish", .string($0.finish)),
            ("decision", $0.decision?.json), ("digest", $0.digest.map { .string($0) }),
            (
              "seconds",
              object([
                ("queue", .number($0.seconds.queue)), ("dispatch", .number($0.seconds.dispatch)),
                ("prefill", .number($0.seconds.prefill)), ("decode", .number($0.seconds.decode)),
              ])
            ),
          ])
        }
      )
    ])
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "result")
    self.init(
      generations: try fields.each("generations") { (value, path) throws(WorkerProtocolError) in
        let one = try Fields(value, path)
        let seconds = try one.fields("seconds")
        return Generation(
          text: try one.string("text"), promptTokens: try one.integer("prompt_tokens"), ids: try one.tokens("ids"),
          finish: try one.string("finish"),
          decision: try one.optional("decision").map { (value) throws(WorkerProtocolError) in
            try Decision(decoding: value)
          }, digest: try one.optionalString("digest"),
          seconds: Seconds(
            queue: try seconds.double("queue"), dispatch: try seconds.double("dispatch"),
            prefill: try seconds.double("prefill"), decode: try seconds.double("decode")))
      })
  }
}

package struct MemoryAnswer: Sendable, Equatable {
  package struct Model: Sendable, Equatable {
    package var path: String
    package var digest: String
    package var bytes: Int64
    package init(path: String, digest: String, bytes: Int64) {
      self.path = path
      self.digest = digest
      self.bytes = bytes
    }
  }
  /// Resident bytes without mapped files, and the limit on data that the worker was started with (0: none).
  package var resident: Int64
  package var limit: Int64
  package var models: [Model]

  package init(resident: Int64, limit: Int64, models: [Model]) {
    self.resident = resident
    self.limit = limit
    self.models = models
  }

  package var json: JSONValue {
    object([
      ("rss", .integer(resident)), ("limit", .integer(limit)),
      (
        "models",
        list(models) {
          object([("path", .string($0.path)), ("digest", .string($0.digest)), ("bytes", .integer($0.bytes))])
        }
      ),
    ])
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "result")
    self.init(
      resident: Int64(try fields.integer("rss")), limit: Int64(try fields.integer("limit")),
      models: try fields.each("models") { (value, path) throws(WorkerProtocolError) in
        let one = try Fields(value, path)
        return Model(
          path: try one.string("path"), digest: try one.string("digest"), bytes: Int64(try one.integer("bytes")))
      })
  }
}
