package import Records

package enum SystemBackup: RPCMethodDeclaration {
  package static let name = "system.backup"
  package static let since = 4
  package static let access = RPCMethod.Access.change
  package static let verb = "backup"
  package static let takesFile = true
  package static let summary =
    "Writes a backup of the whole store into the empty file that is passed along, open for writing (SCM_RIGHTS); "
    + "'t2d restore' makes the store of it again. The answer comes when it is durable."
  package static let resultNotes = "a damaged file is not in the backup, and is named instead"

  package struct Parameters: Record {
    @Setting("what the file is called; the daemon opens no path") package var path: String
    package init() {}
  }

  package struct Result: Codable, Sendable, Equatable {
    package var path: String
    /// Files in the backup, and its own bytes.
    package var files: Int
    package var bytes: Int
    /// The number of the last event in it.
    package var event: Int64
    package var damaged: [Damaged]

    package init(path: String, files: Int, bytes: Int, event: Int64, damaged: [Damaged]) {
      (self.path, self.files, self.bytes, self.event, self.damaged) = (path, files, bytes, event, damaged)
    }
  }

  /// A file of the store that is not what was stored.
  package struct Damaged: Codable, Sendable, Equatable {
    package var path: String
    /// What it should be.
    package var subject: String
    package var message: String

    package init(path: String, subject: String, message: String) {
      (self.path, self.subject, self.message) = (path, subject, message)
    }
  }
}
