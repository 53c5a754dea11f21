package import ModelFormats
package import Multipliers
package import SystemSupport
package import Tokenizer

/// What can go wrong with a model, what computes it, and what it is asked; the texts are for people.
package enum EngineError: Error, CustomStringConvertible {
  case notFinite(model: String, tensor: String, index: Int)
  /// The file or a part of it could not be read.
  case unreadable(ModelFormatError)
  case tokenizer(path: String, TokenizerError)
  case factorization(model: String, cause: String)
  case emptyPrompt(item: Int)
  case emptyContinuation(item: Int, continuation: Int)
  case tooLong(item: Int, tokens: Int, context: Int)
  case unknownToken(item: Int, id: Int32, vocabulary: Int)
  /// A multiplier vector or a blend that is not of this model's layout.
  case wrongMultiplierCount(found: Int, expected: Int)
  case countMismatch(what: String, found: Int, expected: Int)
  /// Logits that are NaN or infinite: the weights under these multipliers left the range of float.
  case overflow(item: Int)
  /// A gradient that is NaN or infinite although the log-probabilities are not.
  case gradientOverflow(matrix: String)
  /// The derivative of a loss with respect to a log-probability that is NaN or infinite.
  case derivativeNotFinite(item: Int, continuation: Int)
  case invalidSampling(String)
  case lowRankGeneration
  /// A mixture that does not exist, as a rescale without a denominator.
  case mixture(MixtureError)
  /// An engine that cannot do what was asked, ever.
  case unsupported(String)
  /// An engine elsewhere that is away, starting or broken: what was asked may be asked again.
  case unavailable(String)
  /// An engine elsewhere that is not what it was, or answers what cannot be.
  case untrusted(String)
  /// It needs more bytes than the process may still take; nothing was taken.
  case notEnoughMemory(what: String, needed: Int, room: Int, advice: String)
  /// `shouldStop` said so.
  case stopped

  package var description: String {
    switch self {
    case .notFinite(let model, let tensor, let index):
      "tensor '\(tensor)' of model '\(model)' holds a NaN or an infinity at value \(index)"
    case .unreadable(let cause):
      cause.description
    case .tokenizer(let path, let cause):
      "the tokenizer of '\(path)' cannot be used: \(cause)"
    case .factorization(let model, let cause):
      "the matrices of model '\(model)' cannot be factorized: \(cause)"
    case .emptyPrompt(let item):
      "prompt \(item) has no tokens; a model without a begin token needs at least one"
    case .emptyContinuation(let item, let continuation):
      "continuation \(continuation) of prompt \(item) has no tokens"
    case .tooLong(let item, let tokens, let context):
      "prompt \(item) needs \(tokens) tokens, the model's context holds \(context)"
    case .unknownToken(let item, let id, let vocabulary):
      "prompt \(item) has the token id \(id), the vocabulary has 0 to \(vocabulary - 1)"
    case .wrongMultiplierCount(let found, let expected):
      "a multiplier vector has \(found) values, this model's target matrices have \(expected)"
    case .countMismatch(let what, let found, let expected):
      "\(found) \(what) given, \(expected) expected"
    case .overflow(let item):
      "the logits of prompt \(item) are not finite: these multipliers drive the model out of the range of float"
    case .gradientOverflow(let matrix):
      "the gradient of the multipliers of '\(matrix)' is not finite: these multipliers drive the model to the end of the "
        + "range of float; use smaller ones"
    case .derivativeNotFinite(let item, let continuation):
      "the loss has a derivative that is not finite for continuation \(continuation) of prompt \(item)"
    case .invalidSampling(let problem):
      "cannot sample: \(problem)"
    case .lowRankGeneration:
      "weights that are not those of a vector are for scoring, and generate nothing"
    case .notEnoughMemory(let what, let needed, let room, let advice):
      "\(what) needs \(megabytesText(needed)) of memory, and the worker may take \(megabytesText(room)) more: \(advice)"
    case .mixture(let error): error.description
    case .unsupported(let problem), .unavailable(let problem), .untrusted(let problem): problem
    case .stopped:
      "stopped on request"
    }
  }
}

extension MemoryRoom {
  /// Refuses what would end the process: nothing of it has been taken yet.
  package func require(_ bytes: Int, for what: String) throws(EngineError) {
    guard has(bytes) else { throw .notEnoughMemory(what: what, needed: bytes, room: self.bytes, advice: advice) }
  }
}
