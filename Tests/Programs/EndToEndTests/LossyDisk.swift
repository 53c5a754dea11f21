import SystemSupport
import TestSupport

/// A directory as a disk holds it that loses what was not synchronised: what fsync and fdatasync have said is there, and of
/// the rest what chance decides.
///
/// Stricter than Linux' file systems: a name is durable by fsync of its directory alone. A rename is one step.
struct LossyDisk {
  enum Loss: String, CaseIterable { case everything, nothing, some }

  /// A file, or a directory.
  final class Node {
    let isDirectory: Bool
    /// As programs see it, and as it is on the disk for certain.
    var names: [String: Node] = [:]
    var durableNames: [String: Node] = [:]
    var pendingNames: [NameChange] = []
    var durableBytes: [UInt8] = []
    var pendingBytes: [DataChange] = []
    /// Where `write` goes on.
    var position = 0

    init(isDirectory: Bool) { self.isDirectory = isDirectory }
  }

  enum DataChange {
    case write(at: Int, [UInt8])
    case truncate(Int)
  }

  /// One step of one directory, or of two.
  final class NameChange {
    let steps: [(directory: Node, name: String, node: Node?)]
    init(_ steps: [(directory: Node, name: String, node: Node?)]) { self.steps = steps }
  }

  let root: String
  private let top = Node(isDirectory: true)
  /// Files that never had a name, or have none any more, by their descriptors' paths.
  private var unnamed: [String: Node] = [:]

  /// A disk that holds what there is below `root`.
  init(of root: String) throws {
    self.root = root
    try Self.read(root, into: top)
  }

  private static func read(_ path: String, into node: Node) throws {
    for entry in try FileSystem.entries(path) {
      guard let name = entry.text, let status = try FileSystem.status("\(path)/\(name)") else { continue }
      let child = Node(isDirectory: status.kind == .directory)
      if child.isDirectory {
        try read("\(path)/\(name)", into: child)
      } else if status.kind == .regular {
        child.durableBytes = try FileSystem.readAll("\(path)/\(name)", maximumBytes: 1 << 28)
      } else {
        continue
      }
      node.names[name] = child
      node.durableNames[name] = child
    }
  }

  // MARK: - What programs do

  private func parts(_ path: String) -> [String]? {
    if path == root { return [] }
    return path.hasPrefix(root + "/") ? path.dropFirst(root.utf8.count + 1).split(separator: "/").map(String.init) : nil
  }

  func node(_ path: String) -> Node? {
    if let node = unnamed[path] { return node }
    guard let parts = parts(path) else { return nil }
    return parts.reduce(top as Node?) { $0?.names[$1] }
  }

  /// The directory of a path below the root, and the name in it.
  private func place(_ path: String) -> (directory: Node, name: String)? {
    guard let name = parts(path)?.last, let directory = node(FileSystem.split(path).directory) else { return nil }
    return (directory, name)
  }

  private func change(_ steps: [(directory: Node, name: String, node: Node?)]) {
    let change = NameChange(steps)
    for step in steps {
      step.directory.names[step.name] = step.node
      if step.directory.pendingNames.last !== change { step.directory.pendingNames.append(change) }
    }
  }

  func make(_ path: String, isDirectory: Bool) {
    guard let (directory, name) = place(path), directory.names[name] == nil else { return }
    change([(directory, name, Node(isDirectory: isDirectory))])
  }

  mutating func makeUnnamed(_ path: String) {
    if parts(path) != nil { unnamed[path] = Node(isDirectory: false) }
  }

  func link(_ node: Node, as path: String) {
    if let (directory, name) = place(path) { change([(directory, name, node)]) }
  }

  func remove(_ path: String) {
    if let (directory, name) = place(path) { change([(directory, name, nil)]) }
  }

  func rename(_ from: String, to: String) {
    guard let old = place(from), let new = place(to), let node = old.directory.names[old.name] else { return }
    change([(old.directory, old.name, nil), (new.directory, new.name, node)])
  }

  func write(_ node: Node, at offset: Int?, _ bytes: [UInt8]) {
    node.pendingBytes.append(.write(at: offset ?? node.position, bytes))
    if offset == nil { node.position += bytes.count }
  }

  func truncate(_ node: Node, to size: Int) { node.pendingBytes.append(.truncate(size)) }

  func synchronize(_ node: Node) {
    for change in node.pendingBytes { Self.apply(change, to: &node.durableBytes) }
    node.pendingBytes = []
    if let last = node.pendingNames.last { settle(last, in: node) }
  }

  /// Makes a change durable, after those that came before it in its directories.
  private func settle(_ change: NameChange, in directory: Node) {
    while let first = directory.pendingNames.first {
      directory.pendingNames.removeFirst()
      for step in first.steps {
        if step.directory !== directory, step.directory.pendingNames.contains(where: { $0 === first }) {
          settle(first, in: step.directory)
        }
      }
      for step in first.steps where step.directory === directory { directory.durableNames[step.name] = step.node }
      if first === change { return }
    }
  }

  private static func apply(_ change: DataChange, to bytes: inout [UInt8]) {
    switch change {
    case .truncate(let size):
      if size < bytes.count {
        bytes.removeLast(bytes.count - size)
      } else {
        bytes += Array(repeating: 0, count: size - bytes.count)
      }
    case .write(let offset, let written):
      let end = offset + written.count
      if end > bytes.count { bytes += Array(repeating: 0, count: end - bytes.count) }
      bytes.replaceSubrange(offset..<end, with: written)
    }
  }

  // MARK: - The loss of power

  /// Writes what the disk holds when the power goes now, in place of what is at the root.
  func write(losing loss: Loss, _ random: inout SplitMix) throws {
    var kept: Set<ObjectIdentifier> = []
    choose(top, loss, &random, &kept)
    try FileSystem.removeTree(root)
    try write(top, to: root, loss, kept, &random)
  }

  /// Which changes of names have come to the disk: in each directory the first ones.
  private func choose(_ node: Node, _ loss: Loss, _ random: inout SplitMix, _ kept: inout Set<ObjectIdentifier>) {
    let count =
      switch loss {
      case .everything: 0
      case .nothing: node.pendingNames.count
      case .some: random.below(node.pendingNames.count + 1)
      }
    for change in node.pendingNames.prefix(count) { kept.insert(ObjectIdentifier(change)) }
    for name in node.names.keys.sorted() {
      if let child = node.names[name], child.isDirectory { choose(child, loss, &random, &kept) }
    }
  }

  private func write(
    _ node: Node, to path: String, _ loss: Loss, _ kept: Set<ObjectIdentifier>, _ random: inout SplitMix
  ) throws {
    guard node.isDirectory else {
      var bytes = node.durableBytes
      for change in node.pendingBytes where loss == .nothing || loss == .some && random.below(2) == 0 {
        Self.apply(torn(change, loss, &random), to: &bytes)
      }
      return try FileSystem.writeAtomically(path, bytes, mode: 0o600)
    }
    try FileSystem.createDirectories(path, mode: 0o700)
    var names = node.durableNames
    for change in node.pendingNames where kept.contains(ObjectIdentifier(change)) {
      for step in change.steps where step.directory === node { names[step.name] = step.node }
    }
    for name in names.keys.sorted() {
      if let child = names[name] { try write(child, to: "\(path)/\(name)", loss, kept, &random) }
    }
  }

  /// A write of which some sectors came to the disk.
  private func torn(_ change: DataChange, _ loss: Loss, _ random: inout SplitMix) -> DataChange {
    guard loss == .some, case .write(let offset, let bytes) = change, bytes.count > 512, random.below(4) == 0 else {
      return change
    }
    return .write(at: offset, Array(bytes.prefix(512 * random.below(bytes.count / 512 + 1))))
  }
}
