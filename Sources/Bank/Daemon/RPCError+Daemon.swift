import Registry
import RPCProtocol
import StrictJSON
import WorkerProtocol

// Each module's errors under the numbers of the protocol: one exhaustive switch each.

extension RPCError {
  init(_ error: RegistryError) {
    let code: RPCErrorCode =
      switch error {
      case .unconfirmed: .unconfirmed
      case .database, .files: error.isOfTheDisk ? .notStored : .internal
      case .damagedRow, .newerRow, .lostStagedFile, .damagedBlob, .damagedLog, .missingCatalogue, .outdatedCatalogue,
        .noRedoLog, .unfinished:
        .internal
      case .unknownModel: .unknownModel
      case .unknownExpert, .unknownVersion: .unknownExpert
      case .unknownTask: .unknownTask
      case .unknownJob: .unknownJob
      case .conflict: .conflict
      }
    self.init(code, error.description)
  }

  init(_ fault: WorkerFault) {
    let code: RPCErrorCode =
      switch fault.kind {
      case .badRequest, .unsupported: .invalidParams
      case .protocolMismatch, .busy, .outOfMemory, .engineUnavailable: .workerUnavailable
      case .modelUnreadable, .modelChanged, .engineUntrusted: .modelError
      case .expertUnreadable: .badExpert
      case .taskUnreadable: .badTask
      case .mixtureInvalid: .badMixture
      case .noTokenizer: .noTokenizer
      case .promptTooLong: .contextExceeded
      case .notEnoughMemory: .notEnoughMemory
      case .unknownJob: .unknownJob
      case .files: .fileNotReadable
      case .damaged: .damaged
      case .cancelled: .cancelled
      case .failed: .internal
      }
    self.init(code, fault.message, hint: fault.retry ? "it may work later; try again" : nil)
  }
}
