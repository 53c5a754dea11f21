/// A template as it is kept: parsed once, rendered often. What the words mean is in `TemplateRun`.
struct TemplateProgram: Sendable {
  let body: [TemplateStatement]
}

indirect enum TemplateStatement: Sendable {
  /// Text of the template between its tags.
  case text(TemplateText)
  /// `{{ value }}`
  case output(TemplateExpression)
  /// `{% if %}`, `{% elif %}`, `{% else %}`
  case branch([(test: TemplateExpression, body: [TemplateStatement])], otherwise: [TemplateStatement])
  /// `{% for targets in items if test %}`, `{% else %}` for no items
  case loop(
    targets: [String], items: TemplateExpression, test: TemplateExpression?, body: [TemplateStatement],
    otherwise: [TemplateStatement])
  /// `{% set targets = value %}`
  case set([TemplateTarget], TemplateExpression)
  /// `{% set target %}...{% endset %}`
  case capture(TemplateTarget, line: Int, body: [TemplateStatement])
  case macro(TemplateMacro)
  /// `{% generation %}`, with which transformers marks what an assistant says: variables that are set in it stay in it.
  case scope([TemplateStatement])
  /// `{% break %}`, `{% continue %}`
  case leave(TemplateFlow)
}

/// What follows a statement.
enum TemplateFlow: Sendable { case next, breakLoop, continueLoop }

enum TemplateTarget: Sendable {
  case name(String)
  /// A member of a namespace: `ns.found`.
  case member(String, of: String)
}

/// `{% macro name(a, b='x') %}`. It sees its parameters and the template's outermost variables.
final class TemplateMacro: Sendable {
  let name: String
  let parameters: [(name: String, standard: TemplateExpression?)]
  let body: [TemplateStatement]

  init(name: String, parameters: [(name: String, standard: TemplateExpression?)], body: [TemplateStatement]) {
    (self.name, self.parameters, self.body) = (name, parameters, body)
  }
}

struct TemplateArguments: Sendable {
  var positional: [TemplateExpression] = []
  var named: [(name: String, value: TemplateExpression)] = []

  var all: [TemplateExpression] { positional + named.map(\.value) }
}

final class TemplateExpression: Sendable {
  enum Kind: Sendable {
    case literal(TemplateValue)
    case name(String)
    case list([TemplateExpression])
    case dictionary([(key: TemplateExpression, value: TemplateExpression)])
    case negative(TemplateExpression)
    case positive(TemplateExpression)
    case not(TemplateExpression)
    case and(TemplateExpression, TemplateExpression)
    case or(TemplateExpression, TemplateExpression)
    case arithmetic(String, TemplateExpression, TemplateExpression)
    /// `a < b <= c`: each pair is compared, from left to right, until one is false.
    case comparison(TemplateExpression, [(sign: String, value: TemplateExpression)])
    case conditional(test: TemplateExpression, then: TemplateExpression, otherwise: TemplateExpression?)
    case member(TemplateExpression, TemplateText)
    case element(TemplateExpression, TemplateExpression)
    case slice(TemplateExpression, [TemplateExpression?])
    case call(TemplateExpression, TemplateArguments)
    case filter(TemplateExpression, String, TemplateArguments)
    case test(TemplateExpression, String, TemplateArguments)
  }

  /// How deep an expression may be: what is evaluated or freed is never deeper than the thread's stack.
  static let maximumDepth = 100

  let kind: Kind
  let line: Int
  private let depth: Int

  init(_ kind: Kind, line: Int) throws(ChatTemplateError) {
    self.kind = kind
    self.line = line
    depth = 1 + (Self.parts(kind).map(\.depth).max() ?? 0)
    guard depth <= Self.maximumDepth else { throw .tooDeep(line: line, allowed: Self.maximumDepth) }
  }

  private static func parts(_ kind: Kind) -> [TemplateExpression] {
    switch kind {
    case .literal, .name: []
    case .list(let items): items
    case .dictionary(let entries): entries.map(\.key) + entries.map(\.value)
    case .negative(let value), .positive(let value), .not(let value), .member(let value, _): [value]
    case .and(let left, let right), .or(let left, let right), .arithmetic(_, let left, let right),
      .element(let left, let right):
      [left, right]
    case .comparison(let first, let others): [first] + others.map(\.value)
    case .conditional(let test, let then, let otherwise): [test, then] + [otherwise].compactMap(\.self)
    case .slice(let value, let bounds): [value] + bounds.compactMap(\.self)
    case .call(let value, let arguments), .filter(let value, _, let arguments), .test(let value, _, let arguments):
      [value] + arguments.all
    }
  }
}
