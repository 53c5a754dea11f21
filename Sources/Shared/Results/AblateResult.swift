package import Records
package import Settings

/// What each expert adds to a mixture: the same rows under the mixture, the base, and the mixture without each of its
/// experts.
package struct AblateResult: JobResult {
  package static let kind = JobKind("ablate")

  package struct Column: Codable, Sendable, Equatable {
    /// `mixture`, `base`, or the expert that is left out, with its version.
    package var name: String
    package var correct: Int
    /// By the task's metric.
    package var score: Double
    package var ci95: Interval
    /// Wins are the rows that are right here and wrong under the mixture; nil of the mixture itself.
    @NullWhenAbsent package var versusMixture: EvalSummary.Paired?

    package init(name: String, correct: Int, score: Double, ci95: Interval, versusMixture: EvalSummary.Paired?) {
      self.name = name
      self.correct = correct
      self.score = score
      self.ci95 = ci95
      self.versusMixture = versusMixture
    }
  }

  package var count: Int
  package var task: String
  package var metric: String
  package var template: String
  package var split: RowSplit
  package var mixture: Column
  package var base: Column
  /// A column for each expert, in the order of the mixture.
  package var without: [Column]
  package var notes: [String]
  package var kernel: String
  package var seconds: Double

  package init(
    count: Int, task: String, metric: String, template: String, split: RowSplit, mixture: Column, base: Column,
    without: [Column], notes: [String], kernel: String, seconds: Double
  ) {
    self.count = count
    self.task = task
    self.metric = metric
    self.template = template
    self.split = split
    self.mixture = mixture
    self.base = base
    self.without = without
    self.notes = notes
    self.kernel = kernel
    self.seconds = seconds
  }

  private enum CodingKeys: String, CodingKey {
    case count = "n"
    case task, metric, template, split, mixture, base, without, notes, kernel, seconds
  }
}
