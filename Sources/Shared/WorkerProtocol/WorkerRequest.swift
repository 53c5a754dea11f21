package import Records
package import Settings
package import StrictJSON

/// One line from the daemon: a number to answer to, and what is asked.
package struct WorkerRequest: WorkerMessage {
  package var id: Int64
  @Flattened package var call: WorkerCall

  package init(id: Int64, call: WorkerCall) {
    self.id = id
    self.call = call
  }

  /// The id of a request whose call could not be understood, so that it can still be refused by number.
  package static func id(of value: JSONValue) -> Int64? {
    guard case .object(let object) = value, case .integer(let id) = object["id"] else { return nil }
    return id
  }
}

/// Everything a worker can be asked.
package enum WorkerCall: WorkerMessage {
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
  /// What a model at a path, or the one that a `config.json` describes, would need with matrices of some modules factored,
  /// or all. Answer: `MemoryPlan`.
  case plan(path: String, modules: [String])
  /// Answer: `ExportAnswer`, when the file is written.
  case export(ExportCall)
}

extension WorkerCall {
  private enum Method: String, Choice {
    case hello, tokenize, score, generate, dispatch, cancel
    case startJob = "job.start"
    case cancelJob = "job.cancel"
    case memory, plan, export
  }
  private enum CodingKeys: String, CodingKey { case method, params }

  private var name: Method {
    switch self {
    case .hello: .hello
    case .tokenize: .tokenize
    case .score: .score
    case .generate: .generate
    case .dispatch: .dispatch
    case .cancelRequest: .cancel
    case .startJob: .startJob
    case .cancelJob: .cancelJob
    case .memory: .memory
    case .plan: .plan
    case .export: .export
    }
  }

  package var method: String { name.rawValue }

  private struct Greeting: Codable { var `protocol`: Int64 }
  private struct Text: Codable {
    var model: ModelReference
    var text: String
    @EmptyWhenAbsent var special: Bool
  }
  private struct Cancellation: Codable { var request: Int64 }
  private struct JobCancellation: Codable { var job: Int64 }
  private struct Place: Codable {
    var path: String
    @EmptyWhenAbsent var modules: [String]
  }
  private struct Nothing: Codable {}

  package init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    func params<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
      try container.decode(type, forKey: .params)
    }
    switch try container.decode(Method.self, forKey: .method) {
    case .hello: self = .hello
    case .tokenize:
      let asked = try params(Text.self)
      self = .tokenize(model: asked.model, text: asked.text, special: asked.special)
    case .score: self = .score(try params())
    case .generate: self = .generate(try params())
    case .dispatch: self = .dispatch(try params())
    case .cancel: self = .cancelRequest(try params(Cancellation.self).request)
    case .startJob: self = .startJob(try params())
    case .cancelJob: self = .cancelJob(try params(JobCancellation.self).job)
    case .memory: self = .memory
    case .plan:
      let asked = try params(Place.self)
      self = .plan(path: asked.path, modules: asked.modules)
    case .export: self = .export(try params())
    }
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(name, forKey: .method)
    let params: any Encodable =
      switch self {
      case .hello: Greeting(protocol: WorkerProtocol.version)
      case .tokenize(let model, let text, let special): Text(model: model, text: text, special: special)
      case .score(let call): call
      case .generate(let call): call
      case .dispatch(let call): call
      case .cancelRequest(let request): Cancellation(request: request)
      case .startJob(let start): start
      case .cancelJob(let job): JobCancellation(job: job)
      case .memory: Nothing()
      case .plan(let path, let modules): Place(path: path, modules: modules)
      case .export(let call): call
      }
    try container.encode(params, forKey: .params)
  }
}

/// Log-probabilities of a continuation after a prompt.
package struct ScoreCall: WorkerMessage {
  package var model: ModelReference
  package var prompt: TextOrTokens
  package var continuation: TextOrTokens
  package var weights: Weights
  /// How many of the largest logits at the first continuation position come back.
  @EmptyWhenAbsent package var top: Int
  /// Whether text such as `<|im_start|>` stands for the special token.
  @EmptyWhenAbsent package var special: Bool

  package init(
    model: ModelReference, prompt: TextOrTokens, continuation: TextOrTokens, weights: Weights = .base, top: Int = 0,
    special: Bool = false
  ) {
    self.model = model
    self.prompt = prompt
    self.continuation = continuation
    self.weights = weights
    self.top = top
    self.special = special
  }
}

/// What weights are, as a file: the effective multipliers as an expert of kind `mixture`, or the factors of a LoRA.
package struct ExportCall: WorkerMessage {
  package var model: ModelReference
  package var weights: Weights
  /// Of the LoRA; nil: the multipliers.
  package var rank: Int?
  /// Where the file is written, with nothing there yet.
  package var path: String

  package init(model: ModelReference, weights: Weights, rank: Int? = nil, path: String) {
    self.model = model
    self.weights = weights
    self.rank = rank
    self.path = path
  }
}

/// Requests that are generated in one batch; each may see other weights.
package struct GenerateCall: WorkerMessage {
  package var model: ModelReference
  package var requests: [Request]
  package var maximumTokens: Int
  /// 0 is greedy.
  package var temperature: Double
  package var topP: Double
  package var seed: UInt64
  package var stop: [String]
  @EmptyWhenAbsent package var stream: Bool
  /// For requests with messages.
  package var chat: ChatOptions?

  private enum CodingKeys: String, CodingKey {
    case model, requests
    case maximumTokens = "max_tokens"
    case temperature, topP, seed, stop, stream, chat
  }

  package struct Request: WorkerMessage {
    package enum Input: WorkerMessage {
      /// Continued as it is.
      case prompt(String)
      /// Rendered by the model's chat template.
      case messages([ChatMessage])
      /// Continued as they are, without a begin token.
      case ids([Int32])

      private enum CodingKeys: String, CodingKey { case prompt, messages, ids }

      package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        if let text = try container.decodeIfPresent(String.self, forKey: .prompt) {
          self = .prompt(text)
        } else if let ids = try container.decodeIfPresent([Int32].self, forKey: .ids) {
          self = .ids(ids)
        } else {
          self = .messages(try container.decode([ChatMessage].self, forKey: .messages))
        }
      }

      package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        switch self {
        case .prompt(let text): try container.encode(text, forKey: .prompt)
        case .messages(let messages): try container.encode(messages, forKey: .messages)
        case .ids(let ids): try container.encode(ids, forKey: .ids)
        }
      }
    }
    @Flattened package var input: Input
    /// Those of the second pass; with `dispatch`, its labels say which.
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
    seed: UInt64 = 0, stop: [String] = [], stream: Bool = false, chat: ChatOptions? = nil
  ) {
    self.model = model
    self.requests = requests
    self.maximumTokens = maximumTokens
    self.temperature = temperature
    self.topP = topP
    self.seed = seed
    self.stop = stop
    self.stream = stream
    self.chat = chat
  }
}
