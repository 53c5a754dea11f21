package import Records
package import Settings
package import StrictJSON

/// What a check found: the verdict by the task's metric, the numbers behind it, and every item.
package struct CheckResult: Codable, Sendable, Equatable {
  /// An expert's items less those of what it is compared with.
  package struct Comparison: Codable, Sendable, Equatable {
    package var effect: Double
    package var ci95: Interval
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
      ci95 = Interval(low, high)
      self.mcNemar = mcNemar
      self.signFlip = signFlip
      self.won = won
      self.lost = lost
    }

    /// What decides: both tests must agree.
    package var pValue: Double { max(mcNemar, signFlip ?? 0) }

    private enum CodingKeys: String, CodingKey {
      case mcNemar = "p_mcnemar"
      case signFlip = "p_sign_flip"
      case effect, ci95, won, lost
    }
    private enum Decisive: String, CodingKey { case pValue = "p" }

    package func encode(to encoder: any Encoder) throws {
      var decisive = encoder.container(keyedBy: Decisive.self)
      try decisive.encode(pValue, forKey: .pValue)
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encode(mcNemar, forKey: .mcNemar)
      try container.encodeIfPresent(signFlip, forKey: .signFlip)
      try container.encode(effect, forKey: .effect)
      try container.encode(ci95, forKey: .ci95)
      try container.encode(won, forKey: .won)
      try container.encode(lost, forKey: .lost)
    }
  }

  /// By one metric.
  package struct Outcome: Codable, Sendable, Equatable {
    package var metric: String
    package var verdict: CheckVerdict
    package var versusShuffles: Comparison
    package var versusBase: Comparison
    package var scores: Scores

    /// Shares of right items.
    package struct Scores: Codable, Sendable, Equatable {
      package var base: Double
      package var expert: Double
      package var shuffles: [Double]
    }

    package var base: Double { scores.base }
    package var expert: Double { scores.expert }
    package var shuffles: [Double] { scores.shuffles }

    package init(
      metric: String, verdict: CheckVerdict, versusShuffles: Comparison, versusBase: Comparison, base: Double,
      expert: Double, shuffles: [Double]
    ) {
      self.metric = metric
      self.verdict = verdict
      self.versusShuffles = versusShuffles
      self.versusBase = versusBase
      scores = Scores(base: base, expert: expert, shuffles: shuffles)
    }
  }

  /// One set of weights, item by item: a `1` for each that is right, by each metric in the order of `outcomes`.
  package struct Items: Codable, Sendable, Equatable {
    /// `base`, `expert` or `shuffle 3`.
    package var name: String
    package var right: [String]

    private enum CodingKeys: String, CodingKey {
      case name = "of"
      case right
    }

    package init(name: String, right: [String]) {
      self.name = name
      self.right = right
    }
  }

  package var kind: CheckKind
  /// The task's own metric first: it decides.
  @NotEmpty package var outcomes: [Outcome]
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
    var members = RecordWriter.object(self)
    members[CodingKeys.rowIDs.rawValue] = nil
    members[CodingKeys.items.rawValue] = nil
    return members
  }

  private enum CodingKeys: String, CodingKey {
    case kind = "check"
    case passes
    case count = "n"
    case split, seed, template, kernel, seconds
    case outcomes = "by_metric"
    case rowIDs = "row_ids"
    case items
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(kind, forKey: .kind)
    // What is found by the task's own metric is what is found.
    try outcomes.first?.encode(to: encoder)
    try container.encode(passes, forKey: .passes)
    try container.encode(count, forKey: .count)
    try container.encode(split, forKey: .split)
    try container.encode(seed, forKey: .seed)
    try container.encode(template, forKey: .template)
    try container.encode(kernel, forKey: .kernel)
    try container.encode(seconds, forKey: .seconds)
    try container.encode(outcomes, forKey: .outcomes)
    try container.encode(rowIDs, forKey: .rowIDs)
    try container.encode(items, forKey: .items)
  }
}
