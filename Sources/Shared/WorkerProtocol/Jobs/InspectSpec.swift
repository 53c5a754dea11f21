package import Records
package import Results
package import Settings

/// Open a model and describe it; its factorization is there afterwards.
package struct InspectSpec: JobSpec {
  package typealias Result = ModelFacts
  package static let kind = JobKind("inspect")

  /// As `ModelReference` has them; what its digest is the job finds out.
  @Setting() package var path: String
  @Setting() package var engine: EngineKind?
  @Setting() package var cacheDirectory: String
  @Setting() package var modules: [String]?

  package init() {}

  package init(path: String, engine: EngineKind? = nil, cacheDirectory: String, modules: [String] = []) {
    self.path = path
    self.engine = engine
    self.cacheDirectory = cacheDirectory
    self.modules = modules.isEmpty ? nil : modules
  }

  package var reference: ModelReference {
    ModelReference(path: path, engine: engine, digest: "", cacheDirectory: cacheDirectory, modules: modules ?? [])
  }
}
