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
    package let summary: String
    /// The parameter that it fills, by the type that the table of methods gives it; nil where the verb handles it.
    package var parameter: String?
    /// What a flag alone means: `--no-chat` is false.
    package var meaning = true
    /// Whether it lists the files of a directory in completions.
    package var isPath: Bool { value == "FILE" || value == "PATH" || value == "DIR" }
  }

  package let words: [String]
  package let arguments: [Argument]
  package let options: [Option]
  package let summary: String
  package let notes: String
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

  static func value(_ flag: String, _ value: String, _ parameter: String?, _ summary: String) -> Self {
    Self(flag: flag, value: value, summary: summary, parameter: parameter)
  }

  static func flag(_ flag: String, _ parameter: String?, _ summary: String, meaning: Bool = true) -> Self {
    Self(flag: flag, value: nil, summary: summary, parameter: parameter, meaning: meaning)
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
