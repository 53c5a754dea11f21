package import Records
package import Settings

package enum ExpertRemove: RPCMethodDeclaration {
  package static let name = "expert.remove"
  package static let since = 4
  package static let access = RPCMethod.Access.change
  package static let verb = "expert remove"
  package static let summary =
    "Takes a version of an expert away; without 'apply' it only says what depends on it. It can be undone until gc gives its "
    + "file up."

  package struct Parameters: Record {
    @Setting("NAME@VERSION") package var expert: String
    @Setting("for the journal") package var reason: String?
    @Setting("remove it") package var apply = false
    package init() {}
  }

  package typealias Result = Removed
}

/// What was removed, or would be, and what depends on it.
package struct Removed: Codable, Sendable, Equatable {
  /// Whether it was removed.
  package var applied: Bool
  package var kind: RemovalKind
  package var name: String
  @NullWhenAbsent package var version: Int?
  /// The number of the removal, to undo it by.
  @NullWhenAbsent package var removal: Int64?
  /// Before that it can be undone, whatever gc does.
  @NullWhenAbsent package var keptUntil: String?
  package var depends: Dependents

  package init(
    applied: Bool, kind: RemovalKind, name: String, version: Int?, removal: Int64? = nil, keptUntil: String? = nil,
    depends: Dependents
  ) {
    (self.applied, self.kind, self.name, self.depends) = (applied, kind, name, depends)
    self.version = version
    self.removal = removal
    self.keptUntil = keptUntil
  }
}

/// What depends on what is removed.
package struct Dependents: Codable, Sendable, Equatable {
  /// Whether a version is the active one.
  package var active: Bool
  /// The version that is active then; null where none is.
  @NullWhenAbsent package var successor: Int?
  /// Mixtures that a version is part of, which are searched again without it; those of a task or on a model, which go with
  /// it. The first of them.
  package var mixtures: [PairName]
  /// Active experts that are made for a model: they stay, and are of no use until it is added again.
  package var experts: Int
  /// Tasks that are for a model alone: they stay, and wait for it.
  package var tasks: Int
  /// What checks have found of a version.
  package var checks: Int
  /// The jobs that are stopped.
  package var jobs: [Int64]
  /// The files in the watched directory that it came from: they stay, and are ignored.
  package var files: [String]
  /// Mixtures, jobs and files that are not in the lists.
  package var more: Int

  package struct PairName: Codable, Sendable, Equatable {
    package var task: String
    package var model: String

    package init(task: String, model: String) { (self.task, self.model) = (task, model) }
  }

  package init(
    active: Bool = false, successor: Int? = nil, mixtures: [PairName] = [], experts: Int = 0, tasks: Int = 0,
    checks: Int = 0, jobs: [Int64] = [], files: [String] = [], more: Int = 0
  ) {
    (self.active, self.mixtures, self.experts, self.tasks, self.checks) = (active, mixtures, experts, tasks, checks)
    (self.jobs, self.files, self.more) = (jobs, files, more)
    self.successor = successor
  }
}
