package import Records

package enum SystemSync: RPCMethodDeclaration {
  package static let name = "system.sync"
  package static let access = RPCMethod.Access.read
  package static let verb = "sync"
  package static let summary =
    "Answers once everything that lay in the watched directories before the call has been seen and decided upon."

  package struct Parameters: Record {
    @Setting("how long to wait, in milliseconds", 0...600_000, name: "timeout_ms") package var timeout = 30_000
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package var generation: Int64
    package var experts: Int
    package var tasks: Int
    package var rejected: [IngestRow]
    /// How many more were refused; expert.list and task.list have them all.
    package var rejectedLeftOut: Int?

    package init(
      generation: Int64, experts: Int, tasks: Int, rejected: [IngestRow], rejectedLeftOut: Int? = nil
    ) {
      self.rejectedLeftOut = rejectedLeftOut
      (self.generation, self.experts, self.tasks, self.rejected) = (generation, experts, tasks, rejected)
    }
  }
}

/// A dropped file, and what became of it.
package struct IngestRow: Codable, Sendable, Equatable {
  package var path: String
  /// `accepted`, `duplicate`, `incomplete`, `rejected`, `ignored` or `waiting_for_model`.
  package var state: String
  @NullWhenAbsent package var kind: String?
  @NullWhenAbsent package var message: String?
  package var time: String
  /// Of what it became.
  package var name: String?
  package var version: Int?
  package var warnings: [String]?

  package init(
    path: String, state: String, kind: String? = nil, message: String? = nil, time: String, name: String? = nil,
    version: Int? = nil, warnings: [String]? = nil
  ) {
    (self.path, self.state, self.time, self.name, self.version, self.warnings) = (
      path, state, time, name, version, warnings
    )
    self.kind = kind
    self.message = message
  }
}
