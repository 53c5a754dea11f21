import Search

extension Verb {
  /// The commands under the headings of the help and of t2ctl(1).
  package static let groups: [(heading: String, verbs: [Verb])] = [
    ("The daemon", systemVerbs), ("Models", modelVerbs), ("Experts", expertVerbs), ("Tasks", taskVerbs),
    ("Mixtures", mixtureVerbs), ("Removals", removalVerbs), ("Checks", checkVerbs), ("Training", trainVerbs),
    ("Dispatch", dispatchVerbs),
    ("Asking the model", inferenceVerbs + evaluationVerbs), ("Jobs", jobVerbs), ("Reports", reportVerbs),
    ("Other", plainVerbs),
  ]

  package static let all: [Verb] = groups.flatMap(\.verbs)

  /// The longest that the words begin with: `dispatch evaluate`, and not `dispatch` of the prompt "evaluate".
  static func named(_ words: [String]) -> Verb? {
    all.filter { words.starts(with: $0.words) }.max { $0.words.count < $1.words.count }
  }

  static func make(
    _ words: String, _ arguments: [Argument] = [], _ options: @autoclosure @escaping @Sendable () -> [Option] = [],
    methods: [String], _ summary: String, notes: String = "", glossaries: [Glossary] = [],
    run: @escaping @Sendable (Invocation) throws(ControlError) -> Void
  ) -> Verb {
    Verb(
      words: words.split(separator: " ").map(String.init), arguments: arguments, makeOptions: options,
      summary: summary, notes: notes, glossaries: glossaries, methods: methods, run: run)
  }

  /// The methods that --search knows.
  static let searchMethods = Glossary(
    heading: "Search methods",
    entries: SearchMethods.all.map { method in
      (method.name.rawValue, method.summary + (method.needsGradients ? " (rows with choices only)" : ""))
    } + [(SearchMethodName.all.rawValue, "each of them at about one cost; what does best on held-out shots is kept")])

  /// A file that is written, or a directory of them.
  static func output(_ summary: String) -> Option {
    var option = Option.value("--output", "FILE", nil, summary + "; also -o")
    option.letter = "-o"
    return option
  }

  /// Of a list: all of it without this.
  static let limit = Option.value("--limit", "N", "limit", "the first N rows; without it all")

  /// Of a list that begins with the newest, and may be long.
  static let newest = Option.value("--limit", "N", "limit", "the newest N rows; default \(newestRows)")
  static let newestRows = 100

  static let model = Option.value("--model", "M", "model", "the model, where there are several")
  /// Which weights a text sees.
  static let weights: [Option] = [
    model,
    .value("--expert", "E", "expert", "one expert: NAME or NAME@VERSION"),
    .value("--alpha", "E=A,...", "alpha", "your own mixture: science=0.7,social=0.3"),
    .value("--mix", "RULE", "mix", "how --alpha mixes: sum or delta"),
  ]
}
