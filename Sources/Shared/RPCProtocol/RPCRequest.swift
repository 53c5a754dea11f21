import Records
package import StrictJSON

/// The id of a request, as the client wrote it.
package enum RPCID: Sendable, Equatable {
  case null
  case integer(Int64)
  case string(String)

  package static let maximumBytes = 128
  package static let integers: ClosedRange<Int64> = -(1 << 53)...(1 << 53)

  package var json: JSONValue {
    switch self {
    case .null: .null
    case .integer(let value): .integer(value)
    case .string(let text): .string(text)
    }
  }
}

/// A request whose every part has been checked against the table.
package struct RPCRequest: Sendable {
  /// Nil for a notification, which gets no answer.
  package let id: RPCID?
  package let method: RPCMethod
  package let params: JSONObject

  package init(id: RPCID?, method: RPCMethod, params: JSONObject) {
    self.id = id
    self.method = method
    self.params = params
  }
}

/// A line that is refused: what to answer, to which id, and whether the connection goes on.
package struct RPCRefusal: Error, Sendable, Equatable {
  package let error: RPCError
  package let id: RPCID
  /// A notification is never answered, not even with an error.
  package let isNotification: Bool
  /// After a line that is not JSON nobody knows where the next one begins.
  package let closes: Bool

  package init(_ error: RPCError, id: RPCID = .null, isNotification: Bool = false, closes: Bool = false) {
    self.error = error
    self.id = id
    self.isNotification = isNotification
    self.closes = closes
  }
}

extension RPCRequest {
  package static let jsonLimits = JSONLimits(maximumDepth: 32, maximumMembers: 65_536, maximumBytes: 1 << 20)

  /// Reads one line (without its newline) by the rules of the protocol. The order of the checks is the order in
  /// which a person would look: JSON, object, version, id, method, parameters. `admit` refuses a method before its
  /// parameters are looked at: who may not call it does not learn from them either.
  package static func parse(
    _ line: UnsafeRawBufferPointer, admit: (RPCMethod) throws(RPCError) -> Void = { (_) throws(RPCError) in }
  ) throws(RPCRefusal) -> RPCRequest {
    let value: JSONValue
    do {
      value = try unsafe parseJSON(line, limits: jsonLimits)
    } catch {
      throw unsafe refusal(of: line, because: error)
    }
    return try check(value, admit: admit)
  }

  private static func check(
    _ value: JSONValue, admit: (RPCMethod) throws(RPCError) -> Void
  ) throws(RPCRefusal) -> RPCRequest {
    guard case .object(let object) = value else {
      if case .array = value {
        throw RPCRefusal(
          RPCError(.invalidRequest, "batch not supported", hint: "send one request per line; they may be pipelined"))
      }
      throw RPCRefusal(RPCError(.invalidRequest, "a request is an object, this is \(value.asFound)"))
    }

    let id: RPCID?
    switch object["id"] {
    case nil: id = nil
    case .null?: id = .null
    case .integer(let number)? where RPCID.integers.contains(number): id = .integer(number)
    case .string(let text)? where text.utf8.count <= RPCID.maximumBytes: id = .string(text)
    case let other?:
      throw RPCRefusal(
        RPCError(
          .invalidRequest, "'id' is \(other.asFound)",
          hint: "an id is a string of at most 128 bytes, an integer within ±2^53, or null"))
    }
    func refuse(_ code: RPCErrorCode, _ message: String, hint: String? = nil) -> RPCRefusal {
      RPCRefusal(RPCError(code, message, hint: hint), id: id ?? .null, isNotification: id == nil)
    }

    // Without an id a broken request is still answered: whoever sent it did not send a notification.
    guard object["jsonrpc"] == .string("2.0") else {
      throw RPCRefusal(
        RPCError(.invalidRequest, "'jsonrpc' must be the string \"2.0\""), id: id ?? .null)
    }
    guard case .string(let name)? = object["method"] else {
      throw RPCRefusal(
        RPCError(
          .invalidRequest,
          object["method"].map { "'method' is \($0.asFound), not a string" } ?? "the request has no 'method'"),
        id: id ?? .null)
    }
    guard let method = RPCMethod.named(name) else {
      let near = name.utf8.count <= 64 ? nearestName(to: name, among: RPCMethod.all.map(\.name)) : nil
      throw refuse(
        .methodNotFound, "there is no method \(quoted(name))",
        hint: near.map { "did you mean '\($0)'?" } ?? "system.methods lists them")
    }
    do {
      try admit(method)
    } catch {
      throw RPCRefusal(error, id: id ?? .null, isNotification: id == nil)
    }
    let params: JSONObject
    switch object["params"] {
    case nil: params = JSONObject()
    case .object(let named)?: params = named
    case .array?: throw refuse(.invalidParams, "\(name) takes named parameters, not a list")
    case let other?: throw refuse(.invalidParams, "'params' is \(other.asFound), not an object")
    }
    do {
      try method.check(params)
    } catch {
      throw RPCRefusal(error, id: id ?? .null, isNotification: id == nil)
    }
    return RPCRequest(id: id, method: method, params: params)
  }

  private static func refusal(of line: UnsafeRawBufferPointer, because error: JSONError) -> RPCRefusal {
    var hint: String?
    let start = unsafe line.prefix(4)
    if unsafe start.elementsEqual("GET ".utf8) || start.elementsEqual("POST".utf8) || start.elementsEqual("HEAD".utf8)
      || start.elementsEqual("PUT ".utf8)
    {
      hint = "this socket speaks JSON-RPC 2.0, one object a line, and not HTTP"
    } else if unsafe line.first == 0x16 {
      hint = "this socket speaks JSON-RPC 2.0, one object a line, without TLS"
    } else if unsafe start.starts(with: [0xef, 0xbb, 0xbf]) {
      hint = "send no byte order mark"
    }
    if error.kind == .duplicateKey {
      return RPCRefusal(RPCError(.invalidRequest, "not a request: \(error.problem) at byte \(error.offset)"))
    }
    return RPCRefusal(
      RPCError(.parseError, "not JSON: \(error.problem) at byte \(error.offset)", hint: hint), closes: true)
  }
}
