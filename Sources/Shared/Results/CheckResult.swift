package import Records
package import Settings

/// What a check found: the verdict by the task's metric, and the numbers behind it. The catalogue keeps it and lists show
/// it; the items are in `CheckResult`.
package struct CheckSummary: Codable, Sendable, Equatable {
  package var kind: CheckKind
  /// By the task's own metric: what is found by it is what is found.
  @Flattened package var decisive: CheckResult.Outcome
  /// Whether the expert may be used on this model: ordered, and no harm to the base.
  package var passes: Bool
  package var count: Int
  /// `eval` or `fewshot`; the latter prove nothing.
  package var split: RowSplit
  package var seed: UInt64
  package var template: String
  package var kernel: String
  package var seconds: Double
  /// The task's own metric first.
  @NotEmpty package var outcomes: [CheckResult.Outcome]

  private enum CodingKeys: String, CodingKey {
    case kind = "check"
    case decisive, passes
    case count = "n"
    case split, seed, template, kernel, seconds
    case outcomes = "by_metric"
  }

  /// - Parameter outcomes: at least one.
  package init(
    kind: CheckKind, outcomes: [CheckResult.Outcome], passes: Bool, count: Int, split: RowSplit, seed: UInt64,
    template: String, kernel: String, seconds: Double
  ) {
    precondition(!outcomes.isEmpty, "a check without an outcome")
    self.kind = kind
    decisive = outcomes[0]
    self.passes = passes
    self.count = count
    self.split = split
    self.seed = seed
    self.template = template
    self.kernel = kernel
    self.seconds = seconds
    self.outcomes = outcomes
  }
}

/// The same with every item, the result of a check's job.
@dynamicMemberLookup
package struct CheckResult: Codable, Sendable, Equatable {
  @Flattened package var summary: CheckSummary
  package var rowIDs: [String]
  package var items: [Items]
  /// What the policy made of it, and its number in the catalogue: the daemon's.
  package var action: CheckAction?
  package var id: Int64?

  package init(summary: CheckSummary, rowIDs: [String], items: [Items]) {
    self.summary = summary
    self.rowIDs = rowIDs
    self.items = items
  }

  package subscript<Member>(dynamicMember path: WritableKeyPath<CheckSummary, Member>) -> Member {
    get { summary[keyPath: path] }
    set { summary[keyPath: path] = newValue }
  }

  /// An expert's items less those of what it is compared with.
  package struct Comparison: Codable, Sendable, Equatable {
    /// What decides: both tests must agree.
    package var p: Double
    /// Of McNemar's exact test; against several shuffles the median.
    package var mcNemar: Double
    /// Against several shuffles; nil against the base.
    package var signFlip: Double?
    package var effect: Double
    package var ci95: Interval
    /// Items that only the expert has right, and those that only the other has; against several shuffles one pair each.
    package var won: [Int]
    package var lost: [Int]

    package init(
      effect: Double, low: Double, high: Double, mcNemar: Double, signFlip: Double? = nil, won: [Int], lost: [Int]
    ) {
      p = max(mcNemar, signFlip ?? 0)
      self.mcNemar = mcNemar
      self.signFlip = signFlip
      self.effect = effect
      ci95 = Interval(low, high)
      self.won = won
      self.lost = lost
    }

    private enum CodingKeys: String, CodingKey {
      case p
      case mcNemar = "p_mcnemar"
      case signFlip = "p_sign_flip"
      case effect, ci95, won, lost
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
}
