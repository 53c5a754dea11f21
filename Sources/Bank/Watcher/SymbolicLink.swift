import SystemSupport

/// A symbolic link where something is dropped. None is followed: what a link leads to changes without an event, may be a file
/// that only t2d may read, and is another one at the next look.
struct SymbolicLink {
  let name: String
  /// As it is written in the link; nothing is looked up there.
  let target: String
  /// Whether its name is that of a directory that counts as one item.
  let isDirectory: Bool

  /// The link of a name in a directory. One that cannot be read any more leads to nothing that can be shown.
  init(_ name: [UInt8], in directory: FileDescriptor, isDirectory: Bool = false) {
    self.name = escaped(bytes: name, limit: 255)
    let target = (try? FileSystem.linkTarget(name, in: directory)) ?? []
    self.target = escaped(bytes: target, limit: 200)
    self.isDirectory = isDirectory
  }

  /// For people: what it is, and what to do.
  var reason: String {
    var text = "\(Self.kind): '\(name)' is a symbolic link" + (target.isEmpty ? "" : " to '\(target)'")
    if isOfVolume {
      text += ", as in a volume of Kubernetes (ConfigMap, Secret), which exchanges '..data' with every update"
    }
    text += "; links are not followed: "
    if isOfVolume { text += "mount the file itself, with subPath, or " }
    return text + "put a copy in its place: " + copy
  }

  static let kind = "symbolic_link"

  /// Below a name that is left alone, then renamed, so that no half of it is seen. `cp` onto the link itself would write
  /// where it leads to.
  private var copy: String {
    isDirectory
      ? "cp -L -r \(name) .\(name) && rm \(name) && mv .\(name) \(name)"
      : "cp -L \(name) .\(name) && mv -T .\(name) \(name)"
  }

  /// `NAME -> ..data/NAME`, where `..data -> ..2026_11_30`.
  private var isOfVolume: Bool { target.hasPrefix("..data/") || target == "..data" }
}
