package import Settings
package import StrictJSON

/// Compare an expert with shuffled copies of itself, and with the base, on the rows of a task.
package struct CheckSpec: Sendable, Equatable {
  package var kind: CheckKind
  package var model: ModelReference
  package var task: TaskReference
  package var expert: ExpertReference
  /// How many permutations; the k-th is drawn from `seed` + k.
  package var shuffles: Int
  package var seed: UInt64
  /// At most so many rows, the first ones; nil: all.
  package var rows: Int?

  package init(
    kind: CheckKind, model: ModelReference, task: TaskReference, expert: ExpertReference, shuffles: Int = 5,
    seed: UInt64 = 1, rows: Int? = nil
  ) {
    self.kind = kind
    self.model = model
    self.task = task
    self.expert = expert
    self.shuffles = shuffles
    self.seed = seed
    self.rows = rows
  }

  package var json: JSONValue {
    object([
      ("check", .string(kind.rawValue)), ("model", model.json), ("task", task.json), ("expert", expert.json),
      ("shuffles", .integer(Int64(shuffles))), ("seed", seedJSON(seed)), ("rows", rows.map { .integer(Int64($0)) }),
    ])
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "spec")
    self.init(
      kind: try fields.name("check"), model: try ModelReference(decoding: try fields.value("model")),
      task: try TaskReference(decoding: try fields.value("task")),
      expert: try ExpertReference(decoding: try fields.value("expert")), shuffles: try fields.integer("shuffles"),
      seed: try fields.seed("seed"), rows: try fields.optionalInteger("rows"))
  }
}

/// What a check found: the verdict by the task's metric, the numbers behind it, and every item.
package struct CheckResult: Sendable, Equatable {
  /// An expert's items less those of what it is compared with.
  package struct Comparison: Sendable, Equatable {
    package var effect: Double
    package var low: Double
    package var high: Double
    /// Of McNemar's exact test; against several shuffles the median.
    package var mcNemar: Double
    /// Against several shuffles; nil against the base.
    package var signFlip: Double?
    /// Items that only the expert has right, and those that only the other has; against several shuffles one pair each.
    package var won: [Int]
    package var lost: [Int]

    package init(
      effect: Double, low: Double, high: Double, mcNemar: Double, signFlip: Double? = nil, won: [Int], lost: [Int]
    ) {
      self.effect = effect
      self.low = low
      self.high = high
      self.mcNemar = mcNemar
      self.signFlip = signFlip
      self.won = won
      self.lost = lost
    }

    /// What decides: both tests must agree.
    package var pValue: Double { max(mcNemar, signFlip ?? 0) }

    package var json: JSONValue {
      object([
        ("p", .number(pValue)), ("p_mcnemar", .number(mcNemar)), ("p_sign_flip", signFlip.map { .number($0) }),
        ("effect", .number(effect)), ("ci95", .array([.number(low), .number(high)])),
        ("won", list(won) { .integer(Int64($0)) }), ("lost", list(lost) { .integer(Int64($0)) }),
      ])
    }

    init(_ fields: Fields) throws(WorkerProtocolError) {
      let interval = try fields.doubles("ci95")
      guard interval.count == 2 else { throw .wrongType(path: fields.path + ".ci95", expected: "two numbers") }
      var counts: [[Int]] = []
      for key in ["won", "lost"] {
        counts.append(
          try fields.each(key) { (value, path) throws(WorkerProtocolError) in try Fields.integer(value, path) })
      }
      self.init(
        effect: try fields.double("effect"), low: interval[0], high: interval[1],
        mcNemar: try fields.double("p_mcnemar"), signFlip: try fields.optionalDouble("p_sign_flip"), won: counts[0],
        lost: counts[1])
    }
  }

  /// By one metric.
  package struct Outcome: Sendable, Equatable {
    package var metric: String
    package var verdict: CheckVerdict
    package var versusShuffles: Comparison
    package var versusBase: Comparison
    /// Shares of right items.
    package var base: Double
    package var expert: Double
    package var shuffles: [Double]

    package init(
      metric: String, verdict: CheckVerdict, versusShuffles: Comparison, versusBase: Comparison, base: Double,
      expert: Double, shuffles: [Double]
    ) {
      self.metric = metric
      self.verdict = verdict
      self.versusShuffles = versusShuffles
      self.versusBase = versusBase
      self.base = base
      self.expert = expert
      self.shuffles = shuffles
    }

    package var json: JSONValue {
      object([
        ("metric", .string(metric)), ("verdict", .string(verdict.rawValue)),
        ("versus_shuffles", versusShuffles.json), ("versus_base", versusBase.json),
        (
          "scores",
          object([
            ("base", .number(base)), ("expert", .number(expert)), ("shuffles", list(shuffles) { .number($0) }),
          ])
        ),
      ])
    }

    init(decoding value: JSONValue, _ path: String) throws(WorkerProtocolError) {
      let fields = try Fields(value, path)
      let scores = try fields.fields("scores")
      self.init(
        metric: try fields.string("metric"), verdict: try fields.name("verdict"),
        versusShuffles: try Comparison(try fields.fields("versus_shuffles")),
        versusBase: try Comparison(try fields.fields("versus_base")), base: try scores.double("base"),
        expert: try scores.double("expert"), shuffles: try scores.doubles("shuffles"))
    }
  }

  /// One set of weights, item by item: a `1` for each that is right, by each metric in the order of `outcomes`.
  package struct Items: Sendable, Equatable {
    /// `base`, `expert` or `shuffle 3`.
    package var name: String
    package var right: [String]

    package init(name: String, right: [String]) {
      self.name = name
      self.right = right
    }
  }

  package var kind: CheckKind
  /// The task's own metric first: it decides.
  package var outcomes: [Outcome]
  /// Whether the expert may be used on this model: ordered, and no harm to the base.
  package var passes: Bool
  package var count: Int
  /// `eval` or `fewshot`; the latter prove nothing.
  package var split: String
  package var seed: UInt64
  package var template: String
  package var kernel: String
  package var seconds: Double
  package var rowIDs: [String]
  package var items: [Items]

  package init(
    kind: CheckKind, outcomes: [Outcome], passes: Bool, count: Int, split: String, seed: UInt64, template: String,
    kernel: String, seconds: Double, rowIDs: [String], items: [Items]
  ) {
    self.kind = kind
    self.outcomes = outcomes
    self.passes = passes
    self.count = count
    self.split = split
    self.seed = seed
    self.template = template
    self.kernel = kernel
    self.seconds = seconds
    self.rowIDs = rowIDs
    self.items = items
  }

  /// What a catalogue keeps and a list shows: all but the items.
  package var summary: JSONObject {
    var members: JSONObject = ["check": .string(kind.rawValue)]
    if let first = outcomes.first {
      for (key, value) in first.json.objectValue?.members ?? [] { members[key] = value }
    }
    members["passes"] = .bool(passes)
    members["n"] = .integer(Int64(count))
    members["split"] = .string(split)
    members["seed"] = seedJSON(seed)
    members["template"] = .string(template)
    members["kernel"] = .string(kernel)
    members["seconds"] = .number(seconds)
    members["by_metric"] = list(outcomes, \.json)
    return members
  }

  package var json: JSONValue {
    var members = summary
    members["row_ids"] = list(rowIDs) { .string($0) }
    members["items"] = list(items) {
      object([("of", .string($0.name)), ("right", list($0.right) { .string($0) })])
    }
    return .object(members)
  }

  package init(decoding value: JSONValue) throws(WorkerProtocolError) {
    let fields = try Fields(value, "result")
    self.init(
      kind: try fields.name("check"),
      outcomes: try fields.each("by_metric") { (value, path) throws(WorkerProtocolError) in
        try Outcome(decoding: value, path)
      },
      passes: try fields.bool("passes"), count: try fields.integer("n"), split: try fields.string("split"),
      seed: try fields.seed("seed"), template: try fields.string("template"), kernel: try fields.string("kernel"),
      seconds: try fields.double("seconds"), rowIDs: try fields.strings("row_ids"),
      items: try fields.each("items") { (value, path) throws(WorkerProtocolError) in
        let one = try Fields(value, path)
        return Items(name: try one.string("of"), right: try one.strings("right"))
      })
    guard !outcomes.isEmpty else { throw .wrongType(path: "result.by_metric", expected: "at least one metric") }
  }
}
