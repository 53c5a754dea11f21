package import Records
package import Results

package enum MixtureGet: RPCMethodDeclaration {
  package static let name = "mixture.get"
  package static let access = RPCMethod.Access.read
  package static let verb = "mixture get"
  package static let summary = "The best mixture of a task, from memory."
  package static let resultNotes =
    "a coefficient is a number, or a list of them in the order of units; inputs_digest is of all that the mixture "
    + "depends on; no_signal is true where the shots tell no expert and no mixture from the base, which is served then, "
    + "and else not there; history and eval_items are left to job.show; not_modified comes with generation alone, and else not "
    + "at all"

  package struct Parameters: Record {
    @Setting("the task's name") package var task: String
    @Setting(modelSummary) package var model: String?
    @Setting("answer not_modified where this is still the generation", 0...Int64.max) package var ifGeneration: Int64?
    @Setting("send the open vectors file along (SCM_RIGHTS)") package var passFD = false
    package init() {}
  }

  package enum Result: Codable, Sendable, Equatable {
    case served(Served)
    case notModified(generation: Int64)

    private enum CodingKeys: String, CodingKey { case notModified, generation }

    package init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: CodingKeys.self)
      if try container.decodeIfPresent(Bool.self, forKey: .notModified) == true {
        self = .notModified(generation: try container.decode(Int64.self, forKey: .generation))
      } else {
        self = .served(try Served(from: decoder))
      }
    }

    package func encode(to encoder: any Encoder) throws {
      switch self {
      case .served(let served): try served.encode(to: encoder)
      case .notModified(let generation):
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(true, forKey: .notModified)
        try container.encode(generation, forKey: .generation)
      }
    }
  }

  package struct Served: Codable, Sendable, Equatable {
    package var task: String
    package var model: String
    @Flattened package var mixture: Mixture
    package var stale: Bool
    package var staleReason: String?
    /// Changes whenever the answer changes.
    package var generation: Int64
    package var created: String
    /// The file of the mixed multipliers.
    package var vectors: Vectors

    package init(
      task: String, model: String, mixture: Mixture, staleReason: String?, generation: Int64, created: String,
      vectors: Vectors
    ) {
      self.task = task
      self.model = model
      self.mixture = mixture
      stale = staleReason != nil
      self.staleReason = staleReason
      self.generation = generation
      self.created = created
      self.vectors = vectors
    }
  }

  package struct Vectors: Codable, Sendable, Equatable {
    package var path: String
    package var digest: String
    package var bytes: Int

    package init(path: String, digest: String, bytes: Int) {
      self.path = path
      self.digest = digest
      self.bytes = bytes
    }
  }
}
