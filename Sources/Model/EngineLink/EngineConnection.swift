package import Settings
import StrictJSON
import SystemSupport

/// The calls of the engine protocol on one engine. They block the calling thread until the answer is whole, the patience ends,
/// or something fails; what comes back was checked, also that it is of the mixtures that were asked for.
///
/// Whoever connects anew may find another process there, with another model. So a new connection begins with the facts, and
/// goes on only where they are those of `facts`. An engine that closed a kept connection before it had read the request is
/// asked once more, without a word.
///
/// `@unchecked Sendable`: for one thread at a time; nothing here is locked. Who shares connections takes each out of a list under
/// a lock, and puts it back there (``EngineReplicas``).
package final class EngineConnection: @unchecked Sendable {
  package let address: EngineAddress
  /// Those that every connection must find; nil until they were asked.
  package private(set) var facts: RemoteFacts?
  private var kept: HTTPConnection?

  package init(_ address: EngineAddress, facts: RemoteFacts? = nil) {
    (self.address, self.facts) = (address, facts)
  }

  /// Of a body that is no answer of numbers: errors, receipts.
  static let smallBody = 1 << 20

  // MARK: - Facts

  /// Asks anew; other facts than before are an error.
  @discardableResult
  package func askFacts(_ patience: Patience) throws(EngineFailure) -> RemoteFacts {
    let attempt = "ask for the facts"
    do throws(EngineFailure.Cause) {
      return try agreed(
        try RemoteFacts(reading: try exchange(factsRequest, bodyBytes: RemoteFacts.limits.maximumBytes, patience)))
    } catch {
      throw EngineFailure(address, attempt, error)
    }
  }

  private let factsRequest = HTTPRequest(method: .get, path: "/t2/facts")

  private func agreed(_ found: RemoteFacts) throws(EngineFailure.Cause) -> RemoteFacts {
    if let facts, let difference = found.difference(from: facts) {
      kept = nil
      throw .otherFacts("it is not what was asked before under this address, or at a replica: \(difference)")
    }
    facts = found
    return found
  }

  /// Runs a call that needs the facts, asking for them where nobody has.
  func call<Result>(
    _ attempt: @autoclosure () -> String, _ patience: Patience,
    _ body: (RemoteFacts) throws(EngineFailure.Cause) -> Result
  ) throws(EngineFailure) -> Result {
    let facts: RemoteFacts
    if let known = self.facts { facts = known } else { facts = try askFacts(patience) }
    do throws(EngineFailure.Cause) { return try body(facts) } catch { throw EngineFailure(address, attempt(), error) }
  }

  // MARK: - HTTP

  /// The body of an answer that is none of an error.
  func exchange(
    _ request: HTTPRequest, bodyBytes: Int, _ patience: Patience
  ) throws(EngineFailure.Cause) -> [UInt8] {
    let connection = try begin(request, bodyBytes: bodyBytes, patience)
    let body = try connection.readToEnd(patience)
    keep(connection)
    return body
  }

  /// Sends a request and reads the head of its answer; the body is the caller's. An error of the engine is thrown.
  func begin(
    _ request: HTTPRequest, bodyBytes: Int, _ patience: Patience
  ) throws(EngineFailure.Cause) -> HTTPConnection {
    let limits = HTTPLimits(bodyBytes: max(bodyBytes, Self.smallBody))
    let connection = try connected(request, limits, patience)
    guard connection.parser.status != 200 else { return connection }
    let status = connection.parser.status
    let body = try connection.readToEnd(patience)
    keep(connection)
    throw Self.refusal(status, body)
  }

  private func connected(
    _ request: HTTPRequest, _ limits: HTTPLimits, _ patience: Patience
  ) throws(EngineFailure.Cause) -> HTTPConnection {
    if let connection = kept.take(), connection.isQuiet {
      do throws(EngineFailure.Cause) {
        try connection.begin(request, limits, patience)
        return connection
      } catch .closed(received: 0) where request.isRepeatable {
        // The engine closed it while nobody used it: the usual end of a kept connection.
      } catch {
        throw error
      }
    }
    let connection = try HTTPConnection(to: address, patience)
    if facts != nil, request.path != factsRequest.path {
      try connection.begin(factsRequest, HTTPLimits(bodyBytes: RemoteFacts.limits.maximumBytes), patience)
      let status = connection.parser.status
      let body = try connection.readToEnd(patience)
      guard status == 200 else { throw Self.refusal(status, body) }
      _ = try agreed(try RemoteFacts(reading: body))
      guard connection.isReusable else { return try fresh(request, limits, patience) }
    }
    try connection.begin(request, limits, patience)
    return connection
  }

  /// Of an engine that keeps no connection: the facts were those of the one before, which is as near as can be.
  private func fresh(
    _ request: HTTPRequest, _ limits: HTTPLimits, _ patience: Patience
  ) throws(EngineFailure.Cause) -> HTTPConnection {
    let connection = try HTTPConnection(to: address, patience)
    try connection.begin(request, limits, patience)
    return connection
  }

  /// For the next request, where it may be used for one.
  func keep(_ connection: HTTPConnection) {
    if connection.isReusable { kept = connection }
  }

  package func close() { kept = nil }

  /// What an answer with another status than 200 says.
  static func refusal(_ status: Int, _ body: [UInt8]) -> EngineFailure.Cause {
    guard (400..<600).contains(status) else {
      return .notTheProtocol("its status is \(status), where the protocol has 200 and errors")
    }
    guard let json = try? parseJSON(body, limits: JSONLimits(maximumMembers: 1000, maximumBytes: smallBody)),
      let error = json.objectValue?["error"]?.objectValue, let refusal = EngineRefusal(status: status, error)
    else {
      return .notTheProtocol(
        "it answers \(status) without an error of the protocol: '\(escaped(bytes: body.prefix(160)))'")
    }
    return .refused(refusal)
  }
}

extension EngineRefusal {
  /// Of the member `error` of an answer, or of the last line of a stream.
  init?(status: Int, _ error: JSONObject) {
    guard let code = error["code"]?.stringValue else { return nil }
    let progress = error["progress"]?.doubleValue.flatMap { (0...1).contains($0) ? $0 : nil }
    self.init(
      status: status, code: Code.allCases.first { $0.rawValue.utf8.elementsEqual(code.utf8) },
      message: error["message"]?.stringValue ?? "without a text, \(code.excerpt)", progress: progress)
  }
}
