package import Records
package import Settings

/// The same rows under several strategies side by side.
package struct CompareResult: Codable, Sendable, Equatable {
  package struct Column: Codable, Sendable, Equatable {
    /// `base`, an expert with its version, or the strategy.
    package var name: String
    package var strategy: DispatchStrategy
    package var count: Int
    package var correct: Int
    /// By the task's metric.
    package var score: Double
    @Flattened package var scores: MetricScores
    package var ci95: Interval
    @NullWhenAbsent package var versusBase: EvalSummary.Paired?
    @NullWhenAbsent package var versusBestExpert: EvalSummary.Paired?
    @Flattened package var sorting: RowSorting
    package var seconds: Double

    package init(
      name: String, strategy: DispatchStrategy, count: Int, correct: Int, score: Double, scores: MetricScores,
      ci95: Interval, versusBase: EvalSummary.Paired?, versusBestExpert: EvalSummary.Paired?, sorting: RowSorting,
      seconds: Double
    ) {
      self.name = name
      self.strategy = strategy
      self.count = count
      self.correct = correct
      self.score = score
      self.scores = scores
      self.ci95 = ci95
      self.versusBase = versusBase
      self.versusBestExpert = versusBestExpert
      self.sorting = sorting
      self.seconds = seconds
    }

    private enum CodingKeys: String, CodingKey {
      case name = "column"
      case strategy
      case count = "n"
      case correct, score, scores, ci95, versusBase, versusBestExpert, sorting, seconds
    }
  }

  /// A column that there is not, and why.
  package struct Skipped: Codable, Sendable, Equatable {
    package var name: String
    package var reason: String

    package init(name: String, reason: String) {
      self.name = name
      self.reason = reason
    }

    private enum CodingKeys: String, CodingKey {
      case name = "column"
      case reason
    }
  }

  /// What every column made of one row.
  package struct Item: Codable, Sendable, Equatable {
    package struct Cell: Codable, Sendable, Equatable {
      package var isRight: Bool
      package var answer: String
      /// That the first pass gave to the row, where it did.
      package var label: String?
      package var labelProbability: Double?

      package init(isRight: Bool, answer: String, label: String?, labelProbability: Double?) {
        self.isRight = isRight
        self.answer = answer
        self.label = label
        self.labelProbability = labelProbability
      }

      private enum CodingKeys: String, CodingKey {
        case isRight = "right"
        case answer, label, labelProbability
      }
    }

    package var id: String
    package var line: Int
    package var question: String
    package var gold: String
    package var columns: ByName<Cell>

    package init(id: String, line: Int, question: String, gold: String, columns: ByName<Cell>) {
      self.id = id
      self.line = line
      self.question = question
      self.gold = gold
      self.columns = columns
    }
  }

  package var count: Int
  package var task: String
  package var metric: String
  package var scoring: Scoring
  package var template: String
  package var split: RowSplit
  /// On these very rows, which flatters it.
  @NullWhenAbsent package var bestExpert: String?
  package var columns: [Column]
  package var skipped: [Skipped]
  package var notes: [String]
  package var items: [Item]
  package var kernel: String
  package var seconds: Double

  package init(
    count: Int, task: String, metric: String, scoring: Scoring, template: String, split: RowSplit, bestExpert: String?,
    columns: [Column], skipped: [Skipped], notes: [String], items: [Item], kernel: String, seconds: Double
  ) {
    self.count = count
    self.task = task
    self.metric = metric
    self.scoring = scoring
    self.template = template
    self.split = split
    self.bestExpert = bestExpert
    self.columns = columns
    self.skipped = skipped
    self.notes = notes
    self.items = items
    self.kernel = kernel
    self.seconds = seconds
  }

  private enum CodingKeys: String, CodingKey {
    case count = "n"
    case task, metric, scoring, template, split, bestExpert, columns, skipped, notes, items, kernel, seconds
  }
}
