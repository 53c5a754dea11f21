import Glibc
import SystemSupport

/// One watched directory as the watcher's thread knows it: what is open, and which names were announced.
struct WatchedDirectory {
  let configuration: DropDirectory
  let ownName: [UInt8]

  /// nil while it is missing or unreadable.
  var descriptor: FileDescriptor?
  /// Device and inode of what is open.
  var opened: (device: UInt64, inode: UInt64)?
  var watch: Int32?
  /// Of the parent and of those above it.
  var parentWatches: Set<Int32> = []
  var condition: DirectoryCondition?
  /// Its condition as long as it can be read.
  var usual = DirectoryCondition.watching
  var isOverlay = false
  /// The identity with which each item was last announced.
  var announced: [String: DropIdentity] = [:]
  /// The identity that the last scan saw, where there are no events to tell of a change.
  var polled: [String: DropIdentity] = [:]
  /// Names that are ignored or rejected; each is told once, and again where what is said of it changes.
  var refused: [[UInt8]: Refused] = [:]
  /// Stems of names that went in this turn: what was refused because of one of them may be taken now.
  var goneStems: Set<String> = []
  var mayHaveChanged = false
  var nextScan: MonotonicInstant?
  var isFull = false

  init(_ configuration: DropDirectory) {
    self.configuration = configuration
    ownName = Array(FileSystem.split(configuration.path).name.utf8)
  }

  var label: String { configuration.label }

  struct Refused {
    /// The name as it was shown.
    var shown: String
    /// What was said, as a hash: the names are many, and the texts long.
    var verdict: Int
  }

  /// What stands under a name at this moment.
  enum Found {
    case nothing
    case item(DropIdentity)
    case refused(NameRules.Verdict)
    /// Something is there, or may be.
    case unknown(SystemCallError)
  }

  /// Looks a name up; opens nothing but a directory that counts as one item.
  func look(_ name: [UInt8], in directory: FileDescriptor) -> Found {
    do throws(SystemCallError) {
      guard let status = try FileSystem.status(name: name, in: directory) else { return .nothing }
      if status.kind == .symbolicLink {
        return .refused(
          configuration.rules.verdict(ofLink: name) { isDirectory in
            SymbolicLink(name, in: directory, isDirectory: isDirectory).reason
          })
      }
      switch configuration.rules.verdict(name, isDirectory: status.kind == .directory) {
      case .accepted(let text):
        switch status.kind {
        case .regular:
          return .item(DropIdentity(isDirectory: false, files: [.init(name: name, identity: status.identity)]))
        case .directory:
          return .item(DropIdentity(isDirectory: true, files: try files(in: text, of: directory)))
        case .symbolicLink, .fifo, .socket, .device:
          return .refused(.rejected(reason: "not_a_file: it is \(status.kind.phrase); drop a regular file"))
        }
      case let verdict:
        return .refused(verdict)
      }
    } catch {
      return error.number == ENOENT ? .nothing : .unknown(error)
    }
  }

  /// The text of a name that is accepted for a file or for a directory, where it is not known which of them it names.
  func acceptedText(_ name: [UInt8]) -> String? {
    for isDirectory in [false, true] {
      if case .accepted(let text) = configuration.rules.verdict(name, isDirectory: isDirectory) { return text }
    }
    return nil
  }

  /// The files of an item that is a directory, in the order of their names' bytes.
  private func files(in name: String, of directory: FileDescriptor) throws(SystemCallError) -> [DropIdentity.Entry] {
    let inner = try FileDescriptor.open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, in: directory)
    var files: [DropIdentity.Entry] = []
    for entry in try FileSystem.entries(in: inner, path: name, limit: 256) {
      guard entry.name.first != 0x2E, let text = entry.text, let status = try FileSystem.status(text, in: inner) else {
        continue
      }
      files.append(.init(name: entry.name, identity: status.identity))
    }
    return files.sorted { $0.name.lexicographicallyPrecedes($1.name) }
  }
}
