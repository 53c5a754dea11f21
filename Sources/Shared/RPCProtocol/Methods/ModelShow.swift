package import Records
package import Results

package enum ModelShow: RPCMethodDeclaration {
  package static let name = "model.show"
  package static let access = RPCMethod.Access.read
  package static let verb = "model show"
  package static let summary = "One model with all that is known of it."
  package static let resultNotes =
    "matrices where asked for"

  package struct Parameters: Record {
    @Setting("the model's name") package var name: String
    @Setting("list the target matrices in the model's order") package var matrices = false
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    @Flattened package var row: ModelRow
    /// A model's that has been read.
    @FlattenedIfPresent package var facts: Facts?
    package var added: String
    package var addedBy: String
    /// Of a model that engines compute, once the worker has asked them.
    package var replicas: [EngineReplica]?
    /// Where asked for, of a model that is ready.
    package var matrices: [Matrix]?

    package init(
      row: ModelRow, facts: Facts? = nil, added: String, addedBy: String, replicas: [EngineReplica]? = nil,
      matrices: [Matrix]? = nil
    ) {
      (self.added, self.addedBy, self.replicas, self.matrices) = (added, addedBy, replicas, matrices)
      self.row = row
      self.facts = facts
    }
  }

  package struct Facts: Codable, Sendable, Equatable {
    package var modelID: String
    package var hidden: Int
    package var vocabulary: Int
    package var hasTokenizer: Bool
    @NullWhenAbsent package var chatTemplate: String?
    package var chatTemplateProblem: String?
    package var targetMatrices: Int
    /// Those of them that experts can change.
    package var factoredMatrices: Int
    package var factorization: Factorization
    /// What computes it: name, version, number type, ranks; nil: the worker.
    package var computedBy: String?

    private enum CodingKeys: String, CodingKey {
      case modelID, hidden, vocabulary
      case hasTokenizer = "tokenizer"
      case chatTemplate, chatTemplateProblem, targetMatrices, factoredMatrices, factorization, computedBy
    }

    package init(
      modelID: String, hidden: Int, vocabulary: Int, hasTokenizer: Bool, chatTemplate: String? = nil,
      chatTemplateProblem: String? = nil, targetMatrices: Int, factoredMatrices: Int, factorization: Factorization,
      computedBy: String? = nil
    ) {
      (
        self.modelID, self.hidden, self.vocabulary, self.hasTokenizer, self.chatTemplateProblem, self.targetMatrices,
        self.factorization
      ) = (modelID, hidden, vocabulary, hasTokenizer, chatTemplateProblem, targetMatrices, factorization)
      self.factoredMatrices = factoredMatrices
      self.chatTemplate = chatTemplate
      self.computedBy = computedBy
    }
  }

  package struct Factorization: Codable, Sendable, Equatable {
    package var seconds: Double

    package init(seconds: Double) {
      self.seconds = seconds
    }
  }

  package struct Matrix: Codable, Sendable, Equatable {
    package var name: String
    package var rows: Int
    package var columns: Int
    @NullWhenAbsent package var layer: Int?
    /// False where it is not; nil where it is.
    package var factored: Bool?

    package init(name: String, rows: Int, columns: Int, layer: Int? = nil, factored: Bool? = nil) {
      (self.name, self.rows, self.columns) = (name, rows, columns)
      self.layer = layer
      self.factored = factored
    }
  }
}
