package import Records
package import Results
package import Settings

/// Find the mixture of these experts that serves this task best.
package struct AdaptSpec: JobSpec {
  package typealias Result = AdaptResult
  package static let kind = Mixture.kind

  @Setting() package var model: ModelReference
  @Setting() package var task: TaskReference
  @Setting() package var experts: [ExpertReference]
  /// How many experts are not listed, in the catalogue alone: `experts` is empty then, until the job starts.
  @Setting() package var expertsLeftOut: Int?
  @Setting package var search = SearchSettings()
  /// Where the mixed multipliers are written (a path in the daemon's staging directory; it hashes and publishes).
  @Setting() package var vectorsPath: String
  /// Whether the eval file, if there is one, is scored after the search.
  @Setting package var evaluates = true

  package init() {}

  package init(
    model: ModelReference, task: TaskReference, experts: [ExpertReference], search: SearchSettings, vectorsPath: String,
    evaluates: Bool = true
  ) {
    self.model = model
    self.task = task
    self.experts = experts
    self.search = search
    self.vectorsPath = vectorsPath
    self.evaluates = evaluates
  }
}
