package import SQLite
package import SystemSupport

/// What can go wrong in the store, in words for people.
package enum RegistryError: Error, CustomStringConvertible {
  /// The database itself failed.
  case database(SQLiteError)
  /// A system call on a file of the store failed.
  case files(SystemCallError)
  /// A row does not read back as what was written.
  case damagedRow(table: String, problem: String)
  /// A row that a newer t2d wrote, in a form that this one does not know.
  case newerRow(table: String, found: Int, known: Int)
  /// The redo log is not what t2d wrote.
  case damagedLog(path: String, problem: String)
  /// There is a store and no catalogue of it.
  case missingCatalogue(path: String, rest: String)
  /// The redo log begins after what the catalogue holds.
  case outdatedCatalogue(path: String, redo: String)
  /// There is nothing to make the catalogue of.
  case noRedoLog(directory: String)
  /// What is there is a part of a store: a backup was being restored, or the catalogue made again.
  case unfinished(directory: String, command: String)
  /// It is not known whether a change was made.
  case unconfirmed(reason: String)
  /// What a job made is not there any more.
  case lostStagedFile(path: String)
  /// A file of the store is not what its name says.
  case damagedBlob(path: String, problem: String)
  case unknownModel(String)
  case unknownExpert(String)
  case unknownVersion(expert: String, version: Int, newest: Int)
  case unknownTask(String)
  case unknownJob(Int64)
  /// The change contradicts what stands: promoting what is active, rolling back what has no past.
  case conflict(String)

  /// What is stored is not what was written; anything else may work later.
  package var isDamage: Bool {
    switch self {
    case .damagedRow, .damagedBlob, .damagedLog, .missingCatalogue, .outdatedCatalogue, .noRedoLog, .unfinished:
      true
    case .database(let error): error.isDamage
    case .files, .newerRow, .unconfirmed, .lostStagedFile, .unknownModel, .unknownExpert, .unknownVersion, .unknownTask,
      .unknownJob,
      .conflict:
      false
    }
  }

  /// The disk or its file system refused, which may pass: nothing is wrong with what was asked for.
  package var isOfTheDisk: Bool {
    switch self {
    case .files, .unconfirmed: true
    case .database(let error): error.isOfTheDisk
    case .damagedRow, .damagedBlob, .damagedLog, .missingCatalogue, .outdatedCatalogue, .noRedoLog, .unfinished,
      .newerRow,
      .lostStagedFile,
      .unknownModel, .unknownExpert, .unknownVersion, .unknownTask, .unknownJob, .conflict:
      false
    }
  }

  /// The database was written by a newer t2d, and was left as it is.
  package var isOfNewerProgram: Bool {
    switch self {
    case .newerRow, .database(.newerVersion): true
    case .database, .files, .damagedRow, .damagedBlob, .damagedLog, .missingCatalogue, .outdatedCatalogue, .noRedoLog,
      .unfinished, .unconfirmed, .lostStagedFile, .unknownModel, .unknownExpert, .unknownVersion, .unknownTask,
      .unknownJob, .conflict:
      false
    }
  }

  package var description: String {
    switch self {
    case .database(let error):
      error.description + (error.isDamage ? "; 't2d fsck --rebuild' makes the catalogue again from its redo log" : "")
    case .files(let error): "the store: \(error)"
    case .damagedRow(let table, let problem): "the catalogue's table \(table) holds what t2d did not write: \(problem)"
    case .newerRow(let table, let found, let known):
      "the catalogue's table \(table) has a row of form \(found), and this t2d knows forms up to \(known); start the newer "
        + "t2d that wrote it, or restore the backup that it made"
    case .damagedLog(let path, let problem):
      "the redo log '\(path)' is damaged: \(problem); start with 't2d fsck --rebuild' to take what is before the damage"
    case .missingCatalogue(let path, let rest):
      "the catalogue '\(path)' is missing or empty, and \(rest); put it back, or make it again with 't2d fsck --rebuild'; "
        + "for an empty bank move the whole state directory away"
    case .outdatedCatalogue(let path, let redo):
      "the catalogue '\(path)' is older than its redo log in '\(redo)'; make it again with 't2d fsck --rebuild', or, to go "
        + "back to it on purpose, move that directory away"
    case .noRedoLog(let directory):
      "there is no redo log in '\(directory)' to make the catalogue of; restore a backup of the state directory"
    case .unfinished(let directory, let command):
      "what is in '\(directory)' was being made again and that has not ended, so it is no whole store; begin it again with "
        + "'\(command)'"
    case .unconfirmed(let reason):
      "it is not known whether the change was made, because the disk fails: \(reason); look again when it works"
    case .lostStagedFile(let path): "what the worker made is lost: '\(path)' is not there any more"
    case .damagedBlob(let path, let problem):
      "'\(path)' is damaged: \(problem); drop its file again, or restore it from a backup"
    case .unknownModel(let name): "there is no model '\(escaped(name, limit: 64))'; see 't2ctl model list'"
    case .unknownExpert(let name): "there is no expert '\(escaped(name, limit: 64))'; see 't2ctl expert list'"
    case .unknownVersion(let expert, let version, let newest):
      "expert '\(escaped(expert, limit: 64))' has no version \(version); its newest is \(newest)"
    case .unknownTask(let name): "there is no task '\(escaped(name, limit: 64))'; see 't2ctl task list'"
    case .unknownJob(let id): "there is no job \(id); see 't2ctl job list'"
    case .conflict(let text): text
    }
  }
}
