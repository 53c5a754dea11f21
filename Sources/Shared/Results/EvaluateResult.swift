package import Records
package import Settings
package import StrictJSON

/// The shares of right rows by the metrics of a task's scoring.
package struct MetricScores: Codable, Sendable, Equatable {
  package var acc: Double?
  package var accNorm: Double?
  package var exactMatch: Double?
  /// Of each extraction rule by itself.
  package var exactMatchByRule: ByName<Double>?
  package var passAt1: Double?
  /// How many programs ended in each way that occurred, in the order of their first.
  package var outcomes: ByName<Int>?

  private enum CodingKeys: String, CodingKey {
    case acc, accNorm, exactMatch, exactMatchByRule
    case passAt1 = "pass@1"
    case outcomes
  }

  package init() {}
}

/// How the first pass sorted rows, where it did.
package struct RowSorting: Codable, Sendable, Equatable {
  /// How many rows got a label.
  package struct Label: Codable, Sendable, Equatable {
    package var label: String
    /// `science@2`; nil for the base.
    @NullWhenAbsent package var expert: String?
    package var count: Int
    package var share: Double

    package init(label: String, expert: String?, count: Int, share: Double) {
      self.label = label
      self.expert = expert
      self.count = count
      self.share = share
    }

    private enum CodingKeys: String, CodingKey {
      case label, expert
      case count = "n"
      case share
    }
  }

  package var labels: [Label]?
  package var read: DecisionReading?
  package var dispatchTemplate: String?

  package init(labels: [Label]? = nil, read: DecisionReading? = nil, dispatchTemplate: String? = nil) {
    self.labels = labels
    self.read = read
    self.dispatchTemplate = dispatchTemplate
  }
}

/// The scores of some weights on the rows of a task, row by row.
package struct EvaluateResult: Codable, Sendable, Equatable {
  package var count: Int
  @Flattened package var scores: MetricScores
  /// Of the task's metric.
  package var ci95: Interval
  package var task: String
  package var metric: String
  package var scoring: Scoring
  package var template: String
  /// A row each, in the form of the task's scoring: with what was extracted, so that a score can be checked by eye.
  package var items: [JSONObject]
  @Flattened package var sorting: RowSorting
  package var split: RowSplit
  /// Of rows of code: what holds their programs.
  package var protections: [String]?
  package var kernel: String
  package var seconds: Double

  package init(
    count: Int, scores: MetricScores, ci95: Interval, task: String, metric: String, scoring: Scoring, template: String,
    items: [JSONObject], sorting: RowSorting = RowSorting(), split: RowSplit, protections: [String]? = nil,
    kernel: String,
    seconds: Double
  ) {
    self.count = count
    self.scores = scores
    self.ci95 = ci95
    self.task = task
    self.metric = metric
    self.scoring = scoring
    self.template = template
    self.items = items
    self.sorting = sorting
    self.split = split
    self.protections = protections
    self.kernel = kernel
    self.seconds = seconds
  }

  private enum CodingKeys: String, CodingKey {
    case count = "n"
    case scores, ci95, task, metric, scoring, template, items, sorting, split, protections, kernel, seconds
  }
}
