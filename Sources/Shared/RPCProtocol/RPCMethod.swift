package import Records
package import StrictJSON

/// One row of the visible table of methods, from which the server checks requests, `system.methods` answers,
/// t2ctl gets its completion and the page t2-protocol(7) is checked.
package struct RPCMethod: Sendable, Equatable {
  /// Who may call it: `read` whom the socket's mode admits; `change` root, the daemon's user and the admin group.
  package enum Access: String, Sendable { case read, change }

  package let name: String
  package let access: Access
  package let parameters: [MemberDefinition]
  /// The protocol version that brought it.
  package let since: Int
  package let summary: String
  /// What the result object holds, in words and member names.
  package let result: String
  /// The verb of t2ctl that calls it.
  package let verb: String

  init(_ declaration: any RPCMethodDeclaration.Type) {
    name = declaration.name
    access = declaration.access
    verb = declaration.verb
    since = declaration.since
    summary = declaration.summary
    result = declaration.resultSummary
    parameters = Self.members(of: declaration)
  }

  private static func members<Declaration: RPCMethodDeclaration>(of declaration: Declaration.Type) -> [MemberDefinition]
  {
    Declaration.Parameters.members
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

extension MemberDefinition {
  /// As `system.methods` shows a parameter.
  var json: JSONValue {
    var object: JSONObject = [
      "name": .string(name), "type": .string(type.name), "required": .bool(isRequired), "summary": .string(summary),
    ]
    if let standard, !standard.isNull { object["default"] = standard }
    let bounded: ValueType = if case .list(let element, _) = type { element } else { type }
    switch bounded {
    case .choice(let values): object["values"] = .array(values.map { .string($0) })
    case .integer(let range):
      object["minimum"] = .integer(range.lowerBound)
      object["maximum"] = .integer(range.upperBound)
    case .number(let range):
      object["minimum"] = .number(range.lowerBound)
      object["maximum"] = .number(range.upperBound)
    case .string, .boolean, .list, .text, .tokens, .coefficients, .messages, .custom, .record, .any: break
    }
    return .object(object)
  }
}
