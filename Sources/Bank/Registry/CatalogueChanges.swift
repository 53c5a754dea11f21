/// What changed in the catalogue: the rows that the next snapshot must read. More than that is harmless, less is not.
package struct CatalogueChanges: Sendable, Equatable {
  /// At start, and whenever what is in memory is not to be relied on: every table is read whole.
  package static let everything = CatalogueChanges(isEverything: true)

  package private(set) var isEverything = false
  /// The table as a whole: it is short.
  package var models = false
  /// The versions that were added or changed, of each name with a change.
  package var experts: [Name: Set<Int>] = [:]
  package var tasks: Set<Name> = []
  package var mixtures: Set<Pair> = []
  package var jobs: Set<Int64> = []
  package var files: Set<IngestRecord.Place> = []
  package var checks: Set<Int64> = []
  /// Of damage that was noted or cleared; what the files are of is among the rest.
  package var damage: Set<String> = []

  package init() {}
  private init(isEverything: Bool) { self.isEverything = isEverything }

  package mutating func formUnion(_ other: Self) {
    isEverything = isEverything || other.isEverything
    models = models || other.models
    experts.merge(other.experts) { $0.union($1) }
    tasks.formUnion(other.tasks)
    mixtures.formUnion(other.mixtures)
    jobs.formUnion(other.jobs)
    files.formUnion(other.files)
    checks.formUnion(other.checks)
    damage.formUnion(other.damage)
  }
}
