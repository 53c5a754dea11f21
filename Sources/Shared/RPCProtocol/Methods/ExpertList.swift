package import Records

package enum ExpertList: RPCMethodDeclaration {
  package static let name = "expert.list"
  package static let access = RPCMethod.Access.read
  package static let verb = "expert list"
  package static let summary = "The experts, each with its newest and its active version."
  package static let resultNotes =
    "quarantine, foreign and damaged only where it is so"

  package struct Parameters: Record {
    @Setting("only those of this model") package var model: String?
    @Setting("every version, retired ones too") package var all = false
    @Included package var page = PageParameters()
    package init() {}
  }

  package struct Result: PagedResult, Equatable {
    package var experts: [ExpertRow]
    package var rejected: [IngestRow]
    package var next: String?

    package init(experts: [ExpertRow], rejected: [IngestRow], next: String? = nil) {
      (self.experts, self.rejected, self.next) = (experts, rejected, next)
    }

    package mutating func append(_ page: Self) {
      experts += page.experts
      rejected += page.rejected
      next = page.next
    }

    package var rowCount: Int { experts.count + rejected.count }
  }
}

/// One version of an expert.
package struct ExpertRow: Codable, Sendable, Equatable {
  package var name: String
  @NullWhenAbsent package var label: String?
  package var version: Int
  /// The version that the name stands for.
  @NullWhenAbsent package var active: Int?
  /// `candidate`, `active`, `superseded`, `retired` or `quarantined`.
  package var state: String
  package var model: String
  package var kind: String
  @NullWhenAbsent package var task: String?
  package var digest: String
  package var bytes: Int
  package var added: String
  package var warnings: [String]
  /// Made for another base.
  package var foreign: Bool?
  package var quarantine: Quarantine?
  /// How what is stored of it differs from what was stored: it is not used.
  package var damaged: String?

  package init(
    name: String, label: String? = nil, version: Int, active: Int? = nil, state: String, model: String, kind: String,
    task: String? = nil, digest: String, bytes: Int, added: String, warnings: [String], foreign: Bool? = nil,
    quarantine: Quarantine? = nil, damaged: String? = nil
  ) {
    (self.name, self.version, self.state, self.model, self.kind, self.digest, self.bytes, self.added) = (
      name, version, state, model, kind, digest, bytes, added
    )
    (self.warnings, self.foreign, self.quarantine) = (warnings, foreign, quarantine)
    self.label = label
    self.damaged = damaged
    self.active = active
    self.task = task
  }
}

/// Why a version is kept out.
package struct Quarantine: Codable, Sendable, Equatable {
  /// The verdict.
  package var kind: String
  package var check: Int64
  package var checkKind: String
  package var task: String
  package var model: String

  package init(kind: String, check: Int64, checkKind: String, task: String, model: String) {
    (self.kind, self.check, self.checkKind, self.task, self.model) = (kind, check, checkKind, task, model)
  }
}
