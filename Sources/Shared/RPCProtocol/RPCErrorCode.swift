/// Every number that an error answer may carry. A number is never reused and never changes its meaning;
/// new ones are added at the end of their group. The page t2-protocol(7) lists all of them, and a test compares.
///
/// Below zero: JSON-RPC's own and the server's. From 1000: what the catalogue says. From 1100: the worker.
/// From 1200: files. Each module's errors are mapped to these in one exhaustive switch at the RPC edge.
package enum RPCErrorCode: Int, CaseIterable, Sendable {
  case parseError = -32700
  case invalidRequest = -32600
  case methodNotFound = -32601
  case invalidParams = -32602
  case `internal` = -32603

  case limit = -32000
  case permission = -32001
  case timeout = -32002
  case tooLarge = -32003
  case shuttingDown = -32004
  case overloaded = -32005

  case unknownModel = 1000
  case unknownExpert = 1001
  case unknownTask = 1002
  case unknownJob = 1003
  case ambiguousModel = 1004
  case noModel = 1005
  case noMixtureYet = 1006
  case waitingForExperts = 1007
  case conflict = 1008
  case foreignExpert = 1009
  case badMixture = 1010
  case incompatibleShapes = 1011
  case unknownCheck = 1012
  case noDispatcher = 1013
  case emptyBank = 1014
  case unknownLabel = 1015
  case notStored = 1016
  case unconfirmed = 1017
  case damaged = 1018
  case notFound = 1019

  case workerUnavailable = 1100
  case modelError = 1101
  case jobFailed = 1102
  case cancelled = 1103
  case noTokenizer = 1104
  case contextExceeded = 1105
  case notEnoughMemory = 1106

  case badFile = 1200
  case badExpert = 1201
  case badTask = 1202
  case badModel = 1203
  case fileNotReadable = 1204
  case badTemplate = 1205
  case fileNotWritable = 1206

  /// The name that programs compare: `error.data.kind`.
  package var kind: String {
    switch self {
    case .parseError: "parse_error"
    case .invalidRequest: "invalid_request"
    case .methodNotFound: "method_not_found"
    case .invalidParams: "invalid_params"
    case .internal: "internal"
    case .limit: "limit"
    case .permission: "permission"
    case .timeout: "timeout"
    case .tooLarge: "too_large"
    case .shuttingDown: "shutting_down"
    case .overloaded: "overloaded"
    case .unknownModel: "unknown_model"
    case .unknownExpert: "unknown_expert"
    case .unknownTask: "unknown_task"
    case .unknownJob: "unknown_job"
    case .ambiguousModel: "ambiguous_model"
    case .noModel: "no_model"
    case .noMixtureYet: "no_mixture_yet"
    case .waitingForExperts: "waiting_for_experts"
    case .conflict: "conflict"
    case .foreignExpert: "foreign_expert"
    case .badMixture: "bad_mixture"
    case .incompatibleShapes: "incompatible_shapes"
    case .unknownCheck: "unknown_check"
    case .noDispatcher: "no_dispatcher"
    case .emptyBank: "empty_bank"
    case .unknownLabel: "unknown_label"
    case .notStored: "not_stored"
    case .unconfirmed: "unconfirmed"
    case .damaged: "damaged"
    case .notFound: "not_found"
    case .workerUnavailable: "worker_unavailable"
    case .modelError: "model_error"
    case .jobFailed: "job_failed"
    case .cancelled: "cancelled"
    case .noTokenizer: "no_tokenizer"
    case .contextExceeded: "context_exceeded"
    case .notEnoughMemory: "not_enough_memory"
    case .badFile: "bad_file"
    case .badExpert: "bad_expert"
    case .badTask: "bad_task"
    case .badModel: "bad_model"
    case .fileNotReadable: "file_not_readable"
    case .badTemplate: "bad_template"
    case .fileNotWritable: "file_not_writable"
    }
  }

  /// One line for the manual page.
  package var summary: String {
    switch self {
    case .parseError: "the line is not JSON; the connection is closed after this answer"
    case .invalidRequest: "the line is JSON, but not a request"
    case .methodNotFound: "there is no method of this name"
    case .invalidParams: "a parameter is missing, unknown, or of the wrong type"
    case .internal: "the daemon failed; the text is in its log too"
    case .limit: "a limit on connections or requests is reached"
    case .permission: "the peer may read, but not change"
    case .timeout: "the daemon gave up waiting"
    case .tooLarge: "a line or an answer is longer than its limit; after a line too long the connection is closed"
    case .shuttingDown: "the daemon is ending"
    case .overloaded: "the daemon has no room for this now; try again"
    case .unknownModel: "no model of this name is registered"
    case .unknownExpert: "there is no expert, or no version of it, of this name"
    case .unknownTask: "there is no task of this name"
    case .unknownJob: "there is no job of this number"
    case .ambiguousModel: "several models fit, and nothing decides between them"
    case .noModel: "no model is registered yet"
    case .noMixtureYet: "the task has no mixture yet; data.job is the search that will make it"
    case .waitingForExperts: "the task waits until an expert of its model is active"
    case .conflict: "the request contradicts the present state"
    case .foreignExpert: "the expert was made for another base model"
    case .badMixture: "these coefficients and experts cannot be mixed"
    case .incompatibleShapes: "the expert's matrices are not the model's; data.matrix is the first that differs"
    case .unknownCheck: "there is no check of this number"
    case .noDispatcher: "the strategy classifier needs an active expert of kind dispatcher, and there is none"
    case .emptyBank: "no expert of the model is active, so there is no label to choose"
    case .unknownLabel: "a row has a label that no active expert has"
    case .notStored: "the disk refused the change, and nothing was changed; try again when it has room and works"
    case .unconfirmed: "the disk failed so that it is not known whether the change was made; look again when it works"
    case .damaged: "what is stored is not what was stored, so it is not used; the hint says what heals it"
    case .notFound: "there is neither a task nor an expert of this name"
    case .workerUnavailable: "the worker is not running, or ended during the request"
    case .modelError: "the model could not be loaded or run"
    case .jobFailed: "the job ended with an error"
    case .cancelled: "the job was cancelled"
    case .noTokenizer: "the model has no tokenizer, so it takes token ids only"
    case .contextExceeded: "the text is longer than the model's context"
    case .notEnoughMemory:
      "it needs more memory than the worker may take, so it was not tried; the text says what to set"
    case .badFile: "the file is not what it should be"
    case .badExpert: "the expert file is refused"
    case .badTask: "the task's files are refused"
    case .badModel: "the model file is refused"
    case .fileNotReadable: "the daemon cannot read the file"
    case .badTemplate: "the dispatch template lacks a placeholder, or cannot be read"
    case .fileNotWritable: "the daemon cannot write the file that was passed"
    }
  }
}
