import FileKinds
package import SystemSupport

/// Which names in a watched directory mean something, and what is said of the others.
///
/// An accepted name is plain ASCII that begins with a letter or digit, so no temporary name of an editor, a browser or
/// rsync is ever one (they begin with a dot, or end in `~`, `.part`, `.tmp` and so on), and it can stand in a path, a
/// log line and a table as it is.
package struct NameRules: Sendable {
  package enum Verdict: Hashable, Sendable {
    case accepted(String)
    /// Not meant for us; the rule is shown in `status`.
    case ignored(rule: String)
    /// Meant for us, but not usable under this name.
    case rejected(reason: String)
  }

  /// Endings of accepted files, with their dot, in small letters; a name may have them in letters of either case.
  package let endings: [String]
  /// Endings of files that someone surely meant to drop here.
  let refusedEndings: [RefusedEnding]
  /// Whether a directory counts as one item (a task's).
  package let acceptsDirectories: Bool
  package static let maximumBytes = 139

  init(endings: [String], refusedEndings: [RefusedEnding], acceptsDirectories: Bool) {
    self.endings = endings
    self.refusedEndings = refusedEndings
    self.acceptsDirectories = acceptsDirectories
  }

  package static let experts = NameRules(
    endings: [".safetensors"], refusedEndings: RefusedEnding.inPlaceOfExperts + RefusedEnding.archives,
    acceptsDirectories: false)

  /// `rowEndings`: what files of rows end in, of which each is a task, as is a directory.
  package static func tasks(rowEndings: [String]) -> NameRules {
    NameRules(
      endings: rowEndings, refusedEndings: RefusedEnding.inPlaceOfRows + RefusedEnding.archives,
      acceptsDirectories: true)
  }

  package func verdict(_ name: [UInt8], isDirectory: Bool) -> Verdict {
    guard let first = name.first else { return .ignored(rule: "empty") }
    if first == 0x2E { return .ignored(rule: "hidden") }
    if Self.temporaryEndings.contains(where: name.hasEnding) { return .ignored(rule: "temporary") }
    if let text = String(validating: name, as: UTF8.self), BookkeepingFile.isOne(named: text) {
      return .ignored(rule: "bookkeeping")
    }
    if isDirectory, !acceptsDirectories { return .ignored(rule: "directory") }
    if !isDirectory, ending(of: name) == nil {
      return refusedEndings.first { $0.endings.contains(where: name.hasEnding) }.map {
        .rejected(reason: $0.reason(name))
      }
        ?? .ignored(rule: "ending")
    }
    guard name.count <= Self.maximumBytes else {
      return .rejected(reason: "bad_name: longer than \(Self.maximumBytes) bytes")
    }
    guard Self.isPlain(name) else {
      return .rejected(reason: "bad_name: only letters, digits, '.', '_' and '-' are allowed")
    }
    return .accepted(String(decoding: name, as: UTF8.self))
  }

  /// Of a symbolic link, by its name alone: what it leads to is not looked at. `reason` makes what is said of a name that
  /// would be accepted, for a file or for a directory.
  func verdict(ofLink name: [UInt8], _ reason: (_ isDirectory: Bool) -> String) -> Verdict {
    for isDirectory in acceptsDirectories ? [false, true] : [false] {
      switch verdict(name, isDirectory: isDirectory) {
      case .accepted: return .rejected(reason: reason(isDirectory))
      case .ignored(rule: "ending"): continue
      case let verdict: return verdict
      }
    }
    return .ignored(rule: "link")
  }

  /// Why a name is ignored, for people.
  package func explanation(ofIgnored rule: String) -> String {
    let expected =
      "names here end in \(endings.joined(separator: " or "))"
      + (acceptsDirectories ? ", or are those of directories" : "")
    switch rule {
    case "ending": return expected
    case "directory":
      return
        "a directory is nothing that is dropped here: drop the file that is meant in it; a model is registered with "
        + "t2ctl model add"
    case "link": return "a symbolic link is not followed; \(expected): drop a copy of what it leads to (cp -L)"
    case "bookkeeping":
      return
        "it is named as what hubs, git and programs keep beside the files that are meant; if it is meant, rename it"
    default: return "the name is of those that are left alone (\(rule))"
    }
  }

  /// The name without its ending: files and directories of one stem are one task.
  func stem(of name: String) -> String {
    ending(of: Array(name.utf8)).map { String(decoding: name.utf8.dropLast($0.utf8.count), as: UTF8.self) } ?? name
  }

  private func ending(of name: [UInt8]) -> String? {
    endings.first { name.hasEnding($0) && name.count > $0.utf8.count }
  }

  private static let temporaryEndings = ["~", ".tmp", ".swp", ".aria2__temp"] + downloadEndings

  package static let downloadEndings = UnfinishedDownload.endings

  /// The name of the file of whose download this one is a sign; nil where it is none.
  static func downloaded(by sign: [UInt8]) -> [UInt8]? {
    downloadEndings.first { sign.suffix($0.utf8.count).elementsEqual($0.utf8) }.map {
      Array(sign.dropLast($0.utf8.count))
    }
  }

  /// The file beside this name that says that its download is not at its end; nil where there is none.
  package static func signOfDownload(
    of name: String, in directory: FileDescriptor
  ) throws(SystemCallError) -> String? {
    for ending in downloadEndings where try FileSystem.status(name + ending, in: directory) != nil {
      return name + ending
    }
    return nil
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
    default: false
    }
  }

  /// Of letters, digits and marks that stand in a path, a log line and a shell's command as they are.
  static func isPlain(_ name: [UInt8]) -> Bool {
    name.first.map(isAlphanumeric) ?? false
      && name.allSatisfy { isAlphanumeric($0) || $0 == 0x2E || $0 == 0x5F || $0 == 0x2D }
  }
}

extension [UInt8] {
  /// Without regard to the case of ASCII letters.
  func hasEnding(_ ending: String) -> Bool {
    count >= ending.utf8.count
      && zip(suffix(ending.utf8.count), ending.utf8).allSatisfy { Self.small($0) == Self.small($1) }
  }

  private static func small(_ byte: UInt8) -> UInt8 { (0x41...0x5A).contains(byte) ? byte | 0x20 : byte }
}
