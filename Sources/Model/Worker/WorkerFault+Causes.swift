import Adaptation
import Engines
import Evaluation
import Multipliers
import Training
import WorkerProtocol

/// Runs what may fail in the targets below; its error becomes what the daemon is told.
func faulting<Value>(_ body: () throws -> Value) throws(WorkerFault) -> Value {
  do { return try body() } catch { throw WorkerFault(cause: error) }
}

// What went wrong below, as the daemon should treat it.
extension WorkerFault {
  init(cause: any Error) {
    switch cause {
    case let fault as WorkerFault: self = fault
    case let error as TaskEncodingError: self.init(error)
    case let error as EvaluationError: self.init(error)
    case let error as RowEvaluator.Failure: self.init(error)
    case let error as AdaptationError: self.init(error)
    case let error as TrainingError: self.init(error)
    case let error as DispatcherError: self.init(error)
    case let error as DispatchTemplateError: self.init(.badRequest, error.description)
    case let error as EngineError: self.init(error)
    case let error as UnknownModule: self.init(error)
    case let error as MixtureError: self.init(.mixtureInvalid, "\(error)")
    default: self.init(.failed, "\(cause)")
    }
  }

  init(_ error: UnknownModule) { self.init(.badRequest, error.description) }

  private init(_ failure: RowEvaluator.Failure) {
    switch failure {
    case .encoding(let error): self.init(error)
    case .model(let error): self.init(error)
    case .scoring(let error): self.init(error)
    case .cancelled: self = .jobCancelled
    }
  }

  private init(_ error: AdaptationError) {
    switch error {
    case .cancelled: self.init(.cancelled, error.description)
    case .scorer, .journalMismatch: self.init(.failed, error.description)
    }
  }

  private init(_ error: EvaluationError) {
    let kind: Kind =
      switch error {
      case .codeExecutionDisabled, .code: .unsupported
      case .scoreCount, .invalidPattern: .taskUnreadable
      }
    self.init(kind, error.description)
  }

  private init(_ error: TaskEncodingError) {
    let kind: Kind =
      switch error {
      case .noTokenizer: .noTokenizer
      case .noChatTemplate, .notRendered: .unsupported
      case .emptyChoice: .taskUnreadable
      case .tooLong: .promptTooLong
      }
    self.init(kind, error.description)
  }

  init(_ error: TrainingError) {
    let kind: Kind =
      switch error {
      case .cancelled: .cancelled
      case .tooFewRows: .taskUnreadable
      case .diverged, .noReward, .noAnswerRight, .nothingLearned, .model: .failed
      case .notSaved: .files
      }
    self.init(kind, error.description, retry: kind == .files)
  }

  init(_ error: DispatcherError) {
    switch error {
    case .noTokenizer: self.init(.noTokenizer, error.description)
    case .noLabels, .emptyLabel: self.init(.badRequest, error.description)
    case .tooLong: self.init(.promptTooLong, error.description)
    case .chat: self.init(.unsupported, error.description)
    case .model(let error): self.init(error)
    }
  }

  init(_ error: EngineError) {
    let kind: Kind =
      switch error {
      case .notFinite, .unreadable, .factorization: .modelUnreadable
      case .tokenizer: .noTokenizer
      case .tooLong: .promptTooLong
      case .emptyPrompt, .emptyContinuation, .unknownToken, .invalidSampling, .lowRankGeneration: .badRequest
      case .wrongMultiplierCount, .countMismatch: .expertUnreadable
      case .overflow, .gradientOverflow, .derivativeNotFinite, .mixture: .mixtureInvalid
      case .unsupported: .unsupported
      case .unavailable: .engineUnavailable
      case .untrusted: .engineUntrusted
      case .notEnoughMemory: .notEnoughMemory
      case .stopped: .cancelled
      }
    // A request has one prompt, whose number within a batch says nothing to whoever asked.
    if case .tooLong(_, let tokens, let context) = error {
      self.init(kind, "the prompt needs \(tokens) tokens, the model's context holds \(context)")
    } else {
      self.init(kind, error.description, retry: kind == .engineUnavailable)
    }
  }
}

/// The case of that name, or what there is to choose.
func named<Name: RawRepresentable<String> & CaseIterable>(
  _ text: String, _ what: String
) throws(WorkerFault) -> Name {
  if let name = Name(rawValue: text) { return name }
  let known = Name.allCases.map(\.rawValue).joined(separator: ", ")
  throw WorkerFault(.badRequest, "the \(what) '\(text)' is not one of \(known)")
}
