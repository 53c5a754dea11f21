/// Rules for the names of experts, and for labels.
///
/// A name stands in `NAME@VERSION`, in `--alpha E=0.7,F=0.3`, in file names and in answers of a model. So: 1 to 64
/// characters of A-Z a-z 0-9 _ . -, the first a letter or a digit.
package enum ExpertName {
  package static let rule = "1 to 64 characters of A-Z a-z 0-9 _ . - that begin with a letter or a digit"
  package static let maximumBytes = 64
  /// What `alpha`, scores and the command line already mean by a word.
  package static let reserved = ["base", "none", "uniform", "mixture"]
  /// The label of requests that no expert is for.
  package static let reservedLabel = "other"

  package static func isValid(_ name: String) -> Bool { hasValidCharacters(name) && !reserved.contains(name) }

  package static func isValidLabel(_ label: String) -> Bool { hasValidCharacters(label) && label != reservedLabel }

  private static func hasValidCharacters(_ name: String) -> Bool { isPlainName(name, maximumBytes: maximumBytes) }

  /// The name for a file that gives none: its file name without `.safetensors`; nil where that is no valid name.
  package static func fromFileName(_ path: String) -> String? {
    var name = path.split(separator: "/").last.map(String.init) ?? ""
    if name.lowercased().hasSuffix(".safetensors") { name.removeLast(".safetensors".count) }
    return isValid(name) ? name : nil
  }
}

/// Rules for the names of tasks, which are those of the files and directories that are dropped.
package enum TaskName {
  package static let rule = "1 to \(maximumBytes) characters of A-Z a-z 0-9 _ . - that begin with a letter or a digit"
  package static let maximumBytes = 139

  package static func isValid(_ name: String) -> Bool { isPlainName(name, maximumBytes: maximumBytes) }
}

/// A name that stands in a path, a log line and a shell's command as it is.
private func isPlainName(_ name: String, maximumBytes: Int) -> Bool {
  func isAlphanumeric(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
    case UInt8(ascii: "0")...UInt8(ascii: "9"): true
    default: false
    }
  }
  guard let first = name.utf8.first, isAlphanumeric(first), name.utf8.count <= maximumBytes else { return false }
  return name.utf8.allSatisfy {
    isAlphanumeric($0) || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-")
  }
}
