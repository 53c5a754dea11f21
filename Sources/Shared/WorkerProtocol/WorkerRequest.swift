package import Settings
package import StrictJSON

/// One line from the daemon: a number to answer to, and what is asked.
package struct WorkerRequest: Sendable, Equatable {
  package var id: Int64
  package var call: WorkerCall

  package init(id: Int64, call: WorkerCall) {
    self.id = id
    self.call = call
  }

  package var json: JSONValue {
    object([("id", .integer(id)), ("method", .string(call.method)), ("params", call.params)])
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "")
    let id = Int64(try fields.integer("id"))
    let params = fields.optional("params") ?? .object([:])
    self.init(id: id, call: try WorkerCall(method: try fields.string("method"), params: params))
  }

  /// The id of a request whose call could not be understood, so that it can still be refused by number.
  package static func id(of value: JSONValue) -> Int64? {
    guard case .object(let object) = value, case .integer(let id) = object["id"] else { return nil }
    return id
  }
}

/// Everything a worker can be asked.
package enum WorkerCall: Sendable, Equatable {
  /// Answer: `HelloAnswer`.
  case hello
  /// Answer: `TokenizeAnswer`.
  case tokenize(model: ModelReference, text: String, special: Bool)
  /// Answer: `ScoreAnswer`.
  case score(ScoreCall)
  /// Answer: `GenerateAnswer`; with `stream`, events `generate.decision` and `generate.token` come before it.
  case generate(GenerateCall)
  /// Answer: `DispatchAnswer`.
  case dispatch(DispatchCall)
  /// Ends a `generate` that nobody waits for any more; it ends as `cancelled` at its next step. Answer: `{}`.
  case cancelRequest(Int64)
  /// Answer: `{}` when the job has been taken up; the rest comes as events.
  case startJob(JobStart)
  /// Answer: `{}`, whether or not the job still runs. The job ends with an event at its next batch boundary.
  case cancelJob(Int64)
  /// Answer: `MemoryAnswer`.
  case memory

  package var method: String {
    switch self {
    case .hello: "hello"
    case .tokenize: "tokenize"
    case .score: "score"
    case .generate: "generate"
    case .dispatch: "dispatch"
    case .cancelRequest: "cancel"
    case .startJob: "job.start"
    case .cancelJob: "job.cancel"
    case .memory: "memory"
    }
  }

  var params: JSONValue {
    switch self {
    case .hello: object([("protocol", .integer(WorkerProtocol.version))])
    case .tokenize(let model, let text, let special):
      object([("model", model.json), ("text", .string(text)), ("special", .bool(special))])
    case .score(let call): call.json
    case .generate(let call): call.json
    case .dispatch(let call): call.json
    case .cancelRequest(let request): object([("request", .integer(request))])
    case .startJob(let start): start.json
    case .cancelJob(let job): object([("job", .integer(job))])
    case .memory: .object([:])
    }
  }

  init(method: String, params: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(params, "params")
    switch method {
    case "hello": self = .hello
    case "tokenize":
      self = .tokenize(
        model: try ModelReference(decoding: try fields.value("model")), text: try fields.string("text"),
        special: try fields.optionalBool("special") ?? false)
    case "score": self = .score(try ScoreCall(decoding: params))
    case "generate": self = .generate(try GenerateCall(decoding: params))
    case "dispatch": self = .dispatch(try DispatchCall(decoding: params))
    case "cancel": self = .cancelRequest(Int64(try fields.integer("request")))
    case "job.start": self = .startJob(try JobStart(decoding: params))
    case "job.cancel": self = .cancelJob(Int64(try fields.integer("job")))
    case "memory": self = .memory
    default: throw .unknownMethod(method)
    }
  }
}

/// A text, or the token ids of one: all that a model without a tokenizer takes.
package enum InputText: Sendable, Equatable {
  case text(String)
  case ids([Int32])

  var json: JSONValue {
    switch self {
    case .text(let text): .string(text)
    case .ids(let ids): list(ids) { .integer(Int64($0)) }
    }
  }
}

/// Log-probabilities of a continuation after a prompt.
package struct ScoreCall: Sendable, Equatable {
  package var model: ModelReference
  package var prompt: InputText
  package var continuation: InputText
  package var weights: Weights
  /// How many of the largest logits at the first continuation position come back.
  package var top: Int
  /// Whether text such as `<|im_start|>` stands for the special token.
  package var special: Bool

  package init(
    model: ModelReference, prompt: InputText, continuation: InputText, weights: Weights = .base, top: Int = 0,
    special: Bool = false
  ) {
    self.model = model
    self.prompt = prompt
    self.continuation = continuation
    self.weights = weights
    self.top = top
    self.special = special
  }

  var json: JSONValue {
    object([
      ("model", model.json), ("prompt", prompt.json), ("continuation", continuation.json),
      ("weights", weights.json), ("top", .integer(Int64(top))), ("special", .bool(special)),
    ])
  }

  init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "params")
    self.init(
      model: try ModelReference(decoding: try fields.value("model")), prompt: try fields.inputText("prompt"),
      continuation: try fields.inputText("continuation"), weights: try fields.weights(),
      top: try fields.optionalInteger("top") ?? 0, special: try fields.optionalBool("special") ?? false)
  }
}

/// Requests that are generated in one batch; each may see other weights.
package struct GenerateCall: Sendable, Equatable {
  package var model: ModelReference
  package var requests: [Request]
  package var maximumTokens: Int
  /// 0 is greedy.
  package var temperature: Double
  package var topP: Double
  package var seed: UInt64
  package var stop: [String]
  package var stream: Bool

  package struct Request: Sendable, Equatable {
    package enum Input: Sendable, Equatable {
      /// Continued as it is.
      case prompt(String)
      /// Rendered by the model's chat template.
      case messages([ChatMessage])
      /// Continued as they are, without a begin token.
      case ids([Int32])
    }
    package var input: Input
    /// Those of pass two; with `dispatch`, its labels say which.
    package var weights: Weights
    package var dispatch: DispatchSpec?

    package init(input: Input, weights: Weights = .base, dispatch: DispatchSpec? = nil) {
      self.input = input
      self.weights = weights
      self.dispatch = dispatch
    }
  }

  package init(
    model: ModelReference, requests: [Request], maximumTokens: Int = 256, temperature: Double = 0, topP: Double = 1,
    seed: UInt64 = 0, stop: [String] = [], stream: Bool = false
  ) {
    self.model = model
    self.requests = requests
    self.maximumTokens = maximumTokens
    self.temperature = temperature
    self.topP = topP
    self.seed = seed
    self.stop = stop
    self.stream = stream
  }

  var json: JSONValue {
    object([
      ("model", model.json), ("requests", list(requests, \.json)), ("max_tokens", .integer(Int64(maximumTokens))),
      ("temperature", .number(temperature)), ("top_p", .number(topP)), ("seed", seedJSON(seed)),
      ("stop", list(stop) { .string($0) }), ("stream", .bool(stream)),
    ])
  }

  init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "params")
    self.init(
      model: try ModelReference(decoding: try fields.value("model")),
      requests: try fields.each("requests") { (value, path) throws(WorkerProtocolError) in
        try Request(decoding: value, path)
      },
      maximumTokens: try fields.integer("max_tokens"), temperature: try fields.double("temperature"),
      topP: try fields.double("top_p"), seed: try fields.seed("seed"), stop: try fields.strings("stop"),
      stream: try fields.optionalBool("stream") ?? false)
  }
}

extension GenerateCall.Request {
  var json: JSONValue {
    let (key, value): (String, JSONValue) =
      switch input {
      case .prompt(let text): ("prompt", .string(text))
      case .ids(let ids): ("ids", list(ids) { .integer(Int64($0)) })
      case .messages(let messages):
        (
          "messages",
          list(messages) { object([("role", .string($0.role)), ("content", .string($0.content))]) }
        )
      }
    return object([(key, value), ("weights", weights.json), ("dispatch", dispatch?.json)])
  }

  init(decoding value: JSONValue, _ path: String) throws(WorkerProtocolError) {
    let fields = try Fields(value, path)
    let input: Input
    if let prompt = try fields.optionalString("prompt") {
      input = .prompt(prompt)
    } else if fields.optional("ids") != nil {
      input = .ids(try fields.tokens("ids"))
    } else {
      input = .messages(
        try fields.each("messages") { (value, path) throws(WorkerProtocolError) in
          let message = try Fields(value, path)
          return ChatMessage(role: try message.string("role"), content: try message.string("content"))
        })
    }
    var dispatch: DispatchSpec?
    if let value = fields.optional("dispatch") { dispatch = try DispatchSpec(decoding: value) }
    self.init(input: input, weights: try fields.weights(), dispatch: dispatch)
  }
}

/// A seed keeps all its 64 bits in JSON's signed integers.
func seedJSON(_ seed: UInt64) -> JSONValue { .integer(Int64(bitPattern: seed)) }

extension Fields {
  func inputText(_ key: String) throws(WorkerProtocolError) -> InputText {
    if case .array = try value(key) { return .ids(try tokens(key)) }
    return .text(try string(key))
  }
  func seed(_ key: String) throws(WorkerProtocolError) -> UInt64 {
    UInt64(bitPattern: Int64(try integer(key)))
  }
  /// `weights`, with the base where nothing is said.
  func weights() throws(WorkerProtocolError) -> Weights {
    guard let value = optional("weights") else { return .base }
    return try Weights(decoding: value)
  }
}
