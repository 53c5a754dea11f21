import FileKinds
package import SystemSupport

/// Which names in a watched directory mean something, and what is said of the others.
///
/// An accepted name is plain ASCII that begins with a letter or digit, so no temporary name of an editor, a browser or
/// rsync is ever one (they begin with a dot, or end in `~`, `.part`, `.tmp` and so on), and it can stand in a path, a
/// log line and a table as it is.
package struct NameRules: Sendable {
  package enum Verdict: Equatable, Sendable {
    case accepted(String)
    /// Not meant for us; the rule is shown in `status`.
    case ignored(rule: String)
    /// Meant for us, but not usable under this name.
    case rejected(reason: String)
  }

  /// Endings of accepted files, with their dot.
  package var endings: [String]
  /// Endings of files that someone surely meant to drop here, with what to do about them.
  package var refusedEndings: [(ending: String, advice: String)]
  /// Whether a directory counts as one item (a task's).
  package var acceptsDirectories: Bool
  package static let maximumBytes = 139

  package init(endings: [String], refusedEndings: [(ending: String, advice: String)] = [], acceptsDirectories: Bool) {
    self.endings = endings
    self.refusedEndings = refusedEndings
    self.acceptsDirectories = acceptsDirectories
  }

  package static let experts = NameRules(
    endings: [".safetensors"],
    refusedEndings: [
      (".pt", "pickle_not_supported: import it with t2ctl expert import"),
      (".pth", "pickle_not_supported: import it with t2ctl expert import"),
      (".pkl", "pickle_not_supported: save it as safetensors"),
      (".ckpt", "pickle_not_supported: save it as safetensors"),
      (".bin", "pickle_not_supported: save it as safetensors"),
      (".npz", "not_an_expert: save it as safetensors"),
      (".gguf", "not_an_expert: a model is registered with t2ctl model add"),
    ],
    acceptsDirectories: false)

  package static let tasks = NameRules(
    endings: [".jsonl"],
    refusedEndings: [
      (".json", "not_a_task: a few-shot file holds one JSON object a line and ends in .jsonl"),
      (".csv", "not_a_task: a few-shot file holds one JSON object a line and ends in .jsonl"),
    ],
    acceptsDirectories: true)

  package func verdict(_ name: [UInt8], isDirectory: Bool) -> Verdict {
    guard let first = name.first else { return .ignored(rule: "empty") }
    if first == 0x2E { return .ignored(rule: "hidden") }
    for ending in Self.temporaryEndings where name.hasSuffix(ending) { return .ignored(rule: "temporary") }
    if isDirectory, !acceptsDirectories { return .ignored(rule: "directory") }
    if !isDirectory {
      for (ending, advice) in refusedEndings where name.hasSuffix(ending) { return .rejected(reason: advice) }
      guard endings.contains(where: { name.hasSuffix($0) && name.count > $0.utf8.count }) else {
        return .ignored(rule: "ending")
      }
    }
    guard name.count <= Self.maximumBytes else {
      return .rejected(reason: "bad_name: longer than \(Self.maximumBytes) bytes")
    }
    guard name.allSatisfy(Self.isPlain), Self.isAlphanumeric(first) else {
      return .rejected(reason: "bad_name: only letters, digits, '.', '_' and '-' are allowed")
    }
    return .accepted(String(decoding: name, as: UTF8.self))
  }

  /// Why a name is ignored, for people.
  package func explanation(ofIgnored rule: String) -> String {
    switch rule {
    case "ending":
      "names here end in \(endings.joined(separator: " or "))"
        + (acceptsDirectories ? ", or are those of directories" : "")
    case "directory": "a directory is nothing that is dropped here"
    default: "the name is of those that are left alone (\(rule))"
    }
  }

  private static let temporaryEndings = ["~", ".tmp", ".swp", ".aria2__temp"] + downloadEndings

  package static let downloadEndings = UnfinishedDownload.endings

  /// The name of the file of whose download this one is a sign; nil where it is none.
  static func downloaded(by sign: [UInt8]) -> [UInt8]? {
    downloadEndings.first { sign.hasSuffix($0) }.map { Array(sign.dropLast($0.utf8.count)) }
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

  private static func isPlain(_ byte: UInt8) -> Bool {
    isAlphanumeric(byte) || byte == 0x2E || byte == 0x5F || byte == 0x2D
  }
}

extension [UInt8] {
  fileprivate func hasSuffix(_ text: String) -> Bool {
    count >= text.utf8.count && suffix(text.utf8.count).elementsEqual(text.utf8)
  }
}
