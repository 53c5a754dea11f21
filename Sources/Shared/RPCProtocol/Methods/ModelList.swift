package import Records
package import Settings

package enum ModelList: RPCMethodDeclaration {
  package static let name = "model.list"
  package static let access = RPCMethod.Access.read
  package static let verb = "model list"
  package static let summary = "The registered models."

  package struct Parameters: Record {
    @Included package var page = PageParameters()
    package init() {}
  }

  package struct Result: PagedResult, Equatable {
    package var models: [ModelRow]
    package var next: String?

    package init(models: [ModelRow], next: String? = nil) {
      (self.models, self.next) = (models, next)
    }

    package mutating func append(_ page: Self) {
      models += page.models
      next = page.next
    }

    package var rowCount: Int { models.count }
  }
}

/// A registered model; what is null is known when it is ready.
package struct ModelRow: Codable, Sendable, Equatable {
  package var name: String
  /// `inspecting`, `ready` or `failed`.
  package var state: String
  @NullWhenAbsent package var architecture: String?
  @NullWhenAbsent package var parameters: Int64?
  @NullWhenAbsent package var layers: Int?
  @NullWhenAbsent package var context: Int?
  @NullWhenAbsent package var quantization: String?
  @NullWhenAbsent package var digest: String?
  /// Of its file or directory, or the addresses of the engine's replicas.
  package var path: String
  /// What computes it; nil: the worker.
  package var engine: EngineKind?
  /// Of which its matrices are factored, as they were given; nil: all.
  package var modules: [String]?
  /// Active ones.
  package var experts: Int
  package var problem: String?
  /// What was resolved when its files were read, and may have been meant in another way.
  package var warnings: [String]?

  package init(
    name: String, state: String, architecture: String? = nil, parameters: Int64? = nil, layers: Int? = nil,
    context: Int? = nil, quantization: String? = nil, digest: String? = nil, path: String, engine: EngineKind? = nil,
    modules: [String]? = nil, experts: Int, problem: String? = nil, warnings: [String]? = nil
  ) {
    (self.name, self.state, self.path, self.experts, self.problem) = (name, state, path, experts, problem)
    self.architecture = architecture
    self.parameters = parameters
    self.layers = layers
    self.context = context
    self.quantization = quantization
    self.digest = digest
    self.engine = engine
    self.modules = modules
    self.warnings = warnings
  }
}
