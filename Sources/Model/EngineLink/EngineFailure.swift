package import Settings
package import SystemSupport

/// Why a call on one engine has no result: `description` says what was attempted, on which engine, what was found and what to
/// do.
package struct EngineFailure: Error, Sendable, Equatable, CustomStringConvertible {
  package let address: EngineAddress
  /// What follows "cannot": `score 12 items`.
  package let attempt: String
  package let cause: Cause

  init(_ address: EngineAddress, _ attempt: String, _ cause: Cause) {
    (self.address, self.attempt, self.cause) = (address, attempt, cause)
  }

  package enum Cause: Error, Sendable, Equatable {
    // MARK: Nobody is reached
    /// There is nothing at the path (ENOENT, ENOTDIR).
    case noSocket
    case notASocket
    /// ECONNREFUSED.
    case nobodyListens
    case noPermission
    case system(SystemCallError)
    // MARK: No whole answer
    /// The time was up, with so many bytes of the answer.
    case deadline(after: Duration, received: Int)
    /// The connection was closed with so many bytes of the answer.
    case closed(received: Int)
    /// The caller wanted no answer any more.
    case stopped
    // MARK: Another answer
    case notHTTP(String)
    case tooLarge(String)
    /// HTTP, and not what the engine protocol says.
    case notTheProtocol(String)
    case refused(EngineRefusal)
    // MARK: An answer that must not be used
    /// The numbers are of another mixture than was asked for, as far as anybody knows.
    case wrongMixture(String)
    case otherProtocol(found: Int)
    /// It is another engine or another model than before, or than its replicas.
    case otherFacts(String)
    // MARK: Not asked
    /// The engine has said in its facts that it cannot.
    case unable(String)
    /// The request has something that the protocol cannot say.
    case unsendable(String)
  }

  package var description: String { "cannot \(attempt) at \(address.text): \(cause.description)" }
}

/// An error that the engine itself has answered with.
package struct EngineRefusal: Sendable, Equatable, CustomStringConvertible {
  package enum Code: String, Sendable, CaseIterable {
    case badRequest = "bad_request"
    case tooLong = "too_long"
    case noGradients = "no_gradients"
    case noImages = "no_images"
    case noLogits = "no_logits"
    case unknownMixture = "unknown_mixture"
    case notFound = "not_found"
    case notReady = "not_ready"
    case overloaded
    case outOfMemory = "out_of_memory"
    case diskFull = "disk_full"
    case notArmed = "not_armed"
    case wrongMixture = "wrong_mixture"
    case dead
    case `internal`
  }

  package var status: Int
  /// Nil for one that this version does not know.
  package var code: Code?
  /// As it came; for people.
  package var message: String
  /// How far the start of the engine is, from 0 to 1, where it knows.
  package var progress: Double?

  package init(status: Int, code: Code?, message: String, progress: Double? = nil) {
    (self.status, self.code, self.message, self.progress) = (status, code, message, progress)
  }

  package var description: String {
    var text = "the engine answers \(status)"
    if let code { text += " \(code.rawValue)" }
    text += ": \(escaped(message, limit: 400))"
    if let progress { text += " (\(Int((progress * 100).rounded(.down))) %)" }
    return switch code {
    case .notReady: text + "; wait until it has started"
    case .overloaded: text + "; ask again later, or give it less at once"
    case .dead, .notArmed: text + "; start it again, and look into its log"
    case .wrongMixture, .internal: text + "; look into its log"
    case .outOfMemory: text + "; give it more memory, or less at once"
    case .diskFull: text + "; free some space where it keeps its files"
    case .unknownMixture: text + "; it forgets mixtures that are in use: let it keep more of them"
    case .badRequest, .tooLong, .noGradients, .noImages, .noLogits, .notFound, nil: text
    }
  }
}

extension EngineFailure.Cause: CustomStringConvertible {
  package var description: String {
    switch self {
    case .noSocket:
      "there is no such socket; start the engine, or correct the address"
    case .notASocket:
      "the file there is not a socket; correct the address, or remove the file and start the engine"
    case .nobodyListens:
      "nobody listens there; start the engine, or correct the address"
    case .noPermission:
      "permission denied; let the worker's user into the group of the socket"
    case .system(let error): error.description
    case .deadline(let duration, let received):
      "no whole answer within \(Self.seconds(duration)), \(Self.sofar(received)); is the engine busy or hung? Its log says"
    case .closed(let received):
      "the engine closed the connection before its answer was whole, \(Self.sofar(received)); its log says why"
    case .stopped: "it was stopped"
    case .notHTTP(let problem):
      "what answers there speaks no HTTP/1.1: \(problem); is it an engine?"
    case .tooLarge(let problem): "the answer is refused: \(problem); is it an engine of this protocol?"
    case .notTheProtocol(let problem):
      "the answer is not what the engine protocol says: \(problem); compare the versions of t2d and of the engine"
    case .refused(let refusal): refusal.description
    case .wrongMixture(let problem):
      "the numbers may be those of another mixture and are not used: \(problem); start the engine again, and report this as "
        + "an error of the engine"
    case .otherProtocol(let found):
      "it speaks version \(found) of the engine protocol, and t2d version \(RemoteFacts.protocolVersion); install t2d and "
        + "the engine of one release"
    case .otherFacts(let problem):
      "\(problem); replicas have one model, one engine and one type: start it as the others, or take its address out"
    case .unable(let problem): "\(problem); use an engine that can"
    case .unsendable(let problem): problem
    }
  }

  private static func sofar(_ received: Int) -> String {
    received == 0 ? "of which nothing came" : "of which \(received) bytes came"
  }

  static func seconds(_ duration: Duration) -> String {
    let milliseconds = duration.inNanoseconds / 1_000_000
    return milliseconds % 1000 == 0 ? "\(milliseconds / 1000) s" : "\(milliseconds) ms"
  }
}
