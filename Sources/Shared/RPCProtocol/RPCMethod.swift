package import StrictJSON

/// One row of the visible table of methods, from which the server checks requests, `system.methods` answers,
/// t2ctl gets its completion and the page t2-protocol(7) is checked.
package struct RPCMethod: Sendable, Equatable {
  /// Who may call it: `read` whom the socket's mode admits; `change` root, the daemon's user and the admin group.
  package enum Access: String, Sendable { case read, change }

  package let name: String
  package let access: Access
  package let parameters: [RPCParameter]
  /// The protocol version that brought it.
  package let since: Int
  package let summary: String
  /// What the result object holds, in words and member names.
  package let result: String
  /// The verb of t2ctl that calls it.
  package let verb: String

  init(
    _ name: String, _ access: Access, verb: String, since: Int = 1, _ summary: String, result: String,
    _ parameters: [RPCParameter] = []
  ) {
    self.name = name
    self.access = access
    self.verb = verb
    self.since = since
    self.summary = summary
    self.result = result
    self.parameters = parameters
  }

  /// As `system.methods` shows it.
  package var json: JSONValue {
    [
      "name": .string(name), "access": .string(access.rawValue), "since": .integer(Int64(since)),
      "summary": .string(summary), "result": .string(result), "verb": .string(verb),
      "params": .array(parameters.map(\.json)),
    ]
  }
}

/// A named parameter.
package struct RPCParameter: Sendable, Equatable {
  package let name: String
  package let type: RPCParameterType
  package let isRequired: Bool
  package let summary: String

  static func required(_ name: String, _ type: RPCParameterType, _ summary: String) -> RPCParameter {
    RPCParameter(name: name, type: type, isRequired: true, summary: summary)
  }

  static func optional(_ name: String, _ type: RPCParameterType, _ summary: String) -> RPCParameter {
    RPCParameter(name: name, type: type, isRequired: false, summary: summary)
  }

  var json: JSONValue {
    var object: JSONObject = [
      "name": .string(name), "type": .string(type.name), "required": .bool(isRequired), "summary": .string(summary),
    ]
    switch type {
    case .choice(let values): object["values"] = .array(values.map { .string($0) })
    case .integer(let range), .integers(let range):
      object["minimum"] = .integer(range.lowerBound)
      object["maximum"] = .integer(range.upperBound)
    case .number(let range), .numbers(let range):
      object["minimum"] = .number(range.lowerBound)
      object["maximum"] = .number(range.upperBound)
    case .string, .boolean, .strings, .text, .tokens, .coefficients, .messages: break
    }
    return .object(object)
  }
}

/// What a value must be; checked before the handler sees the request.
package enum RPCParameterType: Sendable, Equatable {
  /// Any text.
  case string
  /// One of these.
  case choice([String])
  case integer(ClosedRange<Int64>)
  /// A list of integers of this range, at least one.
  case integers(ClosedRange<Int64>)
  case number(ClosedRange<Double>)
  /// A list of numbers of this range, at least one.
  case numbers(ClosedRange<Double>)
  case boolean
  case strings
  /// A text, or the token ids of one.
  case text
  /// Token ids.
  case tokens
  /// An object of finite numbers (or lists of them, one a unit) by expert: `{"science": 0.7, "social@2": 0.1}`.
  case coefficients
  /// A chat: a list of `{"role", "content"}`.
  case messages

  package var name: String {
    switch self {
    case .string, .choice: "string"
    case .integer: "integer"
    case .integers: "list of integers"
    case .number: "number"
    case .numbers: "list of numbers"
    case .boolean: "boolean"
    case .strings: "list of strings"
    case .text: "string or list of token ids"
    case .tokens: "list of token ids"
    case .coefficients: "object of numbers"
    case .messages: "list of {role, content}"
    }
  }
}
