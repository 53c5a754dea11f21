package import Records
package import Results

/// Open a model and describe it; its factorization is there afterwards.
package struct InspectSpec: JobSpec {
  package typealias Result = ModelFacts
  package static let kind = JobKind("inspect")

  /// As `ModelReference` has them; what its digest is the job finds out.
  @Setting() package var path: String
  @Setting() package var cacheDirectory: String

  package init() {}

  package init(path: String, cacheDirectory: String) {
    self.path = path
    self.cacheDirectory = cacheDirectory
  }
}
