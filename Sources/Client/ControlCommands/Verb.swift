import Records
import RPCProtocol

/// One command of t2ctl. The table of them is what `help`, the completions and t2ctl(1) are made of.
package struct Verb: Sendable {
  package struct Argument: Sendable {
    /// As the usage shows it: PROMPT.
    package let name: String
    /// The parameter of the method that it fills; nil where the verb handles it.
    package let parameter: String?
    package var isOptional = false
    package var repeats = false
  }

  package struct Option: Sendable {
    /// With its dashes.
    package let flag: String
    /// One letter for it, with its dash.
    package var letter: String?
    /// What follows it, as the usage shows it; nil for a flag alone.
    package let value: String?
    package internal(set) var summary: String
    /// The parameter that it fills, by the type that the table of methods gives it; nil where the verb handles it.
    package var parameter: String?
    /// What a flag alone means: `--no-chat` is false.
    package var meaning = true
    /// Whether it lists the files of a directory in completions.
    package var isPath: Bool { value == "FILE" || value == "PATH" || value == "DIR" }
  }

  /// What the values of an option mean, under a heading of its own in the verb's help.
  package struct Glossary: Sendable {
    let heading: String
    let entries: [(name: String, summary: String)]
  }

  package let words: [String]
  package let arguments: [Argument]
  /// Made of the declarations when they are asked for: one command needs those of its own method alone.
  package var options: [Option] { makeOptions().map { $0.described(by: methods) } }
  let makeOptions: @Sendable () -> [Option]
  package let summary: String
  package let notes: String
  package let glossaries: [Glossary]
  /// The methods that it calls, the main one first.
  package let methods: [String]
  let run: @Sendable (Invocation) throws(ControlError) -> Void

  package var name: String { words.joined(separator: " ") }

  package var usage: String { usageParts.joined(separator: " ") }

  /// What stays on one line where the whole does not fit one: an option with its value.
  var usageParts: [String] {
    var parts = ["t2ctl", name]
    for argument in arguments {
      let shown = argument.repeats ? "\(argument.name)..." : argument.name
      parts.append(argument.isOptional ? "[\(shown)]" : shown)
    }
    for option in options { parts.append("[\(option.shown)]") }
    return parts
  }
}

extension Verb.Option {
  package var shown: String { value.map { "\(flag) \($0)" } ?? flag }

  /// Without a summary of its own it has that of the parameter's declaration.
  static func value(_ flag: String, _ value: String, _ parameter: String?, _ summary: String = "") -> Self {
    Self(flag: flag, value: value, summary: summary, parameter: parameter)
  }

  static func flag(_ flag: String, _ parameter: String?, _ summary: String = "", meaning: Bool = true) -> Self {
    Self(flag: flag, value: nil, summary: summary, parameter: parameter, meaning: meaning)
  }

  /// An option for each parameter of a method: whatever is added to the method is an option with its declaration.
  /// - Parameter others: parameters that the command takes as arguments.
  static func all(of method: any RPCMethodDeclaration.Type, but others: Set<String>) -> [Self] {
    method.parameterMembers.filter { !others.contains($0.name) }.map { Self($0) }
  }

  private init(_ parameter: MemberDefinition) {
    self.init(
      flag: parameter.option.flag ?? "--" + String(parameter.name.map { $0 == "_" ? "-" : $0 }),
      value: parameter.option.value ?? parameter.type.placeholder(of: parameter.name),
      summary: parameter.summaryWithDefault, parameter: parameter.name, meaning: !parameter.option.negates)
  }

  /// With the summary of the parameter's declaration, where it has none of its own.
  func described(by methods: [String]) -> Self {
    guard summary.isEmpty, let parameter else { return self }
    for method in methods {
      guard let known = RPCMethod.declaration(named: method)?.parameterMembers.first(where: { $0.name == parameter })
      else { continue }
      var option = self
      option.summary = known.summaryWithDefault
      return option
    }
    preconditionFailure("\(flag) has no summary, and none of \(methods) has a parameter '\(parameter)'")
  }
}

extension Verb.Argument {
  static func one(_ name: String, _ parameter: String? = nil) -> Self { Self(name: name, parameter: parameter) }
  static func optional(_ name: String, _ parameter: String? = nil, repeats: Bool = false) -> Self {
    Self(name: name, parameter: parameter, isOptional: true, repeats: repeats)
  }
  static func several(_ name: String) -> Self { Self(name: name, parameter: nil, repeats: true) }
}

/// The options that every verb takes.
package enum GlobalOption {
  package static let all: [Verb.Option] = [
    .value("--socket", "PATH", nil, "the daemon's socket"),
    .value("--prefix", "DIR", nil, "the daemon's prefix; its socket is DIR/var/run/t2d/t2d.sock"),
    .flag("--json", nil, "print the result object as it came, in one line"),
    .value(
      "--timeout", "SECONDS", nil,
      "how long to wait for an answer, or for a job; 30 unless the verb says otherwise, jobs without end"),
    .flag("--wait", nil, "wait for the job that the command starts (the default)"),
    .flag("--no-wait", nil, "print the job's number and end"),
    .value("--color", "WHEN", nil, "auto, always or never"),
    .flag("--help", nil, "show help and end"),
    .flag("--version", nil, "show the version and end"),
  ]
}

extension ValueType {
  /// What follows an option in the usage; nil for a flag alone.
  fileprivate func placeholder(of name: String) -> String? {
    let letter = String(name.prefix(1)).uppercased()
    switch self {
    case .boolean: return nil
    case .integer: return "N"
    case .list(.integer, _): return "N,..."
    case .number: return "X"
    case .list: return letter + ",..."
    case .tokens: return "ID,..."
    case .coefficients: return "E=A,..."
    case .string, .choice, .text, .messages, .custom, .record, .any: return letter
    }
  }
}
