import SQLite

extension Catalogue {
  /// The steps from an empty database to this version's, in order. A step that was released is never edited:
  /// a later one mends it.
  static let migrations: [Migration] = [
    Migration(
      "the first schema",
      (modelTables + expertTables + taskTables + mixtureTables + jobTables + eventTables + ingestTables)
        .joined(separator: ";\n")),
    Migration("checks of experts", checkTables.joined(separator: ";\n")),
    Migration("the position in the redo log", positionTables.joined(separator: ";\n")),
    Migration("damage of stored files", damageTables.joined(separator: ";\n")),
    Migration("removals", removalTables.joined(separator: ";\n")),
    Migration("which matrices of a model are factored", moduleTables.joined(separator: ";\n")),
    Migration("what computes a model", engineTables.joined(separator: ";\n")),
  ]
}
