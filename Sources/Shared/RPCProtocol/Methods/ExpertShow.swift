package import Records

package enum ExpertShow: RPCMethodDeclaration {
  package static let name = "expert.show"
  package static let access = RPCMethod.Access.read
  package static let verb = "expert show"
  package static let summary = "One version of an expert; the active one, else the newest, unless named."

  package struct Parameters: Record {
    @Setting(expertSummary) package var expert: String
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    @Flattened package var row: ExpertRow
    package var versions: [Int]
    @Flattened package var details: Details
    package var base: Base
    package var metadata: Metadata
    package var checks: [CheckRow]
    package var uncheckedBecause: String?
    package var source: String
    package var addedBy: String

    package init(
      row: ExpertRow, versions: [Int], details: Details, base: Base, metadata: Metadata, checks: [CheckRow],
      uncheckedBecause: String? = nil, source: String, addedBy: String
    ) {
      (self.versions, self.base, self.metadata, self.checks, self.uncheckedBecause, self.source, self.addedBy) = (
        versions, base, metadata, checks, uncheckedBecause, source, addedBy
      )
      self.row = row
      self.details = details
    }
  }

  /// What its file says of its numbers.
  package struct Details: Codable, Sendable, Equatable {
    package var paramSpace: String?
    package var maxMult: Double?
    package var rescale: String?
    package var matrices: Int?
    package var parameters: Int?
  }

  /// The base that it was made for, as its file says.
  package struct Base: Codable, Sendable, Equatable {
    @NullWhenAbsent package var modelID: String?
    @NullWhenAbsent package var digest: String?
    @NullWhenAbsent package var arch: String?
    /// `same`, `foreign` or `unstated`.
    @NullWhenAbsent package var match: String?

    package init(modelID: String? = nil, digest: String? = nil, arch: String? = nil, match: String? = nil) {
      self.modelID = modelID
      self.digest = digest
      self.arch = arch
      self.match = match
    }
  }

  /// Texts of its file.
  package struct Metadata: Codable, Sendable, Equatable {
    package var description: String?
    package var license: String?
    package var created: String?
    package var metrics: String?
    package var trainedWith: String?
    package var parents: String?
  }
}
