package import Records
import StrictJSON

/// One row of the visible table of methods, from which the server checks requests, `system.methods` answers,
/// t2ctl gets its completion and the page t2-protocol(7) is checked.
package struct RPCMethod: Sendable, Equatable {
  /// Who may call it: `read` whom the socket's mode admits; `change` root, the daemon's user and the admin group.
  package enum Access: String, Sendable { case read, change }

  private let declaration: any RPCMethodDeclaration.Type
  package let name: String
  package let access: Access
  package let parameters: [MemberDefinition]
  /// Whether it reads a file that the client has opened and passes along.
  package let takesFile: Bool
  /// The protocol version that brought it.
  package let since: Int
  package let summary: String
  /// What the result object holds, in words and member names.
  ///
  /// Made when it is asked for: to walk all results would be most of t2ctl's start.
  package var result: String { declaration.resultSummary }
  /// The verb of t2ctl that calls it.
  package let verb: String

  init(_ declaration: any RPCMethodDeclaration.Type) {
    name = declaration.name
    access = declaration.access
    verb = declaration.verb
    since = declaration.since
    summary = declaration.summary
    takesFile = declaration.takesFile
    self.declaration = declaration
    parameters = declaration.parameterMembers
  }

  /// The table has a name once.
  package static func == (a: RPCMethod, b: RPCMethod) -> Bool { a.name == b.name }

  /// As `system.methods` shows it.
  package var shown: SystemMethods.Method {
    .init(
      name: name, access: access.rawValue, since: since, summary: summary, result: result, verb: verb,
      params: parameters.map(\.shown))
  }
}

extension MemberDefinition {
  /// As `system.methods` shows a parameter.
  var shown: SystemMethods.Parameter {
    var shown = SystemMethods.Parameter(name: name, type: type.name, required: isRequired, summary: summary)
    if let standard, !standard.isNull { shown.default = standard }
    let bounded: ValueType = if case .list(let element, _) = type { element } else { type }
    switch bounded {
    case .choice(let values): shown.values = values
    case .integer(let range):
      shown.minimum = .integer(range.lowerBound)
      shown.maximum = .integer(range.upperBound)
    case .number(let range):
      shown.minimum = .number(range.lowerBound)
      shown.maximum = .number(range.upperBound)
    case .string, .boolean, .list, .text, .tokens, .coefficients, .messages, .custom, .record, .any: break
    }
    return shown
  }
}
